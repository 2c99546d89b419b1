"""The readers by name, for the command line."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosstask.data.dataset import SceneDataset
from crosstask.data.datasets.bsds500 import BSDS500
from crosstask.data.datasets.camvid import CamVid
from crosstask.data.datasets.cityscapes import Cityscapes
from crosstask.data.datasets.folder import FolderDataset
from crosstask.data.datasets.frames import FrameFolder
from crosstask.data.datasets.nyudv2 import NYUDv2
from crosstask.data.datasets.pascal_context import PascalContext
from crosstask.data.datasets.procedural import ProceduralStreets
from crosstask.data.datasets.sevenscenes import SevenScenes
from crosstask.data.datasets.synthia import Synthia
from crosstask.data.datasets.vkitti2 import VirtualKITTI2
from crosstask.data.sample import DataError
from crosstask.plugins.find import find

READERS: Mapping[str, type[SceneDataset]] = {
    reader.source: reader
    for reader in (
        BSDS500,
        CamVid,
        Cityscapes,
        FolderDataset,
        FrameFolder,
        NYUDv2,
        PascalContext,
        SevenScenes,
        Synthia,
        VirtualKITTI2,
    )
}


def find_reader(name: str | type[SceneDataset]) -> type[SceneDataset]:
    """The reader with this name, `FILE.py:NAME`, a registered one, or itself.

    Raises:
        ValueError: an unknown name (the nearest are given), or a file that cannot be used.
    """
    return find("dataset", name, READERS, _is_reader, "a class of crosstask.data.SceneDataset")


def _is_reader(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, SceneDataset)


def open_dataset(
    name: str,
    root: Path | None,
    split: str,
    modalities: Sequence[str] | None,
    options: Mapping[str, Any],
) -> SceneDataset:
    """A split of a dataset by its name; `procedural` is rendered and has no root."""
    if name == ProceduralStreets.source:
        return ProceduralStreets(split, modalities, **options)
    reader = find_reader(name)
    if root is None:
        raise DataError(f"`--root` is missing; give the folder of {reader.__name__}")
    return reader(root, split, modalities, **options)


def known_options(name: str) -> dict[str, Any]:
    """Options of a dataset by its name, and their defaults."""
    if name != ProceduralStreets.source:
        return own_options(find_reader(name))
    parameters = inspect.signature(ProceduralStreets.__init__).parameters.values()
    own = ("self", "split", "modalities", "transform")
    return {p.name: p.default for p in parameters if p.name not in own}


def own_options(reader: type[SceneDataset]) -> dict[str, Any]:
    """Keyword options of a reader and their defaults, those of `SceneDataset` included."""
    options: dict[str, Any] = {}
    for owner in (SceneDataset, reader):
        for name, parameter in inspect.signature(owner.__init__).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                options[name] = parameter.default
    return options
