"""Features of a frozen encoder on disk, found by what they were computed from.

A file stands for one encoder (weights, architecture, normalisation) and one image exactly as the network
gets it: whatever changes either, be it a file, a size or a transform, leads to another file. Files are
written whole or not at all, so several processes may share a folder; one that is damaged, or of other
weights than its folder's, counts as absent.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from crosstask.data.sample import DataError
from crosstask.data.samples import Wrapped
from crosstask.media.files import atomic_path, remove_stale, write_json
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.encoders.plain_transformer import PlainTransformer

FEATURES, PRESENT = "stored_features", "features_stored"  # keys of a sample
_NOTE, _FORMAT = "features.json", 1


def encoder_digest(encoder: nn.Module) -> str:
    """SHA-256 of all that decides what `Encoder.pretrained_maps` makes of an image."""
    digest = hashlib.sha256(str(_FORMAT).encode())
    for part in (m for m in encoder.modules() if isinstance(m, Encoder)):
        plain = part.backbone if isinstance(part.backbone, PlainTransformer) else None
        depths = None if plain is None else plain.depths
        digest.update(repr((part.normalization, part.multiple, part.strides, depths)).encode())
        for module in part.pretrained_parts():
            digest.update(repr(module).encode())
            for name, value in module.state_dict().items():
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class FeatureStore:
    """A folder of features: a subfolder for each encoder, a file (NumPy's .npz, half floats) for each image.

    Args:
        folder: shared by any number of encoders, runs and processes.
        encoder: a frozen one; its weights are read now.

    Raises:
        DataError: the folder holds something else.
    """

    def __init__(self, folder: Path, encoder: nn.Module) -> None:
        self.root, self.weights = folder, encoder_digest(encoder)
        self.folder = folder / self.weights[:16]
        self._claim(folder / _NOTE)
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_stale(self.folder)

    def _claim(self, note: Path) -> None:
        """Refuses a folder of other things; leaves a note in a new one. Others may do so just now."""
        folder = note.parent
        strange = folder.exists() and not folder.is_dir()
        if folder.is_dir():
            strange = any(not path.name.startswith(".") for path in folder.iterdir())
        if strange and not note.is_file():
            raise DataError(
                f"`cache_features` is {folder}, which is neither empty nor a folder of stored features; "
                "give another folder"
            )
        ours = {"format": _FORMAT, "content": "features of frozen encoders"}
        if not note.is_file():
            write_json(note, ours)
        try:
            found = json.loads(note.read_text())
        except ValueError:
            found = None
        if found != ours:
            raise DataError(
                f"`cache_features` is {folder}, written by another version (see {note.name}); delete the "
                "folder or give another one"
            )

    def key(self, image: Tensor) -> str:
        """What an image's file is named after: a digest of its values, shape and data type."""
        digest = hashlib.blake2b(f"{image.dtype} {tuple(image.shape)}".encode(), digest_size=16)
        digest.update(image.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def path(self, key: str) -> Path:
        """The file of an image."""
        return self.folder / f"{key}.npz"

    def read(self, key: str) -> list[Tensor] | None:
        """The (H,W,C) maps of an image as half floats; None where there is no whole file of them."""
        try:
            with np.load(self.path(key), allow_pickle=False) as archive:
                if [str(archive["weights"]), str(archive["image"])] != [self.weights, key]:
                    return None
                return [torch.from_numpy(archive[str(i)]) for i in range(len(archive.files) - 2)]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            return None  # the format checks a CRC-32 of everything that it reads

    def write(self, key: str, maps: Sequence[Tensor]) -> None:
        """Keep (H,W,C) half floats; another process may do so at the same time.

        Raises:
            DiskFullError: there is no room.
        """
        content = self._content(key, maps)
        with atomic_path(self.path(key), len(content), durable=False) as temporary:
            temporary.write_bytes(content)

    def size(self, maps: Sequence[Tensor]) -> int:
        """Bytes of a file of such maps."""
        return len(self._content("0" * 32, maps))

    def _content(self, key: str, maps: Sequence[Tensor]) -> bytes:
        file = io.BytesIO()
        arrays: dict[str, Any] = {str(i): x.cpu().numpy() for i, x in enumerate(maps)}
        np.savez(file, weights=np.array(self.weights), image=np.array(key), **arrays)
        return file.getvalue()

    def count(self, size: int) -> int:
        """Files of so many bytes, which may be those of any image of the same size."""
        return sum(path.stat().st_size == size for path in self.folder.glob("*.npz"))

    def others(self) -> int:
        """Other encoders whose features lie in the same folder."""
        return sum(path.is_dir() and path != self.folder for path in self.root.iterdir())


class StoredFeatures(Wrapped):
    """Samples with the stored features of their images: `stored_features`, and whether they were there.

    Args:
        dataset: gives the images as the network gets them.
        shapes: (H,W,C) of the maps.
        until: position of the training stream from which on the network reads images; None: never.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        store: FeatureStore,
        shapes: Sequence[Sequence[int]],
        until: int | None = None,
    ) -> None:
        super().__init__(dataset)
        self.store, self.shapes, self.until = store, shapes, until

    def at(self, position: int, index: int) -> dict[str, Any]:
        if self.until is not None and position >= self.until:
            return self.dataset.at(position, index)
        return self[index]

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.dataset[index]
        maps = self.store.read(self.store.key(sample["image"]))
        fits = maps is not None and [list(x.shape) for x in maps] == [list(s) for s in self.shapes]
        if maps is None or not fits:
            maps = [torch.zeros(*shape, dtype=torch.float16) for shape in self.shapes]
        return {**sample, FEATURES: maps, PRESENT: fits}
