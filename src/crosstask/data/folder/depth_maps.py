"""Depth maps of one's own in metres, whatever file they come in.

Integers are scaled by `depth_scale` in every container, floats are metres. 0, 65535, NaN, infinite
and negative values are unknown.
"""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosstask.data.files import read_png
from crosstask.data.sample import DataError
from crosstask.media import png
from crosstask.media.decoding import MOST_PIXELS
from crosstask.media.images import read_map
from crosstask.media.npy import parse_npy, read_npy
from crosstask.media.reading import MOST_BYTES, check_file, read_bytes

SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff", ".pfm", ".h5", ".hdf5", ".exr")
_SENTINEL = 65535
_EXR_NAMES = ("Z", "depth.Z", "depth.V", "Depth.Z", "depth", "Depth")
# What zipfile, zlib and h5py raise on damaged files.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, OSError, ValueError, TypeError, RuntimeError, EOFError, KeyError,
    struct.error, OverflowError,
)  # fmt: skip
_NAME = "depth"  # of the array in files that may hold several


class UnknownUnit(DataError):
    """Depth in integers of which nobody says how many make a metre."""


@dataclass(frozen=True)
class DepthMap:
    """A stored depth map.

    Attributes:
        metres: (H,W) float32, 0 where unknown.
        note: what was assumed about this file alone, "" where nothing was.
    """

    metres: np.ndarray
    note: str = ""


def read_depth(path: Path, depth_scale: float | None) -> DepthMap:
    """A depth map of any of `SUFFIXES`.

    Args:
        depth_scale: units a metre of integers; a PNG that says its own scale (`crosstask predict`
            writes it) is read by that. None where no unit is known.

    Raises:
        DataError: unreadable, no single (H,W) array, or values that are no depth.
        UnknownUnit: integers without a scale.
    """
    values = _stored(path)
    if values.size != np.prod(values.shape[:2]):
        raise DataError(f"{path} has the shape {values.shape}; expected one channel, (H, W)")
    values = values.reshape(values.shape[:2])
    if values.dtype.kind not in "uif" or values.dtype.itemsize < 2:
        raise DataError(
            f"{path} holds {values.dtype}, which cannot hold depth; expected floats in metres, or "
            "integers of 16 bits or more"
        )
    note = ""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(values) & (values > 0) & (values != _SENTINEL)
    metres = np.where(known, values, 0).astype(np.float32)
    if values.dtype.kind in "ui":
        own, unit = _own_scale(path)
        if own is not None:
            depth_scale = own
            note = f"its PNG text gives {own:g} units a metre" + (
                f"; it says that its values are {unit}, no metres" if "scale" in unit else ""
            )
        if depth_scale is None:
            raise UnknownUnit(
                f"{path} holds {values.dtype}, values up to {values.max()}, of an unknown unit; give "
                "`depth_scale`, how many of them make a metre: 1000 for millimetres, 256 for KITTI's"
            )
        metres /= np.float32(depth_scale)
    return DepthMap(metres, note)


def _stored(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".png":
        return read_png(path, bits=16)[0].numpy()
    special = {".npz": _npz, ".pfm": _pfm, ".h5": _hdf5, ".hdf5": _hdf5, ".exr": _exr}
    if suffix in special:
        return special[suffix](path)
    planes = read_map(path)
    return planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)


def _own_scale(path: Path) -> tuple[float | None, str]:
    """Units a metre and unit that a PNG's text states; None where it states none."""
    if path.suffix.lower() != ".png":
        return None, ""
    texts = png.texts(path, read_bytes(path))
    try:
        metres = float(texts["scale"])
    except (KeyError, ValueError):
        return None, ""
    if not 0 < metres < np.inf:
        raise DataError(f"{path} states the scale {texts['scale']!r}; expected metres a unit")
    return 1 / metres, texts.get("unit", "")


def _npz(path: Path) -> np.ndarray:
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            name = _chosen(path, [name.removesuffix(".npy") for name in sizes]) + ".npy"
            if sizes[name] > MOST_BYTES:
                raise DataError(f"{path} unpacks to {sizes[name] / 2**20:.0f} MB; too large")
            return parse_npy(path, archive.read(name))
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged, or no .npz file ({error}); save it again") from error


def _hdf5(path: Path) -> np.ndarray:
    import h5py

    data = read_bytes(path)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            arrays = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset)}
            chosen = arrays[_chosen(path, list(arrays))]
            if chosen.size * chosen.dtype.itemsize > MOST_BYTES:
                raise DataError(f"{path} unpacks to {chosen.size} values; too large")
            return np.asarray(chosen[()])
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged, or no HDF5 file ({error}); save it again") from error


def _chosen(path: Path, names: list[str]) -> str:
    """The one array of a file, or the one called depth."""
    if _NAME in names or len(names) == 1:
        return _NAME if _NAME in names else names[0]
    raise DataError(
        f"{path} holds {len(names)} arrays ({', '.join(names[:6])}); expected one, or one called "
        f"{_NAME!r}"
    )


def _pfm(path: Path) -> np.ndarray:
    """Portable float map: rows from the bottom up, the byte order in the sign of the scale."""
    head, *rest = read_bytes(path).split(b"\n", 3)
    try:
        (width, height), scale = map(int, rest[0].split()), float(rest[1])
        values = np.frombuffer(rest[2], "<f4" if scale < 0 else ">f4")
        if head.strip() != b"Pf" or width < 1 or height < 1:
            raise ValueError(f"its first line is {head[:8]!r}, its size {width} x {height}")
        return values.reshape(height, width)[::-1].astype(np.float32)
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{path} is not a sound grey .pfm file ({error}); expected `Pf`, width and height, scale, "
            "and 32-bit floats"
        ) from error


def _exr(path: Path) -> np.ndarray:
    """Channel Z, or the one that there is (three equal ones count as one)."""
    try:
        import OpenEXR
    except ImportError as error:
        raise DataError(
            f"{path} is OpenEXR, which needs a further package: pip install 'crosstask[exr]'"
        ) from error
    check_file(path)
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            low, high = file.header()["dataWindow"]
        width, height = (int(high[i]) - int(low[i]) + 1 for i in (0, 1))
        if not 0 < width * height <= MOST_PIXELS:
            raise DataError(f"{path} claims {width} x {height} pixels; expected 1 to {MOST_PIXELS}")
        with OpenEXR.File(str(path), separate_channels=True) as file:
            planes = {name: channel.pixels for name, channel in file.channels().items()}
    except DataError:
        raise
    except Exception as error:  # the package raises RuntimeError and several others
        raise DataError(
            f"{path} is damaged, or no OpenEXR file ({error}); save it again"
        ) from error
    for name in (*_EXR_NAMES, *planes):
        if name in planes and (name in _EXR_NAMES or _all_equal(list(planes.values()))):
            return np.asarray(planes[name])
    raise DataError(
        f"{path} has the channels {', '.join(planes)}, which differ; expected one, or one called Z"
    )


def _all_equal(planes: list[np.ndarray]) -> bool:
    return all(np.array_equal(plane, planes[0], equal_nan=True) for plane in planes)
