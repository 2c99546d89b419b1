"""Virtual KITTI 2.0.3: archives merged or side by side, with `textgt`."""

from pathlib import Path

import numpy as np

from fakes.png import write_jpeg, write_png
from fakes.scene import SKY, Scene, render

COLOURS = np.array(  # Sky, Road, Building, Tree, Car, Terrain
    [(90, 200, 255), (100, 60, 100), (140, 140, 140), (0, 199, 0), (255, 127, 80), (210, 0, 200)],
    dtype=np.uint8,
)
BASELINE = 0.532725


def camera(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """725.0087 725.0087 620.5 187 at 375x1242, at this size."""
    sx, sy = size[1] / 1242, size[0] / 375
    return 725.0087 * sx, 725.0087 * sy, 621 * sx - 0.5, 187.5 * sy - 0.5


def scene_of(number: int, size: tuple[int, int] = (40, 132)) -> Scene:
    return render(number, size, camera(size))


def write(
    root: Path,
    train: int = 5,
    val: int = 5,
    size: tuple[int, int] = (40, 132),
    scenes: tuple[str, ...] = ("Scene01", "Scene02"),
    variations: tuple[str, ...] = ("15-deg-left",),
    cameras: tuple[int, ...] = (0,),
    side_by_side: bool = False,
) -> Path:
    """A miniature with `train` frames in the first scene and `val` in the second."""
    places = {k: root / f"vkitti_2.0.3_{k}" if side_by_side else root for k in ("rgb", "depth", "classSegmentation", "textgt")}  # fmt: skip
    for scene, count in zip(scenes, (train, val), strict=True):
        for variation in variations:
            where = f"{scene}/{variation}"
            for camera_id in cameras:
                for number in range(count):
                    _frame(places, where, camera_id, number, size)
            _texts(places["textgt"] / scene / variation, count, size)
    return root


def _frame(
    places: dict[str, Path], where: str, camera_id: int, number: int, size: tuple[int, int]
) -> None:
    scene = scene_of(number, size)
    frames = f"{where}/frames"
    folder = f"Camera_{camera_id}"
    write_jpeg(places["rgb"] / frames / "rgb" / folder / f"rgb_{number:05d}.jpg", scene.image)
    depth = np.where(scene.regions == SKY, 65535, np.round(scene.depth * 100)).astype(np.uint16)
    write_png(places["depth"] / frames / "depth" / folder / f"depth_{number:05d}.png", depth)
    path = places["classSegmentation"] / frames / "classSegmentation" / folder
    colours = COLOURS[scene.regions]
    colours[-1] = 0  # Undefined
    write_png(path / f"classgt_{number:05d}.png", colours)


def world_to_camera(number: int, camera_id: int) -> np.ndarray:
    """The car turns a little and drives one metre a frame; the right camera lies to the right."""
    angle = 0.02 * number
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, -np.sin(angle)],
        [0, 1, 0],
        [np.sin(angle), 0, np.cos(angle)],
    ]
    pose[:3, 3] = (-BASELINE * camera_id, 0, -1.0 * number)
    return pose


def _texts(folder: Path, count: int, size: tuple[int, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(n, c) for n in range(count) for c in (0, 1)]
    numbers = " ".join(str(round(value, 6)) for value in camera(size))
    lines = ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]", *(f"{n} {c} {numbers}" for n, c in rows)]
    (folder / "intrinsic.txt").write_text("\n".join(lines) + "\n")
    names = " ".join(f"r{i},{j}" if j < 4 else f"t{i}" for i in (1, 2, 3) for j in (1, 2, 3, 4))
    lines = [f"frame cameraID {names} 0 0 0 1"]
    for n, c in rows:
        values = " ".join(f"{v:.9g}" for v in world_to_camera(n, c).flatten())
        lines.append(f"{n} {c} {values}")
    (folder / "extrinsic.txt").write_text("\n".join(lines) + "\n")
