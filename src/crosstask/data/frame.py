"""Frames of an index, and which of them, and of their labels, are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crosstask.data import splits
from crosstask.data.sample import DataError


@dataclass(frozen=True)
class Frame:
    """One image of an index.

    Attributes:
        name: Identity within the dataset.
        files: Path by modality; a modality that is absent has no label for this frame, one that
            is listed must exist on disk.
        info: Whatever else the reader needs to load it.
    """

    name: str
    files: Mapping[str, Path]
    info: Mapping[str, Any] = field(default_factory=dict)


def pick(frames: Sequence[Frame], names: Sequence[str], where: str | Path) -> list[Frame]:
    """The frames with these names, in this order; a name without a frame is an error."""
    by_name = {frame.name: frame for frame in frames}
    for name in names:
        if name not in by_name:
            raise DataError(
                f"{where} names the frame {name!r}, which does not exist in the dataset "
                f"({len(by_name)} frames, such as {next(iter(by_name), 'none')!r})"
            )
    return [by_name[name] for name in names]


def subset_of(frames: Sequence[Frame], subset: float | int | None, seed: int) -> Sequence[Frame]:
    """So many frames (int), or this share of them (float), chosen by `seed`; all for None."""
    if subset is None:
        return frames
    return pick(frames, splits.random_subset([f.name for f in frames], subset, seed), "subset")


def hidden_labels(
    frames: Sequence[Frame],
    labelled: float | Mapping[str, float] | None,
    targets: Sequence[str],
    seed: int,
) -> dict[str, frozenset[str]]:
    """By target: names of the frames whose labels are void.

    Args:
        frames: all of them.
        labelled: share of the frames that keep their labels, by target or for all; None is all.
        targets: what may be labelled.
        seed: decides which.
    """
    if labelled is None:
        return {}
    shares = labelled if isinstance(labelled, Mapping) else dict.fromkeys(targets, labelled)
    hidden = {}
    names = [frame.name for frame in frames]
    for name, share in shares.items():
        if name not in targets or not 0 <= share <= 1:
            raise DataError(
                f"`labelled` has {name!r}: {share}; expected a share in [0, 1] of {[*targets]}"
            )
        order = splits.hash_order(names, seed)
        hidden[name] = frozenset(order[int(share * len(order) + 0.5) :])
    return hidden
