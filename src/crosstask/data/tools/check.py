"""`crosstask data check`: is what lies on the disk what the dataset should be?"""

from collections.abc import Mapping
from typing import Any

from crosstask.data.dataset import SceneDataset
from crosstask.data.sample import WrongRoot
from crosstask.data.tools.facts import (
    split_facts,
)
from crosstask.data.tools.findings import Findings
from crosstask.data.tools.inspection import compare_normals
from crosstask.data.tools.verdict import verdict


def split_report(dataset: SceneDataset, findings: Findings, partial: bool) -> dict[str, Any]:
    """One split: counts, sizes, shares, defects and notes, as JSON values.

    Args:
        dataset: The split.
        findings: Of all its frames, or of some.
        partial: Whether fewer frames than the official split has are a note, no defect.
    """
    axes = compare_normals(dataset, findings)
    facts = split_facts(dataset, findings, axes)
    told = verdict(dataset, findings, partial, facts.get("classes", {}), axes)
    return facts | {"defects": told.defects, "notes": told.notes}


def absent_report(
    split: str, error: Exception, partial: bool, present: SceneDataset
) -> dict[str, Any]:
    """A split that cannot be opened: a defect, unless it is not there and need not be.

    Test splits may be absent (their labels are often withheld), and so may, with `partial` or
    where no official count is known, a split without a single frame. A damaged list of frames is
    always a defect.
    """
    official = present.official_size(split)
    optional = split == "test" or (isinstance(error, WrongRoot) and (partial or official is None))
    text = str(error).split("; expected the tree")[0]
    return {
        "frames": 0,
        "official": official,
        "hash": None,
        "sizes": {},
        "modalities": {},
        "defects": [] if optional else [text],
        "notes": [text] if optional else [],
    }


def overlap(datasets: Mapping[str, SceneDataset]) -> list[str]:
    """Defects of splits that share frames."""
    found = []
    names = {split: {frame.name for frame in d.frames} for split, d in datasets.items()}
    splits = [split for split in names if split != "all"]
    for place, first in enumerate(splits):
        for second in splits[place + 1 :]:
            shared = sorted(names[first] & names[second])
            if shared:
                found.append(f"{first} and {second} share {len(shared)} frames, e.g. {shared[0]}")
    return found
