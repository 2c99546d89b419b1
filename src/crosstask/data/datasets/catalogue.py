"""The readers by name, for the command line."""

import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from crosstask.data.dataset import SceneDataset
from crosstask.data.datasets.bsds500 import BSDS500
from crosstask.data.datasets.camvid import CamVid
from crosstask.data.datasets.cityscapes import Cityscapes
from crosstask.data.datasets.folder import FolderDataset
from crosstask.data.datasets.frames import FrameFolder
from crosstask.data.datasets.hub import HubDataset
from crosstask.data.datasets.nyudv2 import NYUDv2
from crosstask.data.datasets.pascal_context import PascalContext
from crosstask.data.datasets.procedural import ProceduralStreets
from crosstask.data.datasets.sevenscenes import SevenScenes
from crosstask.data.datasets.synthia import Synthia
from crosstask.data.datasets.vkitti2 import VirtualKITTI2
from crosstask.data.sample import DataError
from crosstask.data.shards import open_split
from crosstask.plugins.find import find

READERS: Mapping[str, type[SceneDataset]] = {
    reader.source: reader
    for reader in (
        BSDS500,
        CamVid,
        Cityscapes,
        FolderDataset,
        FrameFolder,
        HubDataset,
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
    return open_split(reader, root, split, modalities, **options)


def known_options(name: str) -> dict[str, inspect.Parameter]:
    """Options of a dataset by its name: their defaults and types."""
    if name != ProceduralStreets.source:
        return own_options(find_reader(name))
    parameters = inspect.signature(ProceduralStreets.__init__).parameters
    own = ("self", "split", "modalities", "transform")
    return {key: parameter for key, parameter in parameters.items() if key not in own}


def own_options(reader: type[SceneDataset]) -> dict[str, inspect.Parameter]:
    """Keyword options of a reader, those of `SceneDataset` included."""
    options: dict[str, inspect.Parameter] = {}
    for owner in (SceneDataset, reader):
        for name, parameter in inspect.signature(owner.__init__).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                options[name] = parameter
    return options


def read_option(text: str, kind: Any) -> Any:
    """The value of an option from its text: JSON, or else the text itself.

    Where the type is a list, one value alone or several with commas are one too: `clone`, `0,1`.

    Args:
        kind: The option's type as declared.
    """
    value = _from_json(text)
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    lists = [
        k
        for k in kinds
        if isinstance(get_origin(k), type) and issubclass(get_origin(k), Collection)
    ]
    lists = [k for k in lists if not issubclass(get_origin(k), Mapping)]
    named = [word for k in kinds if get_origin(k) is Literal for word in get_args(k)]
    if isinstance(value, list):
        return tuple(value)
    if not lists or value is None or value in named or (isinstance(value, str) and str in kinds):
        return value
    parts = text.split(",") if isinstance(value, str) else [text]
    return tuple(_from_json(part.strip()) for part in parts)


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
