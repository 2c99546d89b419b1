"""Splits that cannot leak: a function of the names and a seed, equal on every machine.

Names are ordered by the SHA-256 of `seed:name`, so that neither the file system's order nor any
random number generator matters, and nearly every frame keeps its side when others come or go.

The released DenseMTL loader shuffles the list anew, with the global generator, for training and
for validation; about 80 % of its validation frames are training frames. That split is not offered.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from crosstask.data.sample import DataError
from crosstask.media.files import atomic_path
from crosstask.media.reading import read_lines, read_text

_HEADER = "# crosstask split"


def hash_order(names: Iterable[str], seed: int = 0) -> list[str]:
    """The names in an order that depends on the seed and the set of names alone."""
    return sorted(
        sorted(set(names)), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest()
    )


def random_split(
    names: Iterable[str], fraction: float = 0.8, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Two disjoint lists, sorted; the first has floor(fraction x all) names (paper: 80/20)."""
    order = hash_order(names, seed)
    cut = int(fraction * len(order) + 1e-9)
    return sorted(order[:cut]), sorted(order[cut:])


def block_split(
    names: Iterable[str], fraction: float = 0.8, seed: int = 0, block: int = 30
) -> tuple[list[str], list[str]]:
    """Like `random_split`, but whole runs of `block` consecutive names stay together.

    Neighbouring frames of a video are nearly equal, so a frame-wise split still leaks.
    """
    ordered = sorted(set(names))
    blocks = {
        f"{start:08d}": ordered[start : start + block] for start in range(0, len(ordered), block)
    }
    first, second = random_split(blocks, fraction, seed)
    return [n for b in first for n in blocks[b]], [n for b in second for n in blocks[b]]


def group_split(
    names: Iterable[str], group: Callable[[str], str], held_out: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Names whose group is not held out, and names whose group is."""
    ordered = sorted(set(names))
    groups = {group(name) for name in ordered}
    unknown = [name for name in held_out if name not in groups]
    if unknown:
        raise DataError(f"`held_out` names {unknown}; expected some of {sorted(groups)}")
    first = [name for name in ordered if group(name) not in held_out]
    return first, [name for name in ordered if group(name) in held_out]


def random_subset(names: Iterable[str], amount: float | int, seed: int = 0) -> list[str]:
    """A subset, sorted: a number of names (int) or a share of them (float in (0, 1]).

    Subsets of one seed are nested: the first 10 % are part of the first 20 %.
    """
    order = hash_order(names, seed)
    if isinstance(amount, float) and not 0 < amount <= 1:
        raise DataError(f"`subset` is {amount}; expected a share in (0, 1] or a number of frames")
    count = int(amount * len(order) + 0.5) if isinstance(amount, float) else int(amount)
    if not 1 <= count <= len(order):
        raise DataError(f"`subset` asks for {count} frames; expected 1 to {len(order)}")
    return sorted(order[:count])


def digest(names: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that identify an ordered list of names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def write_split(path: Path, names: Sequence[str]) -> str:
    """Write one name a line under a header with their number and hash; returns the hash."""
    value = digest(names)
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([f"{_HEADER} {len(names)} {value}", *names]) + "\n")
    return value


def read_split(path: Path) -> list[str]:
    """Names of a split file; a file with our header must still have the hash written in it.

    Raises:
        DataError: The file is missing, empty, has been changed, or lists a name twice.
    """
    if not path.is_file():
        raise DataError(f"split file {path} does not exist")
    first, names = read_text(path).split("\n", 1)[0], read_lines(path)
    if not names:
        raise DataError(f"split file {path} lists no frame")
    if first.startswith(_HEADER):
        stored = first.split()[-1]
        if stored != digest(names):
            raise DataError(
                f"split file {path} has been changed: its hash is {digest(names)}, written in it is {stored}"
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"split file {path} lists {twice!r} twice")
    return names
