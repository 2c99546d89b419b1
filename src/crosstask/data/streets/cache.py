"""Rendered frames on disk: written whole or not at all, and never mixed between versions or settings."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crosstask.data.sample import DataError
from crosstask.media.files import atomic_path, remove_stale, write_bytes, write_json

_BYTES = ("segmentation", "edges")
_IMAGES = ("image", "neighbours")


class FrameCache:
    """A folder of compressed frames.

    ``cache.json`` names the version; each combination of settings has its own folder. A frame is written beside its
    place and renamed, so that readers see whole files only; a file that was damaged later (checksum, missing entries)
    counts as absent and is rendered again.

    Raises:
        DataError: the folder was written by another version, or is not a cache.
    """

    def __init__(self, folder: Path, version: str, settings: Mapping[str, Any]) -> None:
        text = json.dumps(dict(settings), sort_keys=True)
        self._folder = (
            folder / f"{settings['split']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        )
        note = folder / "cache.json"
        if note.exists():
            try:
                found = json.loads(note.read_text())["procedural_version"]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{note} is not a cache's description ({error!r}); expected one of procedural streets; give another `cache`"
                ) from None
            if found != version:
                raise DataError(
                    f"`cache` is {folder}, written by version {found} of the procedural streets; expected version {version}; "
                    "delete the folder or give another one"
                )
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(
                f"`cache` is {folder}, which is neither empty nor a cache of procedural streets; give another folder"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_stale(self._folder)
        write_bytes(self._folder / "settings.json", text.encode())
        write_json(note, {"procedural_version": version})

    def path(self, number: int) -> Path:
        """File of a frame."""
        return self._folder / f"{number:08d}.npz"

    def read(self, number: int) -> dict[str, Tensor] | None:
        """A frame, or None where there is no whole file."""
        try:
            with np.load(self.path(number), allow_pickle=False) as archive:
                values = {name: torch.from_numpy(archive[name]) for name in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        if "image" not in values or "intrinsics" not in values:
            return None
        for name in _IMAGES:
            if name in values:
                values[name] = values[name].float().div_(255)
        values["segmentation"] = values["segmentation"].to(torch.int64)
        values["edges"] = values["edges"].float()
        return values

    def write(self, number: int, frame: Mapping[str, Tensor]) -> None:
        """Keep a frame; another process may do so at the same time."""
        arrays: dict[str, Any] = {}
        for name, value in frame.items():
            if name in _IMAGES:
                value = (value * 255).round()
            arrays[name] = (
                value.to(torch.uint8).numpy() if name in (*_IMAGES, *_BYTES) else value.numpy()
            )
        with atomic_path(self.path(number)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
