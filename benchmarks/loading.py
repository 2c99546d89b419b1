"""Cost of a training sample against decoding its files alone, for every dataset at the paper's size.

    python benchmarks/loading.py [--datasets cityscapes,vkitti2] [--samples 8] [--root cityscapes=DIR] [--shards]

Without a root, the miniatures of the tests are written at the datasets' true sizes, with noise, so
that they compress about as badly as recorded files. Times are CPU times of one
thread: what a loader process spends, whatever else the machine does. The files of a frame are
decoded by the same functions that the reader uses.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fakes.bsds500
import fakes.camvid
import fakes.cityscapes
import fakes.nyudv2
import fakes.pascal_context
import fakes.sevenscenes
import fakes.synthia
import fakes.vkitti2
from crosstask import data
from crosstask.data import files, transforms
from crosstask.data.frame import Frame
from crosstask.data.shards import Shards
from crosstask.data.tools.pack import pack


@dataclass(frozen=True)
class Case:
    """A dataset at its true size and the size at which it is trained."""

    reader: type[data.SceneDataset]
    write: Callable[..., Path]
    native: tuple[int, int]
    trained: tuple[int, int]
    tasks: tuple[str, ...]
    options: dict[str, Any]


SDN, SDNE = ("segmentation", "depth", "normals"), ("segmentation", "depth", "normals", "edges")
CASES = {
    "cityscapes": Case(data.Cityscapes, fakes.cityscapes.write, (1024, 2048), (512, 1024), SDN, {"far": 80.0}),
    "synthia": Case(data.Synthia, fakes.synthia.write, (760, 1280), (512, 1024), SDN, {"far": 80.0}),
    "vkitti2": Case(data.VirtualKITTI2, fakes.vkitti2.write, (375, 1242), (320, 1024), SDN, {"far": 80.0}),
    "nyudv2": Case(data.NYUDv2, fakes.nyudv2.write, (425, 560), (448, 576), SDNE, {}),
    "pascal_context": Case(data.PascalContext, fakes.pascal_context.write, (375, 500), (512, 512), ("segmentation", "human_parts", "saliency", "normals", "edges"), {}),
    "camvid": Case(data.CamVid, fakes.camvid.write, (360, 480), (352, 480), ("segmentation", "edges"), {}),
    "sevenscenes": Case(data.SevenScenes, fakes.sevenscenes.write, (480, 640), (192, 256), ("depth", "normals"), {}),
    "bsds500": Case(data.BSDS500, fakes.bsds500.write, (321, 481), (192, 256), ("edges",), {}),
}  # fmt: skip


def as_recorded(path: Path) -> None:
    """Store a miniature's file again with noise, so that it compresses like a recorded one.

    Images get noise of its own in every channel, 16-bit depth half a per cent, coded normals a
    degree; class labels stay as they are.
    """
    from fakes.png import write_png

    random = np.random.default_rng(0)
    if path.suffix not in (".png", ".jpg"):
        return
    header = files.png_header(path, path.read_bytes()) if path.suffix == ".png" else None
    if header is not None and header.bits == 16 and header.channels == 1:
        depth = np.array(Image.open(path)).astype(np.float64)
        noisy = np.where(
            (depth > 1) & (depth < 60_000), depth * random.normal(1, 0.005, depth.shape), depth
        )
        Image.fromarray(noisy.astype(np.uint16)).save(path)
    elif header is not None and header.bits == 16 and "Depth" in path.parts:
        depth = files.read_png(path, 16, (3,))[0].numpy().astype(np.float64)
        noisy = np.where(depth < 60_000, depth * random.normal(1, 0.005, depth.shape), depth)
        write_png(path, np.repeat(noisy.astype(np.uint16)[..., None], 3, axis=-1))
    elif header is None or (
        header.bits == 8 and header.channels == 3 and "classgt" not in path.name
    ):
        with Image.open(path) as image:
            array = np.asarray(image.convert("RGB")).astype(np.float64)
        noisy = np.where(array == 127, array, array + random.normal(0, 3, array.shape))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=92)


def decode(path: Path, is_image: bool) -> None:
    """Read and decode one file, nothing else."""
    if is_image:
        files.read_image(path)
    elif path.suffix == ".png":
        content = files.read_bytes(path)
        header = files.png_header(path, content)
        files.read_png(path, header.bits, (header.channels,))
    elif path.suffix == ".npy":
        files.read_npy(path)
    elif path.suffix == ".mat":
        files.read_mat(path)
    else:
        files.read_text(path)


def needed_files(dataset: data.SceneDataset, frame: Frame) -> list[tuple[Path, bool]]:
    """The frame's files that its modalities are made of."""
    kinds = {"image", "camera", *dataset.stored()}
    if dataset.source == "cityscapes":
        kinds.add("segmentation")  # masks sky and ego vehicle in depth
    return [(path, kind == "image") for kind, path in frame.files.items() if kind in kinds]


def cpu_time(work: Callable[[], object], repeats: int) -> float:
    """Seconds of CPU a call, the best of three rounds."""
    work()
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for _ in range(repeats):
            work()
        rounds.append((time.process_time() - start) / repeats)
    return min(rounds)


def packed(case: Case, root: Path, folder: Path) -> data.SceneDataset:
    """The training split from shards of the trained size, with the training transform."""
    plain = case.reader(root, "train", case.tasks, **case.options)
    list(pack({"train": plain}, folder, case.trained, case.options))
    return Shards(folder, "train", case.tasks, transforms.training(case.trained))


def measure(name: str, root: Path | None, samples: int, shards: bool) -> dict[str, Any]:
    """Milliseconds of decoding and of the whole training sample, from files and maybe from shards."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        written = root is None
        if root is None:
            extra = {"train": 12} if name == "sevenscenes" else {"train": 2}
            root = case.write(Path(folder), size=case.native, **extra)
        transform = transforms.training(case.trained)
        dataset = case.reader(root, "train", case.tasks, transform, **case.options)
        frame = dataset.frames[0]
        if written:
            for path in frame.files.values():
                as_recorded(path)
        listed = needed_files(dataset, frame)
        files_time = cpu_time(lambda: [decode(*entry) for entry in listed], samples)
        sample_time = cpu_time(lambda: dataset[0], samples)
        if shards:
            packed_set = packed(case, root, Path(folder) / "shards")
            shards_time = cpu_time(lambda: packed_set[0], samples)
    found = {
        "dataset": name,
        "native": "x".join(map(str, case.native)),
        "trained": "x".join(map(str, case.trained)),
        "tasks": "-".join(task[0].upper() for task in case.tasks),
        "decode_ms": round(1000 * files_time, 1),
        "sample_ms": round(1000 * sample_time, 1),
        "ratio": round(sample_time / files_time, 2),
        "samples_per_second": round(1 / sample_time, 1),
    }
    if shards:
        found |= {
            "shards_ms": round(1000 * shards_time, 1),
            "shards_ratio": round(shards_time / files_time, 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", default=",".join(CASES))
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--root", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--shards", action="store_true", help="also packed at the trained size")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    roots = {name: Path(path) for name, _, path in (text.partition("=") for text in args.root)}
    names = args.datasets.split(",")
    rows = [measure(name, roots.get(name), args.samples, args.shards) for name in names]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in columns) + " |")


if __name__ == "__main__":
    main()
