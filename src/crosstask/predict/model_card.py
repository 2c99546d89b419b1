"""A model as a directory: safetensors, JSON and a card that a person reads."""

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from crosstask.media.files import atomic_path

if TYPE_CHECKING:
    from crosstask.predict.model import SceneModel


PLACE = "PATH_OR_HUB_ID"


def write_model(
    model: "SceneModel",
    folder: Path,
    metrics: Mapping[str, float] | None = None,
    half: bool = False,
    place: str = PLACE,
) -> Path:
    """Writes model.safetensors, model.json and README.md; each atomically.

    `model.json` holds the SHA-256 of the weights, so that a mixed-up pair is noticed.

    Args:
        half: parameters as float16; norm statistics, whose range it may not hold, stay float32.
        place: where the model will lie, for the card's example.

    Raises:
        ValueError: `half`, and a parameter that float16 cannot hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        k: v.detach().cpu().contiguous().clone() for k, v in model.network.state_dict().items()
    }
    if half:
        for name, _ in model.network.named_parameters():
            weights[name] = weights[name].half()
            if not bool(weights[name].isfinite().all()):
                raise ValueError(f"`{name}` is too large for float16; leave `half` out")
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    description = {**model.description, "sha256": digest}
    if metrics is not None:
        description["metrics"] = dict(metrics)
    with atomic_path(folder / "model.json") as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n")
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(model_card(description, place))
    return folder


def push_model(model: "SceneModel", name: str, private: bool, token: str | None) -> str:
    """See `SceneModel.push_to_hub`."""
    from huggingface_hub import HfApi

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(f"`name` is {name!r}; expected owner/model")
    with tempfile.TemporaryDirectory() as folder:
        write_model(model, Path(folder), place=f"hf://{name}")
        try:
            api = HfApi(token=token)
            address = str(api.create_repo(name, private=private, exist_ok=True))
            api.upload_folder(repo_id=name, folder_path=folder)
        except Exception as error:  # of HTTP, of names, of the network
            raise ValueError(
                f"{name} cannot be pushed to the hub ({type(error).__name__}: "
                f"{str(error).strip().partition(chr(10))[0][:200]}); log in with `hf auth login`, or give "
                "`token`, of somebody who may write there"
            ) from error
    return address


def model_card(description: Mapping[str, Any], place: str = PLACE) -> str:
    """The card's text, in the hub's format, from the content of model.json.

    Args:
        place: what `crosstask.load` is given in its example.
    """
    model = description["model"]
    tasks = [task["name"] for task in description["tasks"]]
    lines = [
        "---",
        "library_name: crosstask",
        "tags: [multi-task-learning, " + ", ".join(tasks) + "]",
        "---",
        "",
        f"# {model['architecture']} on {model['encoder']}",
        "",
        f"Dense multi-task network for {', '.join(tasks)}, made with crosstask.",
        "",
        "```python",
        "import crosstask",
        f'scene = crosstask.load("{place}").predict("street.jpg", fx=720.0)',
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| recipe | {description.get('recipe', 'not recorded')} |",
        f"| protocol | {description.get('protocol', 'correct')} |",
        f"| training size | {_size(description)} |",
        f"| options | `{json.dumps(model['options'])}` |",
        f"| encoder's first weights | {_weights(model)} |",
    ]
    if description.get("camera"):
        lines.append(f"| camera | {description['camera']} |")
    lines += [f"| {name} | {unit} |" for name, unit in description.get("units", {}).items() if unit]
    for task in description["tasks"]:
        classes = task.get("classes")
        names = [c["name"] for c in classes] if isinstance(classes, list) else None
        if names:
            lines += [
                "",
                f"## Classes of {task['name']}",
                "",
                ", ".join(f"{i} {n}" for i, n in enumerate(names)),
            ]
    metrics = description.get("metrics") or {}
    if metrics:
        lines += ["", "## Metrics on the validation split", "", "| metric | value |", "|---|---|"]
        lines += [f"| {k} | {v:.4f} |" for k, v in metrics.items() if "/iou/" not in k]
    lines += [
        "",
        "## Limits",
        "",
        "Trained on one dataset; on images of another kind expect worse. Weights inherit the terms of",
        "the data and of the pretrained encoder, where one was used.",
        "",
    ]
    return "\n".join(lines)


def _weights(model: Mapping[str, Any]) -> str:
    """Where the encoder's pretrained weights came from, and their licence."""
    if "encoder_weights" not in model:
        return "not recorded"
    weights = model["encoder_weights"]
    if weights is None:
        return "random"
    return f"{weights['source']}; licence: {weights['licence'] or 'not declared'}"


def _size(description: Mapping[str, Any]) -> str:
    size = description.get("size")
    return f"{size[0]} x {size[1]}" if size else "not recorded"
