"""Miniatures of what annotation tools export: one image with a square of the class `a`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (12, 20)
CORNERS = [[2, 1], [10, 1], [10, 7], [2, 7]]


def write(tool: str, folder: Path) -> Path:
    """Writes images and annotations of `tool`; returns what `crosstask data prepare TOOL` takes."""
    names = [f"photo_{number}" for number in range(4)]
    images = folder if tool == "labelme" else folder / "images"
    images.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for name in names:
        Image.fromarray(noise.integers(0, 256, (*SIZE, 3), np.uint8)).save(images / f"{name}.png")
    return {"coco": _coco, "cvat": _cvat, "labelme": _labelme, "labelstudio": _labelstudio}[tool](
        folder, names
    )


def _coco(folder: Path, names: list[str]) -> Path:
    height, width = SIZE
    polygon = [[value for corner in CORNERS for value in corner]]
    content: dict[str, Any] = {
        "images": [
            {"id": i, "file_name": f"{name}.png", "height": height, "width": width}
            for i, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": polygon}
            for i in range(len(names))
        ],
    }
    return _json(folder / "instances.json", content)


def _cvat(folder: Path, names: list[str]) -> Path:
    points = ";".join(f"{x},{y}" for x, y in CORNERS)
    shape = f'<polygon label="a" points="{points}" z_order="0"/>'
    images = "".join(
        f'<image id="{i}" name="{name}.png" width="{SIZE[1]}" height="{SIZE[0]}">{shape}</image>'
        for i, name in enumerate(names)
    )
    label = "<label><name>a</name><color>#ff0000</color></label>"
    meta = f"<meta><task><labels>{label}</labels></task></meta>"
    (folder / "annotations.xml").write_text(f"<annotations>{meta}{images}</annotations>")
    return folder


def _labelme(folder: Path, names: list[str]) -> Path:
    for name in names:
        content = {
            "imagePath": f"{name}.png", "imageHeight": SIZE[0], "imageWidth": SIZE[1], "imageData": None,
            "shapes": [{"label": "a", "points": CORNERS, "shape_type": "polygon"}],
        }  # fmt: skip
        _json(folder / f"{name}.json", content)
    (folder / "labels.txt").write_text("__ignore__\n_background_\na\n")
    return folder


def _labelstudio(folder: Path, names: list[str]) -> Path:
    percent = [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in CORNERS]
    region = {
        "original_width": SIZE[1], "original_height": SIZE[0], "type": "polygonlabels",
        "value": {"points": percent, "polygonlabels": ["a"]},
    }  # fmt: skip
    tasks = [
        {"id": i, "data": {"image": f"/data/upload/1/0a1b2c3d-{name}.png"},
         "annotations": [{"result": [region]}]}
        for i, name in enumerate(names)
    ]  # fmt: skip
    return _json(folder / "export.json", tasks)


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path
