"""Predictions to images and to data, written atomically."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from crosstask.drawing import panels
from crosstask.media.files import atomic_path, write_json
from crosstask.predict.model import SceneModel
from crosstask.predict.prediction import Prediction
from crosstask.tasks import PredictionFile

RECORD = "crosstask-predict.json"


def model_digest(model: SceneModel) -> str:
    """Sixteen hexadecimal digits that identify tasks and weights, wherever their file lies."""
    specs = [task.to_spec() for task in model.tasks]
    digest = hashlib.sha256(json.dumps(specs, sort_keys=True).encode())
    for name, value in sorted(model.content().items()):
        digest.update(name.encode())
        digest.update(value)
    return digest.hexdigest()[:16]


def record_settings(folder: Path, facts: Mapping[str, Any], resume: bool) -> str:
    """Keeps in the folder what its results were made with, and holds a resumed call against it.

    Args:
        facts: JSON values: the model and every option that changes a result.
        resume: whether results of an earlier call stay.

    Returns:
        A digest of the facts, which every result carries: those of a call that another one began to
        replace are told from its own.

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
    else:
        write_json(file, now)
    return hashlib.sha256(json.dumps(now, sort_keys=True).encode()).hexdigest()[:16]


def made_from(file: Path, settings: str) -> dict[str, Any]:
    """What tells a result of this file under these settings (their digest) from others of its name."""
    status = file.stat()
    return {"settings": settings, "bytes": status.st_size, "modified": status.st_mtime_ns}


def is_finished(sheet: Path, made: Mapping[str, Any]) -> bool:
    """Whether `NAME.json` is there and of what `made_from` says."""
    try:
        found = json.loads(sheet.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("made_from") == made


def write_prediction(
    prediction: Prediction,
    model: SceneModel,
    folder: Path,
    stem: str,
    made: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Writes one image's results; returns the files.

    `STEM_panel.png`; for each task what its `files` are (`STEM_depth.npy`, or
    `STEM_depth_up_to_scale.npy`, see `Task.kind_of`); `STEM.json`: size, units, kinds of lengths
    and why they are up to scale, intrinsics, and `made` (of `made_from`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    facts: dict[str, object] = {"size": list(prediction.image.shape[-2:])}
    for task in model.tasks:
        kind = prediction.kind(task)
        for file in task.files(prediction[task.name], kind):
            files.append(_write(folder / f"{stem}_{task.name}{file.ending}", file))
        facts[task.name] = task.unit_of(kind)
    if prediction.depth_kind:
        facts["depth_kind"] = prediction.depth_kind
        facts["kinds"] = dict(prediction.kinds)
    if prediction.notes:
        facts["notes"] = dict(prediction.notes)
    if prediction.remark:
        facts["remark"] = prediction.remark
    if prediction.intrinsics is not None:
        facts["intrinsics"] = prediction.intrinsics.tolist()
        facts["intrinsics_from"] = prediction.camera_source
    if made is not None:
        facts["made_from"] = dict(made)
    panel = folder / f"{stem}_panel.png"
    image = panels.panel(
        prediction.image, {}, prediction.values, model.tasks, kinds=prediction.kinds
    )
    panels.save(panel, image)
    sheet = folder / f"{stem}.json"
    write_json(sheet, facts)
    return [*files, panel, sheet]


def _write(path: Path, file: PredictionFile) -> Path:
    with atomic_path(path) as temporary:
        if path.suffix == ".npy":
            with temporary.open("wb") as stream:
                np.save(stream, file.array)
        else:
            chunks = PngInfo()
            for key, text in file.text.items():
                chunks.add_text(key, text)
            Image.fromarray(file.array).save(temporary, format="PNG", pnginfo=chunks)
    return path
