"""`crosstask data prepare`: from official archives to folders that the readers take.

Files appear under their final names only when they are complete, existing ones are kept, and the
lists of frames come last: an interrupted run is taken up where it stopped, and never mistaken for
a finished one.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from crosstask.data.datasets.nyudv2 import CROP, FULL
from crosstask.data.files import IMAGE_SUFFIXES, read_image, read_mat
from crosstask.data.sample import DataError
from crosstask.data.worker_pool import in_workers
from crosstask.media.files import write_bytes

T = TypeVar("T")
LABELED, SPLITS, MAPPING = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"
_RAW_CLASSES = 894
Job = Callable[[], T]


def run_jobs(jobs: Sequence[Job[T]], workers: int) -> Iterator[T]:
    """Do the jobs, in `workers` processes if more than 0; what each returns."""
    return in_workers(_call, jobs, workers)


def _call(job: Job[T]) -> T:
    return job()


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


# NYUDv2 ---------------------------------------------------------------------------------------


def nyudv2_jobs(source: Path, root: Path, raw_depth: bool = False) -> list[Job[bool]]:
    """One job a frame of the official file: image, 40-class labels and depth, cropped.

    The crop is rows 45..469, columns 40..599 of 480x640 (Gupta et al.), as in the multi-task
    packages; frames are numbered from 1. Normals and edges are computed by the reader.

    Args:
        source: Folder with the three .mat files.
        root: Folder to write.
        raw_depth: Take the sensor's depth with its holes instead of the filled one.
    """
    h5py = _h5py()
    for name in (LABELED, SPLITS, MAPPING):
        if not (source / name).is_file():
            raise DataError(
                f"{source} has no {name}; expected {LABELED} and {SPLITS} from "
                "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html, and "
                f"{MAPPING} from Gupta et al. (https://github.com/s-gupta/rcnn-depth)"
            )
    mapping = np.concatenate([[0], _array(source / MAPPING, "mapClass").ravel()]).astype(np.uint8)
    if len(mapping) != _RAW_CLASSES + 1 or mapping.max() > 40:
        raise DataError(f"{source / MAPPING} maps {len(mapping) - 1} classes; expected 894 to 40")
    depth = "rawDepths" if raw_depth else "depths"
    try:
        with h5py.File(source / LABELED, "r") as file:
            count = _frame_count(source / LABELED, file, ("images", "labels", depth))
    except OSError as error:
        raise DataError(f"{source / LABELED} is not a readable HDF5 file ({error})") from error
    _splits(source, count)  # before hours of conversion
    return [partial(_nyudv2_frame, source / LABELED, root, i, mapping, depth) for i in range(count)]


def nyudv2_lists(source: Path, root: Path) -> dict[str, int]:
    """Write `gt_sets` from `splits.mat`; returns frames by split."""
    frames = sum(1 for _ in (root / "images").glob("*.png"))
    splits = _splits(source, frames)
    for split, numbers in splits.items():
        text = "".join(f"{number:04d}\n" for number in numbers)
        write_bytes(root / "gt_sets" / f"{split}.txt", text.encode())
    return {split: len(numbers) for split, numbers in splits.items()}


def _splits(source: Path, frames: int) -> dict[str, list[int]]:
    """Frame numbers, from 1, of both splits of `splits.mat`.

    Raises:
        DataError: no list, an empty one, a number that is no frame, or a frame in both.
    """
    path, splits = source / SPLITS, {}
    for split, key in (("train", "trainNdxs"), ("val", "testNdxs")):
        numbers = sorted({int(n) for n in _array(path, key).ravel()})
        wrong = [n for n in numbers if not 1 <= n <= frames]
        if not numbers or wrong:
            named = f"names frame {wrong[0]}" if wrong else "names no frame"
            raise DataError(
                f"{path} {named} under {key!r}; expected numbers from 1 to {frames}, the frames of "
                f"{LABELED}; are both files the official ones, and whole?"
            )
        splits[split] = numbers
    shared = sorted(set(splits["train"]) & set(splits["val"]))
    if shared:
        raise DataError(f"{path} has frame {shared[0]} in both trainNdxs and testNdxs")
    return splits


def _nyudv2_frame(file: Path, root: Path, index: int, mapping: np.ndarray, depth_key: str) -> bool:
    name = f"{index + 1:04d}"
    places = {
        "images": root / "images" / f"{name}.png",
        "labels": root / "segmentation" / f"{name}.png",
        depth_key: root / "depth" / f"{name}.npy",
    }
    if all(path.is_file() for path in places.values()):
        return False
    with _h5py().File(file, "r") as content:
        # MATLAB's axes come reversed: (3,W,H) and (W,H)
        image = np.ascontiguousarray(content["images"][index].transpose(2, 1, 0))
        labels = np.ascontiguousarray(content["labels"][index].T)
        depth = np.ascontiguousarray(content[depth_key][index].T.astype(np.float32))
    if labels.max() > _RAW_CLASSES:
        raise DataError(
            f"{file}, frame {index + 1}: label {labels.max()}; expected 0 to {_RAW_CLASSES}"
        )
    rows, columns = _crop(image.shape[:2])
    write_bytes(places["images"], _png(image[rows, columns]))
    write_bytes(places["labels"], _png(mapping[labels][rows, columns]))
    write_bytes(places[depth_key], _npy(depth[rows, columns]))
    return True


def _crop(size: tuple[int, ...]) -> tuple[slice, slice]:
    """The official window, in proportion where the frames are not 480x640."""
    top, left, height, width = CROP
    sy, sx = size[0] / FULL[0], size[1] / FULL[1]
    rows = slice(round(top * sy), round(top * sy) + round(height * sy))
    return rows, slice(round(left * sx), round(left * sx) + round(width * sx))


def _frame_count(path: Path, file: Any, keys: tuple[str, ...]) -> int:
    for key in keys:
        if key not in file:
            raise DataError(f"{path} has no {key!r}; it holds {', '.join(sorted(file))}")
    return int(file[keys[0]].shape[0])


def _array(path: Path, key: str) -> np.ndarray:
    content = read_mat(path)
    if key not in content:
        raise DataError(
            f"{path} has no {key!r}; it holds {', '.join(k for k in content if k[0] != '_')}"
        )
    return np.atleast_1d(content[key])


def _h5py() -> Any:
    import h5py

    return h5py


# Cityscapes -----------------------------------------------------------------------------------


def cityscapes_jobs(root: Path, output: Path, size: tuple[int, int]) -> list[Job[bool]]:
    """One job an image of `leftImg8bit` and `leftImg8bit_sequence`: a shrunken JPEG in `*_small`.

    Lanczos, quality 98, no chroma subsampling, as in the predecessors of DenseMTL. Labels,
    disparity and cameras stay as they are; the reader fits them.
    """
    jobs: list[Job[bool]] = []
    for folder in ("leftImg8bit", "leftImg8bit_sequence"):
        for path in sorted((root / folder).glob("*/*/*_leftImg8bit.*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                target = output / f"{folder}_small" / path.relative_to(root / folder)
                jobs.append(partial(_shrink, path, target.with_suffix(".jpg"), size))
    if not jobs:
        raise DataError(f"{root} has no leftImg8bit/<split>/<city>/*_leftImg8bit.png to shrink")
    return jobs


def _shrink(source: Path, target: Path, size: tuple[int, int]) -> bool:
    if target.is_file():
        return False
    image = Image.fromarray(read_image(source).permute(1, 2, 0).numpy())  # the set has 8 bits
    small = image.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=98, subsampling=0)
    write_bytes(target, buffer.getvalue())
    return True
