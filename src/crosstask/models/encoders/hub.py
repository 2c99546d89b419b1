"""Weights that timm knows where to find: in its cache, or by one attempt to download them."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from torch import Tensor

from crosstask.models.encoders.transfer import whole_network

PATIENCE = 5.0  # seconds until a server that does not answer counts as out of reach
_FILES = ("model.safetensors", "pytorch_model.bin")


class HubError(RuntimeError):
    """timm's weights cannot be had; says why."""


def pretrained_state(
    encoder: str, options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], str, str]:
    """The tensors of timm's whole network, where they are from, and their licence.

    A file in a cache needs no connection. Otherwise the server is asked once, with `PATIENCE`,
    before timm downloads: its own attempts would take most of a minute to fail.

    Raises:
        HubError: timm has none, or they are neither stored nor in reach.
    """
    config = timm.get_pretrained_cfg(encoder)
    if config is None or not config.has_weights:
        raise HubError("timm has none of this network")
    file = cached_file(config)
    overlay: dict[str, Any] = {}
    if file is not None:
        overlay = {"file": str(file), "custom_load": False}
    else:
        check_reach(config)
    try:
        network = whole_network(encoder, options, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # whatever timm, the hub or the file system raise
        raise HubError(f"{type(error).__name__}: {error}") from error
    source = f"timm's cache ({file.name})" if file is not None else "timm's hub"
    name = config.hf_hub_id or config.url or encoder
    return network.state_dict(), f"{source}, {name}", str(config.license or "")


def cached_file(config: Any) -> Path | None:
    """The file of a timm configuration in the cache of the hub or of torch, if it is there."""
    if config.hf_hub_id:
        repository, _, revision = str(config.hf_hub_id).partition("@")
        for name in (config.hf_hub_filename,) if config.hf_hub_filename else _FILES:
            found = huggingface_hub.try_to_load_from_cache(
                repository, name, revision=revision or None
            )
            if isinstance(found, str):
                return Path(found)
    if config.url:
        kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(str(config.url)).name
        return kept if kept.is_file() else None
    return None


def check_reach(config: Any) -> None:
    """One short question to the server that has the weights.

    Raises:
        HubError: no answer.
    """
    if config.hf_hub_id and huggingface_hub.constants.HF_HUB_OFFLINE:
        raise HubError("they are in no cache, and HF_HUB_OFFLINE forbids a download")
    place = huggingface_hub.constants.ENDPOINT if config.hf_hub_id else str(config.url)
    try:
        request = urllib.request.Request(place, method="HEAD")
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return  # it answered
    except OSError as error:
        raise HubError(f"they are in no cache, and {place} does not answer ({error})") from error
