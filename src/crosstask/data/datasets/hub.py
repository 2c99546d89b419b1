"""`HubDataset`: data sets of the library `datasets`, saved or of the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosstask.data.channels import ENDING, Channels
from crosstask.data.datasets.folder import FolderDataset
from crosstask.data.folder.classes import Classes
from crosstask.data.folder.declaration import written_options
from crosstask.data.folder.depth_maps import UnknownUnit
from crosstask.data.folder.tree import FolderTree
from crosstask.data.hub.cells import IMAGE, INTRINSICS, Rows
from crosstask.data.hub.columns import Columns, choose_columns, class_names, told
from crosstask.data.hub.opening import open_set
from crosstask.data.hub.tree import RowsTree, known_splits
from crosstask.data.sample import DataError, WrongRoot


class HubDataset(FolderDataset):
    """Rows of a data set of the library `datasets`, read by the rules of own folders.

    Images and maps are columns of the type Image (read as they are encoded) or arrays of numbers; a cell
    without a value is void. Splits are the set's own (`validation` is `val`); what lacks is drawn as in folders.

    Args:
        root: Folder of `save_to_disk`, a parquet or arrow file, a folder that `load_dataset` reads, or
            owner/name (owner/name@revision) of the hub.
        columns: Where things are, "image=photo,segmentation=mask,depth=depth_m"; also normals, edges,
            saliency, intrinsics (fx, fy, cx, cy, or 3x3), NAME_input of `channels`. Left out, columns with
            usual names are taken, and `data check` tells which.
        classes: Names ("floor,wall"), their number, a text file of them, the column that has class names,
            or None for those of the masks' column, or `classes.txt` in `root`.
        configuration: Of a set that has several.
        depth_scale: Units a metre of depth stored as integers, for which there is no usual value here.
        options: `masks`, `void`, `depth_kind`, `axes`, `channels`, `validation`: see `FolderDataset`; those of
            `SceneDataset`.
    """

    source = "hub"
    supported = ("segmentation", "depth", "normals", "edges", "saliency")
    splits = ("train", "val", "test", "all")
    homepage = "the Hugging Face hub, or your own disk"
    licence = "the data set's own"
    tree = """
root                 a folder that `save_to_disk` wrote, a .parquet or .arrow file, a folder that
                     `load_dataset` reads, or owner/name of the hub
  image              of the type Image, or bytes (H, W, 3)
  segmentation       Image of class indices, of colours, or of 0 and 255; or integers (H, W)
  depth              floats in metres (H, W), Image of floats; integers by `depth_scale`
  normals            floats (H, W, 3), or Image of 8 bits, 2 p / 255 - 1
  edges, saliency    Image or numbers: 0 and 1, or 0 and 255
  intrinsics         fx fy cx cy in pixels, or 3x3
Columns of other names: `columns`. Only the image must be there.
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        columns: Columns | None = None,
        classes: Classes | None = None,
        configuration: str | None = None,
        masks: str | None = None,
        void: int | None = None,
        depth_scale: float | None = None,
        depth_kind: str | None = None,
        axes: str | None = None,
        channels: str | Sequence[str] | None = None,
        validation: float = 0.2,
        **options: Any,
    ) -> None:
        tables = open_set(Path(root), self.expected_tree(), configuration)
        features = {k: f for table in tables.values() for k, f in table.features.items()}
        self.columns = choose_columns(columns, features, (IMAGE, *self.supported, INTRINSICS))
        self._all_columns = told(features)
        self._rows = {
            split: Rows(
                tables[split],
                f"{Path(root).as_posix()}{f'[{split!r}]' if split else ''}",
                {k: c for k, c in self.columns.items() if c in tables[split].features},
            )
            for split in known_splits(list(tables))
        }
        if not self._rows:
            raise WrongRoot(
                f"`root` is {Path(root).as_posix()}, which has the splits {', '.join(tables)}; expected train "
                "and validation (or val, test), or one alone; rename them, and save the set again"
            )
        self._left_out = _left_out(
            features, self.columns, [s for s in tables if s not in self._rows]
        )
        self._unit_said = depth_scale is not None or "depth_scale" in written_options(Path(root))
        stored: dict[str, Any] = {
            "masks": masks, "void": void, "depth_scale": depth_scale, "depth_kind": depth_kind,
            "axes": axes, "channels": channels, "validation": validation,
        }  # fmt: skip
        classes = class_names(classes, features, self.columns.get("segmentation"))
        super().__init__(root, split, modalities, transform, classes=classes, **stored, **options)
        if "depth" in self.stored() and not self._unit_said:
            self._check_unit()

    def _check_unit(self) -> None:
        """Integers without a unit are an error at once, not in the middle of a training."""
        for frame in [f for f in self.frames if "depth" in f.files][:1]:
            try:
                self.load_depth(frame)
            except UnknownUnit:
                raise
            except DataError:
                continue  # which is told when the frame is read

    def _laid_out(self, root: Path, channels: Channels) -> FolderTree:
        for kind in self.columns:
            if kind.endswith(ENDING) and kind.removesuffix(ENDING) not in channels.ranges:
                raise DataError(
                    f"`columns` has {kind}, which is no input: `channels` is {','.join(channels.names)}; add "
                    f"{kind.removesuffix(ENDING)}=LOW..HIGH to it, or leave the column out"
                )
        return RowsTree(root, channels, self._rows, self._left_out)

    @property
    def unit(self) -> float | None:
        return super().unit if self._unit_said else None

    def read_from(self) -> dict[str, str]:
        return {kind: f"column {column}" for kind, column in self.columns.items()}

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "columns": self.columns}

    def requirement(self, modality: str) -> str:
        extra = ", or depth and intrinsics" if modality == "normals" else ""
        return f"a column, `columns` {modality}=NAME{extra}; {self._all_columns}"

    def wrong_root(self, looked_for: str | Path) -> WrongRoot:
        splits = ", ".join(filter(None, self._rows)) or "none"
        return WrongRoot(
            f"`root` is {self.root.as_posix()}, which has no {looked_for}; its splits: {splits}"
        )

    def _check_root(self) -> None:
        """It may be no folder; whatever it is, it has been opened."""


def _left_out(
    features: Mapping[str, Any], columns: Mapping[str, str], splits: Sequence[str]
) -> list[tuple[str, str]]:
    """Columns and splits that are not read, with the reason."""
    names = [name for name in features if name not in columns.values()]
    found = (
        [(f"the rest of the columns ({', '.join(names)})", "belongs to no target")] if names else []
    )
    if splits:
        found += [(f"the split {' or '.join(splits)}", "is none of train, val and test")]
    return found
