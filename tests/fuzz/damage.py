"""Ways to damage a file: what disks, transfers, other programs and strangers do to it. Seeded."""

import io
import json
import pickle
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

Damage = Callable[[bytes, random.Random], bytes]


class Payload:
    """What runs when somebody unpickles it: it makes a file of the name in FUZZ_MARKER."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        code = "import os, pathlib; pathlib.Path(os.environ['FUZZ_MARKER']).touch()"
        return exec, (code,)


def flip(data: bytes, random: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def flip_early(data: bytes, random: random.Random) -> bytes:
    """In the header, where sizes and types stand."""
    out = bytearray(data)
    out[random.randrange(min(64, len(out)))] ^= 1 << random.randrange(8)
    return bytes(out)


def cut(data: bytes, random: random.Random) -> bytes:
    return data[: random.randrange(len(data))]


def cut_the_end(data: bytes, random: random.Random) -> bytes:
    return data[: -random.randrange(1, min(40, len(data)))]


def empty(data: bytes, random: random.Random) -> bytes:
    return b""


def block(data: bytes, random: random.Random) -> bytes:
    """A block of a disk that reads as zeros, ones or noise."""
    start, length = random.randrange(len(data)), random.randrange(1, 300)
    middle = random.choice((bytes(length), b"\xff" * length, random.randbytes(length)))
    return data[:start] + middle[: len(data) - start] + data[start + length :]


def insert(data: bytes, random: random.Random) -> bytes:
    start = random.randrange(len(data))
    return data[:start] + random.randbytes(random.randrange(1, 20)) + data[start:]


def swap(data: bytes, random: random.Random) -> bytes:
    middle = random.randrange(len(data))
    return data[middle:] + data[:middle]


def noise(data: bytes, random: random.Random) -> bytes:
    return random.randbytes(random.randrange(1, 3000))


def lines_changed(data: bytes, random: random.Random) -> bytes:
    """As a transfer in text mode does."""
    return data.replace(b"\n", b"\r\n")


def page(data: bytes, random: random.Random) -> bytes:
    """What a server sends in place of a file that it no longer has."""
    return b"<!DOCTYPE html><html><body>404 Not Found</body></html>"


BYTES: tuple[Damage, ...] = (
    flip, flip, flip, flip_early, flip_early, cut, cut, cut_the_end, empty, block, block, insert, swap, noise,
    lines_changed, page,
)  # fmt: skip


def png_sizes(data: bytes, random: random.Random) -> bytes:
    """A header of another size, depth or colour type, with a right checksum."""
    field = random.choice(("size", "kind", "interlace"))
    header = bytearray(data[16:29])
    if field == "size":
        sizes = (0, 1, 7, 20_000, 2**31 - 1)
        header[:8] = struct.pack(">II", random.choice(sizes), random.choice(sizes))
    elif field == "kind":
        header[8:10] = bytes(
            (random.choice((1, 2, 4, 8, 16, 32)), random.choice((0, 2, 3, 4, 6, 7)))
        )
    else:
        header[12] ^= 1
    return data[:16] + bytes(header) + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[29:]


def _array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def other_values(data: bytes, random: random.Random) -> bytes:
    """An array that reads well and holds what no depth and no normal is."""
    array = _array(data).astype("f4")
    return _npy(
        random.choice(
            (
                np.full_like(array, np.nan), np.full_like(array, np.inf), np.zeros_like(array), -array,
                np.full_like(array, 1e30), array.astype("c8"), array > 1, array.astype("S4"), array[:0],
                np.float32(3.0), array[None, None], array[: len(array) // 2], array.astype("M8[s]"),
            )
        )
    )  # fmt: skip


def other_header(data: bytes, random: random.Random) -> bytes:
    """A header of a .npy that does not fit what follows, or is a trap."""
    text = random.choice(
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 400000000)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 5)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (1000, 1000)}",
            "__import__('os').system('touch fuzz_marker')",
            "[" * 3000,
            "{}",
        )
    )
    head = text.encode() + b" " * 20 + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data[128:]


def pickled(data: bytes, random: random.Random) -> bytes:
    """An array of objects, or a bare pickle: whoever opens it runs code."""
    if random.random() < 0.5:
        return pickle.dumps(Payload())
    return _npy(np.array([Payload()], dtype=object))


def archive_changed(data: bytes, random: random.Random) -> bytes:
    """A .zip (.npz, checkpoint) in which a part is missing, doubled, or a pickle that runs code."""
    stream = io.BytesIO()
    way = random.choice(("missing", "pickle", "deep", "renamed"))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = random.choice(names)
        for name in names:
            content = old.read(name)
            if way == "missing" and name == chosen:
                continue
            if way == "pickle" and (name.endswith(".pkl") or name == names[0]):
                content = pickle.dumps({"state_dict": Payload()}, protocol=2)
            if way == "deep" and name == chosen:
                content = b"(" * 100_000
            new.writestr(name + "x" if way == "renamed" and name == chosen else name, content)
    return stream.getvalue()


_EXTREMES = (
    "nan", "inf", "-1", "0", "1e309", "1e30", "99999999999999999999", "true", "null", "[]", '"x"', "0x10", "-0.5",
)  # fmt: skip


def number_changed(data: bytes, random: random.Random) -> bytes:
    text = data.decode()
    found = list(re.finditer(r"-?\d+(\.\d+)?", text))
    if not found:
        return noise(data, random)
    at = random.choice(found)
    return (text[: at.start()] + random.choice(_EXTREMES) + text[at.end() :]).encode()


def line_changed(data: bytes, random: random.Random) -> bytes:
    lines = data.decode().splitlines()
    at = random.randrange(len(lines))
    way = random.randrange(5)
    if way == 0:
        del lines[at]
    elif way == 1:
        lines.insert(at, lines[at])
    elif way == 2:
        lines[at] = lines[at] + " " + "9" * 5000
    elif way == 3:
        lines[at] = "\t" + lines[at] + " é \x01"
    else:
        lines = lines * 2000
    return ("\n".join(lines) + random.choice(("\n", "\n", ""))).encode()


def text_encoded(data: bytes, random: random.Random) -> bytes:
    return data.decode().encode(random.choice(("utf-16", "utf-32", "utf-8-sig", "cp037")))


def yaml_tag(data: bytes, random: random.Random) -> bytes:
    """A document that an unsafe YAML reader executes, or that grows without bounds."""
    bomb = 'a: &a ["x","x"]\n' + "\n".join(
        f"{chr(98 + k)}: &{chr(98 + k)} [{','.join(['*' + chr(97 + k)] * 9)}]" for k in range(9)
    )
    run = "!!python/object/apply:os.system ['touch fuzz_marker']"
    return random.choice(
        (f"recipe: {run}", f"{run}\n", bomb, data.decode() + f"\nx: {run}\n")
    ).encode()


def json_changed(data: bytes, random: random.Random) -> bytes:
    """A value somewhere inside becomes another one, or its key disappears."""
    content = json.loads(data)
    places = list(_places(content))
    holder, key = random.choice(places)
    odd: tuple[object, ...] = (
        None, -1, 0, 1e308, float("nan"), 10**30, "", "x" * 10_000, [], {}, True, [[[[]]]], "evil.py:go",
        "../../etc/passwd", 99999, 0.5,
    )  # fmt: skip
    if random.random() < 0.2:
        del holder[key]
    else:
        holder[key] = random.choice(odd)
    return json.dumps(content).encode()


def json_nested(data: bytes, random: random.Random) -> bytes:
    return random.choice(
        (b"[" * 200_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"null", b"3", b'"x"')
    )


def _places(value: object):
    if isinstance(value, dict):
        keys: list[object] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return
    for key in keys:
        yield value, key
        yield from _places(value[key])  # type: ignore[index]


def damages(path: Path) -> tuple[Damage, ...]:
    """What can happen to a file of this kind: to its bytes, and to what they say."""
    kind = path.suffix.lower()
    special: dict[str, tuple[Damage, ...]] = {
        ".png": (png_sizes,) * 3,
        ".npy": (other_values,) * 6 + (other_header,) * 3 + (pickled,),
        ".npz": (archive_changed,) * 4 + (pickled,),
        ".ckpt": (archive_changed,) * 5 + (pickled,),
        ".txt": (number_changed,) * 6 + (line_changed,) * 4 + (text_encoded,) * 2,
        ".yaml": (number_changed,) * 4 + (line_changed,) * 4 + (yaml_tag,) * 3 + (text_encoded,),
        ".json": (json_changed,) * 20 + (json_nested, number_changed, text_encoded),
    }
    return BYTES + special.get(kind, ())


def damaged(path: Path, random: random.Random) -> tuple[str, bytes]:
    """(what was done, the damaged content) of a file."""
    data = path.read_bytes()
    while True:
        way = random.choice(damages(path))
        try:
            changed = way(data, random)
        except UnicodeDecodeError:  # not a text in its original
            continue
        if changed != data:
            return way.__name__, changed
