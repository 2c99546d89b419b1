"""Samples packed into shards: decoded, resized and with derived targets, for data beyond one disk.

`crosstask data pack` writes them (`crosstask.data.tools.pack`), and supervised recipes read them where `--root`
is a packed folder, or an address that LitData knows (`s3://bucket/shards`). Every sample can be
reached by its index, so order, subsets and resuming are those of the dataset's own files.

The chunks are LitData's (extra `shards`); what one sample is, bytes of safetensors, is said here.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from crosstask.data.dataset import SceneDataset
from crosstask.data.feeding import Feeding
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, Sample, WrongRoot
from crosstask.tasks.classes import ClassTable

# Of a request to an S3 after the first, and the seconds that each may wait for a connection and for bytes.
_ATTEMPTS, _CONNECT, _READ = 4, 5, 20
META, HEADER = "meta", "header"
# Entries of the record `feeding` that say how files of images are read; the others are of the transform.
OF_FILES = ("channels", "ranges", "depth_scale")
# Options that choose among frames or hide labels: they work on shards too.
_CHOOSING = ("subset", "labelled", "split_file")


def litdata() -> Any:
    """The package that stores the chunks.

    Raises:
        DataError: it is not installed.
    """
    try:
        import litdata
    except ImportError as error:
        raise DataError('shards need LitData: `pip install "crosstask[shards]"`') from error
    return litdata


def _store(place: str) -> dict[str, Any]:
    """Options of the store: an S3 that does not answer is an error soon, not after LitData's 1,000 attempts."""
    if not place.startswith("s3://"):
        return {}
    from botocore.config import Config  # comes with LitData

    retries = {"max_attempts": _ATTEMPTS, "mode": "standard"}
    config = Config(retries=retries, connect_timeout=_CONNECT, read_timeout=_READ)
    return {"storage_options": {"config": config}}


def encode(sample: Mapping[str, Any]) -> bytes:
    """A sample as bytes; values that fit into 8 bits without loss are stored in them."""
    texts = {k: v for k, v in sample.items() if isinstance(v, str)}
    small = {k: _small(k, v) for k, v in sample.items() if isinstance(v, Tensor)}
    header = torch.frombuffer(bytearray(json.dumps(texts).encode()), dtype=torch.uint8)
    return bytes(save({**small, HEADER: header}))


def decode(data: bytes) -> Sample:
    """The sample; 8-bit tensors stay so, as those of a reader, until `SceneDataset.finish`."""
    tensors = load(data)
    texts = json.loads(bytes(tensors.pop(HEADER).numpy()))
    return {**tensors, **texts}


def _small(name: str, value: Tensor) -> Tensor:
    factor = 255 if name in ("image", "neighbours") and value.is_floating_point() else 1
    if value.dtype != torch.uint8 and name not in ("intrinsics", "poses"):
        bytes_ = (value * factor).round().clamp(0, 255).to(torch.uint8)
        back = bytes_.to(value.dtype) / factor if factor > 1 else bytes_.to(value.dtype)
        if torch.equal(back, value):
            return bytes_.contiguous()
    return value.contiguous()


def is_packed(root: str | Path) -> bool:
    """Whether `root` holds shards: a folder that `pack` wrote, or an address of a store."""
    text = address(root)
    return "://" in text or (Path(text) / META / "index.json").is_file()


def address(root: str | Path) -> str:
    """`root` as text; the double slash of `s3://`, which a `Path` swallows, is put back."""
    scheme, colon, rest = str(root).partition(":/")
    return f"{scheme}://{rest.lstrip('/')}" if colon and len(scheme) > 1 else str(root)


def open_split(
    reader: Callable[..., SceneDataset],
    root: str | Path,
    split: str,
    modalities: Any = None,
    transform: Any = None,
    **options: Any,
) -> SceneDataset:
    """A split from the dataset's own files, or from shards where `root` holds some."""
    if not is_packed(root):
        return reader(root, split, modalities, transform, **options)
    return Shards(root, split, modalities, transform, packed_with=options)


class Shards(SceneDataset):
    """A packed dataset, under its own name, with its own classes.

    Args:
        packed_with: Options that the reader would get. Those that decide what a sample holds must be the ones that
            the shards were packed with.
        options: Of `SceneDataset`.

    Raises:
        DataError: a split, modality or option that was not packed; says what to pack.
    """

    supported = ()

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        packed_with: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.address, self._open = address(root), dict[str, Any]()
        self._meta = json.loads(self._items(META)[0])
        self.source = str(self._meta["source"])
        self.splits = tuple(self._meta["splits"])  # type: ignore[misc]
        if split not in self.splits:
            raise DataError(
                f"`split` is {split!r}; {self.address} holds {', '.join(self.splits)}: "
                f"`crosstask data pack ... --split {split}`"
            )
        self.supported = tuple(self._meta["modalities"])  # type: ignore[misc]
        given = dict(packed_with or {})
        options |= {key: given.pop(key) for key in _CHOOSING if key in given}
        self._check_packed(given)
        for key in ("far", "protocol"):
            if key in self._meta["options"]:
                options.setdefault(key, self._meta["options"][key])
        options.setdefault("value_range", self._meta.get("value_range") or "auto")
        super().__init__(root, split, modalities, transform, **options)
        self._check_aspects()

    def _check_aspects(self) -> None:
        """Squeezed images cannot be fed with their aspect kept: prediction would keep that of the files."""
        found, size = super().feeding(), self._meta.get("size")
        if found is None or found.fit != "keep" or size is None:
            return
        for stored in filter(None, self._meta["sizes"][self.split]):
            if abs(stored[0] * size[1] / (stored[1] * size[0]) - 1) > 0.02:
                raise DataError(
                    f"{self.address} was packed with `--size {size[0]}x{size[1]}`, which squeezed images of "
                    f"{stored[0]}x{stored[1]}, and their aspect is to be kept (`--fit keep`); pack it without "
                    "`--size`, or train with `--fit squeeze`"
                )

    def _check_root(self) -> None:
        """It may be an address; whatever it is, the list of samples was read from it."""

    def __getstate__(self) -> dict[str, Any]:
        """Without open files: each process opens its own."""
        return {**self.__dict__, "_open": {}}

    def _items(self, name: str) -> Any:
        """The chunks of a split, opened once a process."""
        if name not in self._open:
            place, package = f"{self.address.rstrip('/')}/{name}", litdata()
            try:
                self._open[name] = package.StreamingDataset(place, **_store(place))
            except Exception as error:  # each store has errors of its own
                raise WrongRoot(self._unreadable(f"{place} holds no shards", error)) from error
        return self._open[name]

    def _unreadable(self, what: str, error: Exception) -> str:
        """With what to look at, where it is a store's."""
        if "://" not in self.address:
            return f"{what} ({error})"
        return (
            f"{what} ({error}); look at the address, the credentials and the network of the store"
        )

    def _check_packed(self, asked: Mapping[str, Any]) -> None:
        stored = self._meta["options"]
        for key, value in json.loads(json.dumps(dict(asked), default=str)).items():
            if key in stored and stored[key] != value:
                raise DataError(
                    f"{self.address} was packed with `{key}` {stored[key]!r}, and {value!r} is asked; pack "
                    f"it with `--option {key}={json.dumps(value)}`, or ask for the same"
                )

    @property
    def classes(self) -> ClassTable | None:
        table = self._meta["classes"]
        if table is None:
            return None
        return ClassTable(tuple(table["names"]), tuple(tuple(c) for c in table["colors"]))

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self._meta["channels"])

    def feeding(self) -> Feeding | None:
        """As of the files that were packed, where the shards say how those were read."""
        found, packed = super().feeding(), self._meta.get("feeding")
        if found is None or packed is None:
            return found
        return Feeding.from_spec(found.to_spec() | packed)

    def requirement(self, modality: str) -> str:
        return f"shards with it ({self.address} holds {', '.join(self.supported)})"

    def official_size(self, split: str) -> int | None:
        official = self._meta["official"].get(split)
        return None if official is None else int(official)

    def index(self) -> list[Frame]:
        """The frames as they were packed; nothing is read."""
        names = self._meta["splits"][self.split]
        return [Frame(name, {}, {"index": number}) for number, name in enumerate(names)]

    def stored_size(self, index: int) -> tuple[int, int] | None:
        """Of the image before it was packed: what prediction will be given."""
        size = self._meta["sizes"][self.split][self.frames[index].info["index"]]
        return None if size is None else (size[0], size[1])

    def load(self, frame: Frame) -> Sample:
        """The packed sample, with what was asked for."""
        items = self._items(self.split)
        try:
            sample = decode(bytes(items[frame.info["index"]]))
        except Exception as error:  # each store has errors of its own
            what = f"sample {frame.name!r} of {self.address} cannot be read"
            raise DataError(self._unreadable(what, error)) from error
        if sample["name"] != frame.name:
            raise DataError(
                f"{self.address} holds {sample['name']!r} where {frame.name!r} was packed; its parts are of "
                "two different runs of `data pack`: pack it again"
            )
        asked = ("image", "intrinsics", "name", "source", *self.modalities)
        return {key: value for key, value in sample.items() if key in asked}

    def load_image(self, frame: Frame) -> Tensor:
        return self.load(frame)["image"]

    def stored_target(self, frame: Frame, name: str, size: tuple[int, int]) -> Tensor:
        target = self.targets[name]
        return self.load(frame)[name].to(target.dtype)

    def upright_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        return self.load(frame)["intrinsics"]
