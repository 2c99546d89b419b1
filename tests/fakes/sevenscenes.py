"""7-Scenes: a flat folder of frames, or a scene with sequences and its two lists."""

from pathlib import Path

import numpy as np

from fakes.png import write_jpeg, write_png
from fakes.scene import Scene, render


def scene_of(index: int, size: tuple[int, int] = (48, 64)) -> Scene:
    s = size[1] / 640
    camera = (585 * s, 585 * s, 320.5 * s - 0.5, 240.5 * s - 0.5)
    return render(index, size, camera, open_sky=False, extent=0.5)


def camera_to_world(index: int) -> np.ndarray:
    angle = 0.03 * index
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    pose[:3, 3] = (0.1 * index, 0.0, 0.05 * index)
    return pose


def write(
    root: Path,
    train: int = 12,
    val: int = 3,
    size: tuple[int, int] = (48, 64),
    sequences: bool = False,
) -> Path:
    """A miniature of `train + val` frames; with `sequences`, as seq-01 (train) and seq-02 (test)."""
    if not sequences:
        return _folder(root, train + val, size)
    _folder(root / "seq-01", train + val, size)
    _folder(root / "seq-02", val, size)
    (root / "TrainSplit.txt").write_text("sequence1\n")
    (root / "TestSplit.txt").write_text("sequence2\n")
    return root


def _folder(root: Path, count: int, size: tuple[int, int]) -> Path:
    for index in range(count):
        scene = scene_of(index, size)
        stem = root / f"frame-{5 * index:06d}"
        write_jpeg(Path(f"{stem}.color.jpg"), scene.image)
        depth = np.round(scene.depth * 1000).astype(np.uint16)
        depth[:2], depth[2:4] = 0, 65535
        write_png(Path(f"{stem}.depth.png"), depth)
        np.savetxt(f"{stem}.pose.txt", camera_to_world(index), delimiter="\t")
    np.savetxt(root / "camera-intrinsics.txt", [[585, 0, 320], [0, 585, 240], [0, 0, 1]])
    return root
