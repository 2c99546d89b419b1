"""Files that hold weights: training checkpoints and safetensors. Nothing is ever unpickled beyond tensors
and plain containers.
"""

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosstask.engine.description import ModelFileError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content; refuses anything but tensors and plain containers.

    Raises:
        ModelFileError: missing, cut, or carrying code.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no checkpoint {path}; train first, or give another path")
    check_content(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text recommends to read it all the same
        found = re.search(r"GLOBAL ([\w.]+)|(Unsupported operand \d+)", str(error))
        raise ModelFileError(
            f"{path} holds more than tensors and plain values and is refused (it could run code)"
            + (f": {found[1] or found[2]}" if found else "")
        ) from error
    except Exception as error:  # what damaged bytes lead the reader to is anything
        raise ModelFileError(
            f"{path} is cut or damaged ({(str(error) or type(error).__name__).splitlines()[0]}); use another checkpoint of the run"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ModelFileError(
            f"{path} holds {type(content).__name__}; expected a checkpoint of this program (names with values)"
        )
    if not _has_digest(path):
        warnings.warn(f"{path} has no digest: damage may have gone unnoticed", stacklevel=2)
    return content


def step_of(path: Path) -> int:
    """The optimiser steps that a training checkpoint has behind it.

    Raises:
        ModelFileError: missing, damaged, or no checkpoint of a training.
    """
    step = read_checkpoint(path).get("global_step")
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ModelFileError(
            f"{path} says step {step!r}; expected a whole number. It is not a checkpoint that training "
            "wrote: put the run's own back, or start a new run"
        )
    return step


def scored_facts(path: Path, rule: str) -> dict[str, float]:
    """What metrics.json says of the checkpoint that its numbers are from: its step, and whether it
    was selected by its score (1) or is simply the last (0)."""
    return {"scored/step": float(step_of(path)), "scored/selected": float(rule != "last")}


def check_content(path: Path) -> None:
    """Whether a checkpoint holds what was written: its digest is the CRC-32 that stands beside every
    tensor in the file (80 ms for 100 MB; loading, which does not look at it, takes 170 ms).

    Raises:
        ModelFileError: damaged; says which part.
    """
    if not _has_digest(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception as error:  # zipfile raises seven unrelated types on damaged directories
        raise ModelFileError(
            f"{path} is cut or damaged ({(str(error) or type(error).__name__).splitlines()[0]}); use "
            "another checkpoint of the run"
        ) from error
    if bad is not None:
        raise ModelFileError(
            f"{path} is damaged (the digest of its part {bad} is another); use another checkpoint of the "
            "run, or a copy of the file"
        )


def _has_digest(path: Path) -> bool:
    """Whether the file is a zip archive, as torch has written them since version 1.6."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def network_weights(checkpoint: Mapping[str, Any], averaged: bool = True) -> dict[str, Tensor]:
    """The network's state dict inside a training checkpoint; its moving average where kept."""
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping):
        raise ModelFileError("the checkpoint has no `state_dict`; is it one of this program?")
    # A module's own `get_extra_state` (a balancer's history) may be of any type; no weight is.
    named = [isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()]
    extra = [isinstance(k, str) and k.endswith("._extra_state") for k in state]
    wrong = [
        k
        for k, is_named, is_extra in zip(state, named, extra, strict=True)
        if not is_named | is_extra
    ]
    if wrong:
        raise ModelFileError(
            f"the checkpoint's `state_dict` holds {wrong[0]!r}, which is not a named tensor; is it one of "
            "this program?"
        )
    prefixes = ("ema.module.", "network.") if averaged else ("network.",)
    for prefix in prefixes:
        found = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if found:
            return found
    raise ModelFileError("the checkpoint holds no network (no `network.*` entries)")


def read_safetensors(path: Path, digest: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file; `digest` is the SHA-256 that it should have.

    Raises:
        ModelFileError: cut, tampered with or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise ModelFileError(
            f"{path} and its model.json do not belong together, or the weights are damaged "
            "(another SHA-256); fetch both files again"
        )
    if digest is None:
        warnings.warn(
            f"the model.json of {path} has no digest (`sha256`): damage may have gone unnoticed",
            stacklevel=2,
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged or no safetensors file: {error}") from error
