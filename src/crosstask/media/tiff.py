"""TIFF's orientation tag, read and removed: Pillow would turn maps, and some files wrongly."""

import struct

_ORIENTATION = 274


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def take_orientation(data: bytes) -> tuple[bytes, int]:
    """The file with orientation 1, and the orientation that it had; damaged files as they are."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    head, count, entry, value = ("Q", "Q", 20, 12) if big else ("I", "H", 12, 8)
    try:
        (start,) = struct.unpack_from(order + head, data, 8 if big else 4)
        (number,) = struct.unpack_from(order + count, data, start)
        start += struct.calcsize(count)
        for place in range(start, start + entry * min(number, 4096), entry):
            tag, _ = struct.unpack_from(order + "HH", data, place)
            if tag == _ORIENTATION:
                (found,) = struct.unpack_from(order + "H", data, place + value)
                plain = bytearray(data)
                struct.pack_into(order + "H", plain, place + value, 1)
                return bytes(plain), found if 1 <= found <= 8 else 1
    except (struct.error, OverflowError):
        pass  # Pillow will say what is wrong
    return data, 1
