"""`RowsTree`: where cells lie in a data set, asked for as files of a folder are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crosstask.data.folder.tree import Files, FolderTree, by_part, part_of
from crosstask.data.folder.unread import Unread
from crosstask.data.hub.cells import IMAGE, INTRINSICS, Rows
from crosstask.data.sample import DataError


@dataclass(frozen=True)
class RowsTree(FolderTree):
    """The rows of a set; a frame is called after its split and its number, such as `train/00000012`.

    Args:
        splits: by the set's own names, "" of one without.
        others: what is not read, each as (what, why).
    """

    splits: Mapping[str, Rows] = field(default_factory=dict)
    others: Sequence[tuple[str, str]] = ()

    def files(self) -> Files:
        """The image of every row and the labels that it has.

        Raises:
            DataError: a row without an image.
        """
        files: Files = {}
        for split, rows in self.splits.items():
            kinds = [kind for kind in rows.columns if kind != INTRINSICS]
            for row in range(len(rows)):
                cells: dict[str, Path] = {
                    kind: rows.cell(kind, row) for kind in kinds if rows.has(kind, row)
                }
                if IMAGE not in cells:
                    raise DataError(
                        f"{rows.cell(IMAGE, row)} holds no image; take such rows out of the set "
                        "(`filter`), and save it again"
                    )
                files[f"{split}/{row:08d}" if split else f"{row:08d}"] = cells
        return files

    def has(self, kind: str) -> bool:
        return any(kind in rows.columns for rows in self.splits.values())

    def place(self, kind: str) -> str:
        names = [rows.columns[kind] for rows in self.splits.values() if kind in rows.columns]
        return f"{self.root}, column {names[0] if names else kind!r}"

    def masks(self) -> list[Path]:
        kind = "segmentation"
        return [
            rows.cell(kind, row)
            for rows in self.splits.values()
            for row in range(len(rows))
            if rows.has(kind, row)
        ]

    @property
    def naming_classes(self) -> str:
        return (
            "give `classes`: names such as floor,wall, their number, a file with one a line, or the column "
            "that has class names"
        )

    def unread(self) -> list[Unread]:
        return [Unread(Path(what), why) for what, why in self.others]

    def _parts(
        self, names: Sequence[str], validation: float, seed: int
    ) -> dict[str, Sequence[str]] | None:
        """As of folders; a set with none for training has the parts that it has."""
        found = super()._parts(names, validation, seed)
        return by_part(names) if found is None and "" not in self.splits else found

    @property
    def has_camera(self) -> bool:
        return self.has(INTRINSICS) or super().has_camera

    def camera(self, name: str) -> Path | None:
        """The cell of a frame, else a camera file beside the set, else None."""
        split, _, row = name.rpartition("/")
        rows = self.splits[split]
        return (
            rows.cell(INTRINSICS, int(row))
            if rows.has(INTRINSICS, int(row))
            else super().camera(name)
        )


def known_splits(names: Sequence[str]) -> list[str]:
    """Those that are train, val or test by their names, or the only one."""
    return [name for name in names if part_of(name)] or list(names)[: len(names) == 1]
