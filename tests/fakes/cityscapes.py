"""Cityscapes' official tree, or the pre-shrunk one, with two cameras and a video around each frame."""

import json
from pathlib import Path

import numpy as np

from fakes.png import write_jpeg, write_png
from fakes.scene import SKY, Scene, render

CAMERAS = {  # baseline, fx, fy, u0, v0 at 1024x2048
    "aachen": (0.209313, 2262.52, 2265.3017905988554, 1096.98, 513.137),
    "hamburg": (0.222126, 2268.36, 2225.5405988775956, 1048.64, 519.277),
    "frankfurt": (0.222126, 2268.36, 2225.5405988775956, 1048.64, 519.277),
    "berlin": (0.209313, 2262.52, 2265.3017905988554, 1096.98, 513.137),
}
CITIES = {"train": ("aachen", "hamburg"), "val": ("frankfurt",), "test": ("berlin",)}
# sky, road, building, vegetation, car, wall
IDS = np.array([23, 7, 11, 21, 26, 12], dtype=np.uint8)


def write(
    root: Path,
    train: int = 4,
    val: int = 2,
    size: tuple[int, int] = (64, 128),
    small: bool = False,
    sequences: bool = True,
) -> Path:
    """A miniature. `small` writes leftImg8bit_small at half size; labels keep the full size."""
    for split, count in {"train": train, "val": val, "test": 1}.items():
        for index in range(count):
            city = CITIES[split][index % len(CITIES[split])]
            _frame(root, split, city, index, size, small, sequences)
    return root


def scene_of(city: str, index: int, size: tuple[int, int]) -> Scene:
    """What the frame shows."""
    _, fx, fy, u0, v0 = CAMERAS[city]
    s = size[1] / 2048
    return render(index, size, (fx * s, fy * s, (u0 + 0.5) * s - 0.5, (v0 + 0.5) * s - 0.5))


def _frame(
    root: Path, split: str, city: str, index: int, size: tuple[int, int], small: bool, video: bool
) -> None:
    name = f"{city}_{index:06d}_000019"
    baseline, fx, fy, u0, v0 = CAMERAS[city]
    scene = scene_of(city, index, size)
    folder = "leftImg8bit_small" if small else "leftImg8bit"
    _image(root / folder / split / city / f"{name}_leftImg8bit", scene.image, small)
    if video:
        for offset in (-1, 1) if index != 1 else (-1,):  # one frame has no successor
            path = root / folder.replace("8bit", "8bit_sequence") / split / city
            image = np.roll(scene.image, offset, axis=1)
            _image(path / f"{city}_{index:06d}_{19 + offset:06d}_leftImg8bit", image, small)
    ids = IDS[scene.regions]
    ids[-3:] = 1  # ego vehicle
    ids[:, :2] = 0  # unlabelled
    if split == "test":
        ids[:] = 0
    truth = root / "gtFine" / split / city / f"{name}_gtFine"
    write_png(Path(f"{truth}_labelIds.png"), ids)
    write_png(Path(f"{truth}_instanceIds.png"), ids.astype(np.uint16))
    colours = np.repeat(ids[..., None], 4, axis=-1)
    write_png(Path(f"{truth}_color.png"), colours)
    write_png(root / "disparity" / split / city / f"{name}_disparity.png", disparity(scene, city))
    camera = {
        "extrinsic": {
            "baseline": baseline,
            "pitch": 0.04,
            "roll": 0.0,
            "x": 1.7,
            "y": 0.1,
            "yaw": 0.0,
            "z": 1.22,
        },
        "intrinsic": {"fx": fx, "fy": fy, "u0": u0, "v0": v0},
    }
    path = root / "camera" / split / city / f"{name}_camera.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(camera))


def disparity(scene: Scene, city: str) -> np.ndarray:
    """16-bit p = 256 d + 1; 0 and 1 without a measurement; nonsense in the sky, as stereo gives."""
    baseline, fx, *_ = CAMERAS[city]
    depth = np.where(scene.regions == SKY, 100.0, scene.depth)
    values = 256 * baseline * fx * depth.shape[1] / 2048 / depth + 1
    result = np.round(values).astype(np.uint16)
    result[5, 5:9], result[6, 5:9] = 0, 1
    return result


def _image(stem: Path, image: np.ndarray, small: bool) -> None:
    if small:
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        halves = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
        write_jpeg(stem.with_suffix(".jpg"), halves.astype(np.uint8))
    else:
        write_png(stem.with_suffix(".png"), image)
