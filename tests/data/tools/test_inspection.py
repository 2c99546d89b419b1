"""What `data check` finds in a frame: one defect for each damaged file, and the rest is read."""

from pathlib import Path

import pytest

from crosstask.data.datasets.folder import FolderDataset
from crosstask.data.tools.inspection import inspect_frame
from fuzz.originals import write_frame, write_lists


@pytest.mark.parametrize(("modalities", "defects"), [(("depth", "normals"), 1), (("normals",), 0)])
def test_damaged_depth_beside_stored_normals_is_one_defect(
    tmp_path: Path, modalities: tuple[str, ...], defects: int
) -> None:
    """The comparison of the normals with it is left out; so is depth that was not asked for."""
    root = write_lists(tmp_path, frames=False)
    write_frame(root, "a")
    (root / "splits/train.txt").write_text("a\n")
    (root / "depth/a.npy").write_bytes(b"damaged")
    found = inspect_frame(FolderDataset(root, "all", modalities=modalities), 0)
    assert len(found.defects) == defects and all("depth/a.npy" in d for d in found.defects)
    assert found.labelled_frames["normals"] == 1 and not found.normals
