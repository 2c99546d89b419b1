"""Whole files of every kind that users give: frames of a folder, lists, a trained run and its model."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fakes.folder import CAMERA, scene_of
from fakes.png import write_png

SIZE = (32, 48)
IMAGES = ("png", "jpg", "bmp", "webp", "tif", "gif", "ppm")
MASKS = ("png", "npy", "tif", "gif", "bmp")
DEPTHS = ("npy", "png", "npz", "tif", "pfm", "h5")
CAMERAS = ("txt", "yaml", "json")
# kind: (folder, ending) of the one file of a frame that is not as usual.
KINDS = {
    **{f"image.{e}": ("images", e) for e in IMAGES},
    **{f"segmentation.{e}": ("segmentation", e) for e in MASKS},
    **{f"depth.{e}": ("depth", e) for e in DEPTHS},
    **{f"camera.{e}": ("intrinsics", e) for e in CAMERAS},
    "normals.npy": ("normals", "npy"),
    "edges.png": ("edges", "png"),
}
USUAL = {
    "images": "png", "segmentation": "png", "depth": "npy", "normals": "npy", "edges": "png", "intrinsics": "txt",
}  # fmt: skip
LISTS = ("classes.txt", "folder.yaml", "intrinsics.txt", "splits/train.txt")


def write_frame(root: Path, name: str, kind: str = "") -> Path | None:
    """All files of a frame; returns the one of that kind."""
    folder, ending = KINDS.get(kind, ("", ""))
    scene = scene_of(0, SIZE)
    arrays = {
        "images": scene.image,
        "segmentation": scene.regions.astype(np.uint8),
        "depth": scene.depth.astype(np.float32),
        "normals": np.broadcast_to(np.array([0, 0, -1], np.float32), (*SIZE, 3)).copy(),
        "edges": np.where(scene.regions == 1, 255, 0).astype(np.uint8),
    }
    made = None
    for part, usual in USUAL.items():
        file = root / part / f"{name}.{ending if part == folder else usual}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if part == "intrinsics":
            file.write_text(_camera(file.suffix))
        else:
            _write(file, arrays[part])
        made = file if part == folder else made
    return made


def _write(file: Path, array: np.ndarray) -> None:
    stored = array
    if file.parent.name == "depth" and file.suffix == ".png":
        stored = np.round(array * 1000).astype(np.uint16)
    if file.suffix == ".npy":
        np.save(file, stored)
    elif file.suffix == ".npz":
        np.savez_compressed(file, depth=stored)
    elif file.suffix == ".png":
        write_png(file, stored)
    elif file.suffix == ".pfm":
        file.write_bytes(
            b"Pf\n%d %d\n-1.0\n" % (SIZE[1], SIZE[0]) + stored[::-1].astype("<f4").tobytes()
        )
    elif file.suffix == ".h5":
        import h5py

        stream = io.BytesIO()
        with h5py.File(stream, "w") as archive:
            archive["depth"] = stored
        file.write_bytes(stream.getvalue())
    else:
        Image.fromarray(stored).save(file)


def _camera(suffix: str) -> str:
    fx, fy, cx, cy = CAMERA
    if suffix == ".txt":
        return " ".join(map(str, CAMERA)) + "\n"
    matrix = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    if suffix == ".yaml":
        size = f"image_width: {SIZE[1]}\nimage_height: {SIZE[0]}\n"
        return f"{size}camera_matrix:\n  rows: 3\n  cols: 3\n  data: {matrix}\n"
    about: dict[str, Any] = {"width": SIZE[1], "height": SIZE[0], "fx": fx, "fy": fy}
    return json.dumps({**about, "ppx": cx, "ppy": cy, "model": "none", "coeffs": [0, 0, 0, 0, 0]})


def write_lists(root: Path, frames: bool = True) -> Path:
    """The files that say how a folder is to be read, and two frames."""
    names = ("sky", "ground", "left wall", "far wall", "box", "right wall")
    (root / "splits").mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {40 * i} {255 - 40 * i} 90" for i, name in enumerate(names)]
    (root / "classes.txt").write_text("\n".join(lines) + "\n")
    (root / "folder.yaml").write_text("masks: ids\nvoid: 255\ndepth_scale: 1000\n")
    if frames:
        (root / "intrinsics.txt").write_text(_camera(".txt"))
        for name in ("a", "b"):
            write_frame(root, name)
            (root / "intrinsics" / f"{name}.txt").unlink()
        (root / "intrinsics").rmdir()
        (root / "splits/train.txt").write_text("a\n")
        (root / "splits/val.txt").write_text("b\n")
    return root


def train_command(run: Path, data: Path, steps: int, *more: str) -> list[str]:
    """Of a network that is made within a second."""
    return [
        "train", "folder.supervised", "--root", str(data), "--run", str(run), "--encoder", "test_resnet", "--encoder-weights", "none",
        "--width", "0.0625", "--size", f"{SIZE[0]}x{SIZE[1]}", "--tasks", "segmentation,depth", "--steps", str(steps),
        "--val-every", str(steps), "--batch-size", "4", "--workers", "0", "--quiet", "--accelerator", "cpu",
        "--precision", "32", "--architecture", "multi_task", *more,
    ]  # fmt: skip
