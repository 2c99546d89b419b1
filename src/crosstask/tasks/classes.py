"""The classes of a segmentation: names and colours, in order."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from crosstask.media.colormap import palette
from crosstask.media.label_range import MOST_CLASSES


@dataclass(frozen=True)
class ClassTable:
    """Names and RGB colours (0..255) of the classes 0, 1, 2, ...

    Args:
        names: one per class, distinct.
        colors: one per class; by default a palette of well-separated colours.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("`names` is empty; expected at least one class")
        _check_number(len(self.names))
        if len(set(self.names)) < len(self.names):
            twice = Counter(self.names).most_common(1)[0][0]
            raise ValueError(f"`names` has {twice!r} twice; expected distinct class names")
        if not self.colors:
            object.__setattr__(self, "colors", palette(len(self.names)))
        if len(self.colors) != len(self.names):
            raise ValueError(
                f"`colors` has {len(self.colors)} entries for {len(self.names)} classes; "
                "give one RGB triple per class, or none"
            )

    @classmethod
    def numbered(cls, number: int) -> "ClassTable":
        """A table of `number` classes without names of their own."""
        if number < 1:
            raise ValueError(f"`classes` is {number}; expected a positive number of classes")
        _check_number(number)
        return cls(tuple(f"class_{index}" for index in range(number)))

    def __len__(self) -> int:
        return len(self.names)

    def to_spec(self) -> list[dict[str, Any]]:
        """JSON-safe: a list, because the order counts."""
        return [
            {"name": name, "color": list(color)}
            for name, color in zip(self.names, self.colors, strict=True)
        ]

    @classmethod
    def from_spec(cls, spec: list[dict[str, Any]]) -> "ClassTable":
        """The table that `to_spec` described."""
        _check_number(len(spec))
        colors = tuple((int(r), int(g), int(b)) for r, g, b in (entry["color"] for entry in spec))
        return cls(tuple(str(entry["name"]) for entry in spec), colors)


def _check_number(classes: int) -> None:
    if classes > MOST_CLASSES:
        raise ValueError(
            f"`classes` has {classes} entries; expected 1 to {MOST_CLASSES}, what 16 bits hold beside "
            "void: merge classes, or leave out rare ones"
        )
