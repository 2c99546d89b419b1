"""Predictions to images and to data, written atomically."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from crosstask.drawing import panels
from crosstask.media.files import atomic_path, write_json
from crosstask.media.reading import read_text
from crosstask.predict.model import Prediction, SceneModel

DEPTH_PNG_PER_METRE = 256.0
RECORD = "crosstask-predict.json"


def model_digest(model: SceneModel) -> str:
    """Sixteen hexadecimal digits that identify tasks and weights, wherever their file lies."""
    specs = [task.to_spec() for task in model.tasks]
    digest = hashlib.sha256(json.dumps(specs, sort_keys=True).encode())
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def record_settings(folder: Path, facts: Mapping[str, Any], resume: bool) -> None:
    """Keeps in the folder what its results were made with, and holds a resumed call against it.

    Args:
        facts: JSON values: the model and every option that changes a result.
        resume: whether results of an earlier call stay.

    Raises:
        ValueError: the results that would stay were made with another model or other options.
    """
    file, now = folder / RECORD, json.loads(json.dumps(dict(facts)))
    if resume and file.is_file():
        then = json.loads(file.read_text())
        differing = [key for key in dict.fromkeys([*then, *now]) if then.get(key) != now.get(key)]
        if differing:
            lines = "\n".join(f"  {k}: {then.get(k)!r} then, {now.get(k)!r} now" for k in differing)
            raise ValueError(
                f"{folder} holds predictions made with other settings:\n{lines}\n"
                "give the same, another `--output`, or leave out `--resume` to predict all again"
            )
        return
    write_json(file, now)


def write_prediction(
    prediction: Prediction, model: SceneModel, folder: Path, stem: str
) -> list[Path]:
    """Writes one image's results; returns the files.

    `STEM_panel.png`; `STEM_segmentation.png` class ids (8 bit, 16 bit above 255 classes);
    `STEM_depth.npy` float32 and `STEM_depth.png` 16 bit with its scale in the PNG's text chunks
    (metres for a known camera; the name says `up_to_scale` otherwise); `STEM_normals.npy` and
    `.png` ((n + 1) / 2 * 255); `STEM_edges.png` probability * 255; `STEM.json` units and kinds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    facts: dict[str, object] = {"size": list(prediction.image.shape[-2:])}
    for task in model.tasks:
        value = prediction[task.name].numpy()
        files += _write_task(task.name, value, prediction, folder, stem)
        facts[task.name] = model.description.get("units", {}).get(task.name, "")
    if prediction.depth_kind:
        facts["depth_kind"] = prediction.depth_kind
    if prediction.intrinsics is not None:
        facts["intrinsics"] = prediction.intrinsics.tolist()
    panel = folder / f"{stem}_panel.png"
    unit = "metres" if prediction.depth_kind == "metric" else "up to scale"
    image = panels.panel(prediction.image, {}, prediction.values, model.tasks, depth_unit=unit)
    with atomic_path(panel) as temporary:
        panels.save(temporary, image)
    sheet = folder / f"{stem}.json"
    with atomic_path(sheet) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")
    return [*files, panel, sheet]


def _write_task(name: str, value: np.ndarray, p: Prediction, folder: Path, stem: str) -> list[Path]:
    if value.ndim == 2:
        kind = np.uint8 if value.max(initial=0) <= 255 else np.uint16
        return [_png(folder / f"{stem}_{name}.png", value.astype(kind))]
    if name.startswith("depth"):
        metric = p.depth_kind == "metric"
        base = f"{stem}_{name}" if metric else f"{stem}_{name}_up_to_scale"
        scaled = np.clip(np.round(value[0] * DEPTH_PNG_PER_METRE), 0, 65535).astype(np.uint16)
        unit = "metres" if metric else "up to scale"
        info = {"scale": str(1 / DEPTH_PNG_PER_METRE), "unit": unit, "void": "0"}
        return [_npy(folder / f"{base}.npy", value[0]), _png(folder / f"{base}.png", scaled, info)]
    if value.shape[0] == 3:
        coded = np.clip(np.round((value.transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)
        info = {"encoding": "n = 2 * value / 255 - 1; x right, y down, z forward"}
        return [
            _npy(folder / f"{stem}_{name}.npy", value),
            _png(folder / f"{stem}_{name}.png", coded, info),
        ]
    coded = np.clip(np.round(value[0] * 255), 0, 255).astype(np.uint8)
    return [_png(folder / f"{stem}_{name}.png", coded, {"unit": "probability * 255"})]


def _png(path: Path, array: np.ndarray, info: dict[str, str] | None = None) -> Path:
    chunks = PngInfo()
    for key, text in (info or {}).items():
        chunks.add_text(key, text)
    with atomic_path(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG", pnginfo=chunks)
    return path


def _npy(path: Path, array: np.ndarray) -> Path:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array.astype(np.float32))
    return path


def read_intrinsics(text: str) -> torch.Tensor:
    """(3,3) from "fx,fy,cx,cy", or from a text file of 4 or 9 numbers."""
    path = Path(text)
    content = read_text(path) if path.is_file() else text
    try:
        numbers = [float(x) for x in content.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) == 9:
        return torch.tensor(numbers).reshape(3, 3)
    if len(numbers) == 4:
        fx, fy, cx, cy = numbers
        return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    raise ValueError(
        f"`intrinsics` is {text!r}; expected fx,fy,cx,cy or a text file with these four numbers or a 3x3 matrix"
    )
