"""PASCAL_MT: palette masks, PASCAL-Part structures, distilled saliency and normals, LabelMaps."""

from pathlib import Path

import numpy as np

from fakes.png import write_jpeg, write_palette_png, write_png
from fakes.scene import BOX, GROUND, Scene, render

IDS = np.array([0, 0, 9, 0, 15, 20], dtype=np.uint8)  # background, chair, person, tv monitor
LABEL_MAP = np.array([360, 158, 59, 420, 284, 435], dtype=np.uint16)


def scene_of(index: int, size: tuple[int, int] = (48, 64)) -> Scene:
    return render(index, size, (50.0, 50.0, size[1] / 2, size[0] / 2))


def write(root: Path, train: int = 4, val: int = 2, size: tuple[int, int] = (48, 64)) -> Path:
    """A miniature; every third image has its mask in VOC12's place, the last shows no person."""
    names = {
        "train": [f"2008_{i:06d}" for i in range(train)],
        "val": [f"2009_{i:06d}" for i in range(val)],
    }
    lists = root / "ImageSets" / "Context"
    lists.mkdir(parents=True, exist_ok=True)
    for split, split_names in names.items():
        (lists / f"{split}.txt").write_text("\n".join(split_names) + "\n")
        for index, name in enumerate(split_names):
            person = split == "train" or index < len(split_names) - 1
            _frame(root, name, scene_of(index, size), voc=index % 3 == 0, person=person)
    return root


def _frame(root: Path, name: str, scene: Scene, voc: bool, person: bool) -> None:
    from scipy.io import savemat

    write_jpeg(root / "JPEGImages" / f"{name}.jpg", scene.image)
    ids = IDS[scene.regions]
    ids[:2] = 255
    write_palette_png(root / "semseg" / ("VOC12" if voc else "pascal-context") / f"{name}.png", ids)
    write_png(
        root / "sal_distill" / f"{name}.png",
        np.where(scene.regions == BOX, 255, 20).astype(np.uint8),
    )
    normals = scene.normals * np.array([1, -1, -1])
    write_png(
        root / "normals_distill" / f"{name}.png", np.round((normals + 1) / 2 * 255).astype(np.uint8)
    )
    label_map = LABEL_MAP[scene.regions]
    (root / "pascal-context" / "trainval").mkdir(parents=True, exist_ok=True)
    savemat(root / "pascal-context" / "trainval" / f"{name}.mat", {"LabelMap": label_map})
    (root / "human_parts").mkdir(parents=True, exist_ok=True)
    savemat(root / "human_parts" / f"{name}.mat", {"anno": annotation(name, scene, person)})


def annotation(name: str, scene: Scene, person: bool) -> dict:
    """anno.objects(i) with class, class_ind, mask, parts(j) with part_name and mask."""
    box = (scene.regions == BOX).astype(np.uint8)
    rows = np.nonzero(box.any(1))[0]
    middle = int(rows.mean()) if len(rows) else 0
    head, torso = box.copy(), box.copy()
    head[middle:], torso[:middle] = 0, 0
    parts = _struct([{"part_name": "hair", "mask": head}, {"part_name": "torso", "mask": torso}])
    ground = (scene.regions == GROUND).astype(np.uint8)
    objects = [{"class": "chair", "class_ind": 9, "mask": ground, "parts": np.zeros((0, 0))}]
    if person:
        objects.append({"class": "person", "class_ind": 15, "mask": box, "parts": parts})
    return {"imname": name, "objects": _struct(objects)}


def _struct(entries: list[dict]) -> np.ndarray:
    result = np.zeros((1, len(entries)), dtype=[(key, object) for key in entries[0]])
    for column, entry in enumerate(entries):
        for key, value in entry.items():
            result[0, column][key] = value
    return result
