"""How Lightning's trainer writes and reads a checkpoint file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from crosstask.engine import checkpoints
from crosstask.media.files import naming_full_disk


class DirectCheckpoints(CheckpointIO):
    """Straight into the file that is named, without a copy in memory or in the temporary folder.

    Whoever names it gives a temporary file beside the checkpoint, see `atomic_path`: so saving needs
    room in one place only, and a kill leaves nothing elsewhere. Reading checks the digest.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        with naming_full_disk(Path(path), stored_size(checkpoint)), Path(path).open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return checkpoints.read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def stored_size(content: object) -> int:
    """Bytes of the tensors in nested containers: nearly what a file of them takes."""
    if isinstance(content, Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, Mapping):
        return sum(stored_size(value) for value in content.values())
    if isinstance(content, list | tuple):
        return sum(stored_size(value) for value in content)
    return 0
