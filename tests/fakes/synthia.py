"""SYNTHIA-RAND-CITYSCAPES, and a SEQS subset: 16-bit colour labels, centimetres in 16 bits."""

from pathlib import Path

import numpy as np

from fakes.png import write_png
from fakes.scene import SKY, Scene, render

IDS = np.array([1, 3, 2, 6, 8, 21], dtype=np.uint16)  # sky, road, building, vegetation, car, wall
SEQS_IDS = np.array([1, 3, 2, 6, 8, 12], dtype=np.uint16)  # the right wall becomes lane marking
_K = (532.740352, 532.740352, 640.0, 380.0)


def scene_of(index: int, size: tuple[int, int] = (76, 128)) -> Scene:
    s = size[1] / 1280
    fx, fy, cx, cy = _K
    return render(index, size, (fx * s, fy * s, (cx + 0.5) * s - 0.5, (cy + 0.5) * s - 0.5))


def centimetres(scene: Scene) -> np.ndarray:
    """uint16, sky saturated."""
    return np.where(scene.regions == SKY, 65535, np.round(scene.depth * 100)).astype(np.uint16)


def write(
    root: Path,
    train: int = 4,
    val: int = 1,
    size: tuple[int, int] = (76, 128),
    variant: str = "rand",
    labels: str = "rgb16",
) -> Path:
    """A miniature of `train + val` frames; `labels` rgb16 (official) or grey8 (re-distributed)."""
    for index in range(train + val):
        scene = scene_of(index, size)
        name = f"{index:07d}" if variant == "rand" else f"Stereo_Left/Omni_F/{index:06d}"
        ids = (IDS if variant == "rand" else SEQS_IDS)[scene.regions]
        ids[:2] = 0
        write_png(root / "RGB" / f"{name}.png", scene.image)
        if labels == "rgb16":
            instances = np.where(ids == 8, 193 + index, 0).astype(np.uint16)
            packed = np.stack([ids, instances, np.zeros_like(ids)], axis=-1)
            write_png(root / "GT" / "LABELS" / f"{name}.png", packed)
        else:
            write_png(root / "GT" / "parsed_LABELS" / f"{name}.png", ids.astype(np.uint8))
        depth = centimetres(scene)
        place = root / "Depth" / "Depth" if variant == "rand" else root / "Depth"
        write_png(place / f"{name}.png", np.repeat(depth[..., None], 3, axis=-1))
    return root
