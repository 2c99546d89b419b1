"""Where a model may live: a run, a model directory, a checkpoint, the package, the hub."""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from crosstask.engine.box import boxed_model
from crosstask.engine.checkpoints import network_weights, read_checkpoint, read_safetensors
from crosstask.engine.description import ModelFileError, parse_description, read_description
from crosstask.engine.runs import Run

HUB = "hf://"


def local_copy(place: Path | str) -> Path:
    """The place itself, a model that comes with the package, or the downloaded `hf://owner/model`.

    A path that exists comes before a model of that name. Nothing but `hf://` goes to
    the hub: a mistyped path stays here.

    Raises:
        ModelFileError: the model cannot be downloaded, or the address is not such an address.
    """
    text = str(place)
    if not text.startswith(HUB):
        return Path(place) if Path(place).exists() else boxed_model(text) or Path(place)
    name = text.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ModelFileError(f"`{text}` is not an address of the hub; expected hf://owner/model")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["model.safetensors", "model.json"]))
    except Exception as error:
        raise ModelFileError(
            f"{text} cannot be downloaded from the hub ({type(error).__name__}); check the name and the "
            "network, or give a local path"
        ) from error


def nothing_there(path: Path) -> ModelFileError:
    """What to say of a path where no file or folder is."""
    text = path.as_posix()
    hub = (
        f"; a model of the hub is {HUB}{text}"
        if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text)
        else ""
    )
    return ModelFileError(f"there is no file or folder {path}; check the path{hub}")


def find(
    place: Path | str, checkpoint: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(description, weights) of a run directory, a model directory or a checkpoint file.

    Args:
        checkpoint: "best" or "last", for run directories; None is the one that was scored.
    """
    path = Path(place)
    if not path.exists():
        raise nothing_there(path)
    if path.is_dir() and (path / "model.safetensors").is_file():
        description = read_description(path / "model.json")
        return description, read_safetensors(path / "model.safetensors", description.get("sha256"))
    if path.is_dir():
        choice = Run(path).checkpoint(checkpoint)
        if not choice.is_file():
            raise ModelFileError(
                f"{path} holds no model: neither model.safetensors nor {choice.name} in checkpoints/; "
                "train with `crosstask train RECIPE --run DIR`"
            )
        path = choice
    content = read_checkpoint(path)
    weights = network_weights(content)
    if "model_description" in content:
        description = parse_description(content["model_description"], str(path))
    else:
        description = read_description(
            path.parent / "model.json", path.parent.parent / "model.json"
        )
    return description, weights
