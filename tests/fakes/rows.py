"""A data set of the library `datasets`: the images and labels of `fakes.folder`, as columns."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from fakes.folder import CAMERA, scene_of

CLASSES = ("sky", "ground", "left wall", "far wall", "box", "right wall")
FEATURES = {
    "image": datasets.Image(),
    "label": datasets.Image(),
    "depth": datasets.Array2D((None, 64), "float32"),
    "camera": datasets.List(datasets.Value("float64")),
    "title": datasets.Value("string"),
}


def encoded(image: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> dict[str, Any]:
    """A cell of the type Image: the bytes of a file."""
    file = io.BytesIO()
    pixels = image if isinstance(image, Image.Image) else Image.fromarray(image)
    pixels.save(file, format=format, **options)
    return {"bytes": file.getvalue(), "path": None}


def row(index: int) -> dict[str, Any]:
    """Every third row lacks a mask."""
    scene = scene_of(index)
    ids = scene.regions.astype(np.uint8)
    ids[:2] = 255
    return {
        "image": encoded(scene.image, "JPEG", quality=95),
        "label": None if index % 3 == 2 else encoded(ids),
        "depth": scene.depth,
        "camera": CAMERA,
        "title": f"scene {index}",
    }


def table(rows: list[dict[str, Any]], **features: Any) -> datasets.Dataset:
    """Rows as a data set; `features` beside, or in place of, the usual ones of the columns that are there."""
    known = {k: f for k, f in {**FEATURES, **features}.items() if k in rows[0]}
    columns = {k: [r[k] for r in rows] for k in known}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(known))


def save(root: Path, found: datasets.Dataset | Mapping[str, datasets.Dataset]) -> Path:
    """As `save_to_disk` writes it, without its progress bar."""
    whole = found if isinstance(found, datasets.Dataset) else datasets.DatasetDict(found)
    datasets.disable_progress_bars()
    whole.save_to_disk(str(root))
    return root


def write(root: Path, train: int = 8, val: int = 2) -> Path:
    """Two splits, with class names in a file beside them."""
    splits = {
        "train": table([row(i) for i in range(train)]),
        "validation": table([row(train + i) for i in range(val)]),
    }
    save(root, splits)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root
