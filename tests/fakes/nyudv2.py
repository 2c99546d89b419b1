"""Both multi-task packages of NYUDv2, and the official .mat files that `prepare` reads."""

from pathlib import Path

import numpy as np

from fakes.png import write_jpeg, write_npy, write_png
from fakes.scene import Scene, render

# wall-like regions of an indoor scene: stored ids 1..40 (0 void)
IDS = np.array([0, 2, 1, 8, 5, 21], dtype=np.uint8)
_K, _TOP, _LEFT = (518.8579, 519.46961, 325.58245, 253.73617), 45, 40


def camera(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The colour camera behind the 425x560 crop, at this size."""
    sx, sy = size[1] / 560, size[0] / 425
    fx, fy, cx, cy = _K
    return fx * sx, fy * sy, (cx - _LEFT + 0.5) * sx - 0.5, (cy - _TOP + 0.5) * sy - 0.5


def scene_of(index: int, size: tuple[int, int] = (85, 112)) -> Scene:
    """What the frame shows: a room."""
    return render(index, size, camera(size), open_sky=False, extent=0.5)


def stored_normals(scene: Scene) -> np.ndarray:
    """Both packages: x right, y up, z towards the camera."""
    normals = scene.normals * np.array([1, -1, -1], np.float32)
    normals[:4] = 0
    return normals.astype(np.float32)


def edge_map(scene: Scene) -> np.ndarray:
    ids = IDS[scene.regions]
    edge = np.zeros(ids.shape, dtype=np.uint8)
    differ = ids[:, 1:] != ids[:, :-1]
    edge[:, 1:] |= differ
    edge[:, :-1] |= differ
    return edge


def write(
    root: Path,
    train: int = 4,
    val: int = 2,
    edition: str = "NYUDv2",
    size: tuple[int, int] = (85, 112),
) -> Path:
    """A miniature: `edition` NYUDv2 (png) or NYUD_MT (jpg and npy)."""
    names = {
        "train": [f"{3 + i:04d}" for i in range(train)],
        "val": [f"{900 + i:04d}" for i in range(val)],
    }
    (root / "gt_sets").mkdir(parents=True, exist_ok=True)
    for split, split_names in names.items():
        (root / "gt_sets" / f"{split}.txt").write_text("\n".join(split_names) + "\n")
        for name in split_names:
            _frame(root, name, scene_of(int(name), size), edition)
    return root


def _frame(root: Path, name: str, scene: Scene, edition: str) -> None:
    ids, depth, normals = IDS[scene.regions], scene.depth.copy(), stored_normals(scene)
    ids[:3], depth[6:8, 6:9] = 0, 0
    write_png(root / "segmentation" / f"{name}.png", ids)
    write_npy(root / "depth" / f"{name}.npy", depth)
    edge = edge_map(scene)
    if edition == "NYUD_MT":
        write_jpeg(root / "images" / f"{name}.jpg", scene.image)
        write_npy(root / "normals" / f"{name}.npy", normals)
        write_npy(root / "edge" / f"{name}.npy", edge.astype(np.float32))
    else:
        write_png(root / "images" / f"{name}.png", scene.image)
        coded = np.round((normals + 1) / 2 * 255).astype(np.uint8)
        write_png(root / "normals" / f"{name}.png", coded)
        write_png(root / "edge" / f"{name}.png", edge * 255)


def write_mat(folder: Path, frames: int = 5, size: tuple[int, int] = (96, 128)) -> Path:
    """`nyu_depth_v2_labeled.mat` (HDF5, axes reversed), `splits.mat`, `classMapping40.mat`."""
    import h5py
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    fx, fy, cx, cy = (value * size[1] / 640 for value in _K)
    scenes = [render(i, size, (fx, fy, cx, cy), open_sky=False, extent=0.5) for i in range(frames)]
    raw = np.array([0, 11, 21, 894, 5, 7], dtype=np.uint16)
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([s.image.transpose(2, 1, 0) for s in scenes])
        file["depths"] = np.stack([s.depth.T for s in scenes])
        file["rawDepths"] = np.stack([np.where(s.regions == 4, 0, s.depth).T for s in scenes])
        file["labels"] = np.stack([raw[s.regions].T for s in scenes])
    mapping = np.full((1, 894), 40, dtype=np.uint8)
    for stored, target in {11: 2, 21: 1, 894: 8, 5: 5, 7: 22}.items():
        mapping[0, stored - 1] = target
    savemat(
        folder / "classMapping40.mat",
        {"mapClass": mapping, "className": np.array(["wall"], object)},
    )
    train = np.arange(3, frames + 1, dtype=np.uint16)[:, None]
    savemat(
        folder / "splits.mat", {"trainNdxs": train, "testNdxs": np.array([[1], [2]], np.uint16)}
    )
    return folder
