"""`ProceduralStreets`: the embedded dataset. No files, true labels for every task, any size and number."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from crosstask.data.dataset import SceneDataset, Transform
from crosstask.data.feeding import Feeding
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, Sample
from crosstask.data.streets import STREET_CLASSES, VERSION, Renderer, style_of
from crosstask.data.streets.cache import FrameCache
from crosstask.data.streets.dice import mix
from crosstask.tasks.classes import ClassTable

LENGTHS: Mapping[str, int] = {"train": 2000, "val": 64, "test": 100}
_SPLIT_SHIFT, _SEED_SHIFT = 33, 36
# The number that each target has in the draw of what is hidden; a run's labels depend on it.
_DRAWS: Mapping[str, int] = {"segmentation": 1, "depth": 3, "normals": 4, "edges": 5}


class ProceduralStreets(SceneDataset):
    """Street scenes rendered from seeds: segmentation, depth, normals, edges and, by wish, neighbouring frames.

    A frame is a function of (seed, split, index, difficulty, domain, size) and the renderer's `VERSION` alone; splits
    and seeds never share a scene. Images are 8-bit exact, so that a cached frame equals a rendered one.

    Args:
        split: train, val or test.
        modalities: targets to deliver, and `neighbours` and `poses` for sequences; None is all four targets.
        size: height and width in pixels, at least 16 each.
        difficulty: "easy", or "hard": the frozen benchmark.
        domain: "source", or "target" with another palette, light, air, sensor and camera.
        gap: how far the target domain lies from the source: 0 is no difference, 1 the default.
        length: number of scenes; by default 2000, 64, 100.
        seed: of all scenes and of what is hidden.
        transform: function from sample to sample, see `crosstask.data.transforms`.
        far: metres beyond which depth is void; kept under the `released` protocol.
        offsets: frames before and after that `neighbours` and `poses` show.
        hide: share of the frames whose labels are void, by target.
        labels_per_image: number of targets that each frame keeps, drawn anew for each frame; None keeps all.
        label_shift: displace every target of a frame by up to so many pixels, each by itself, void where
            nothing is left: what badly registered sensors do.
        cache: folder that keeps rendered frames; about 0.1 MB each at 128x256.
        antialias: five rays a pixel instead of one, for the image.

    Raises:
        DataError: an option out of range, or a cache that another version wrote.
    """

    source: str = "procedural"
    supported: ClassVar[tuple[str, ...]] = (
        "segmentation",
        "depth",
        "normals",
        "edges",
        "neighbours",
        "poses",
    )
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def __init__(
        self,
        split: str = "train",
        modalities: Sequence[str] | None = None,
        size: tuple[int, int] = (128, 256),
        difficulty: str = "easy",
        domain: str = "source",
        length: int | None = None,
        seed: int = 0,
        transform: Transform | None = None,
        *,
        gap: float = 1.0,
        far: float = 80.0,
        protocol: Literal["correct", "released"] = "correct",
        offsets: Sequence[int] = (-1, 1),
        hide: Mapping[str, float] | None = None,
        labels_per_image: int | None = None,
        label_shift: int = 0,
        cache: str | Path | None = None,
        antialias: bool = True,
    ) -> None:
        self.size, self.difficulty, self.domain, self.gap = (
            (int(size[0]), int(size[1])),
            difficulty,
            domain,
            float(gap),
        )
        self.length = LENGTHS.get(split, 1) if length is None else length
        _check_numbers(self.length, seed, label_shift, self.size)
        self.antialias, self.label_shift = antialias, label_shift
        self._renderers: dict[str, Renderer] = {}
        super().__init__(
            Path(),
            split,
            modalities,
            transform,
            seed=seed,
            far=far,
            protocol=protocol,
            offsets=offsets,
            missing_neighbours="repeat",
        )
        self.hide, self.labels_per_image = dict(hide or {}), labels_per_image
        self._unlabelled = self._draw_hidden()
        self.renderer()  # refuses wrong options before any work
        self._cache = None if cache is None else FrameCache(Path(cache), VERSION, self._settings())

    @property
    def classes(self) -> ClassTable:
        """The classes of `segmentation`."""
        return STREET_CLASSES

    def available(self) -> tuple[str, ...]:
        return self.supported

    def index(self) -> list[Frame]:
        return [
            Frame(f"{self.split}/{number:08d}", {}, {"number": number})
            for number in range(self.length)
        ]

    def feeding(self) -> Feeding | None:
        """Images are rendered at the size of the input."""
        return super().feeding() if self.transform is not None else Feeding(size=self.size)

    def stored_size(self, index: int) -> tuple[int, int]:
        return self.size

    def of_split(self, split: str) -> SceneDataset:
        raise DataError("`--split` needs one dataset of stored images; leave it out")

    def use_native_size(self) -> None:
        raise DataError(
            "`--window` needs a dataset of stored images; leave it out for procedural streets"
        )

    def scene_seeds(self, indices: Sequence[int]) -> Int64[Tensor, "b"]:
        """Seed of each frame's scene: distinct for all seeds, splits, domains and indices."""
        split = self.splits.index(self.split) + 4 * (self.domain == "target") * (self.gap > 0)
        first = (self.seed << _SEED_SHIFT) + (split << _SPLIT_SHIFT)
        return torch.tensor([first + index for index in indices], dtype=torch.int64)

    def renderer(self, device: torch.device | str = "cpu") -> Renderer:
        """The renderer of this dataset's frames on a device."""
        key = str(device)
        if key not in self._renderers:
            far = float("inf") if self.protocol == "released" or self.far is None else self.far
            style = style_of(self.difficulty, self.domain, self.gap)
            self._renderers[key] = Renderer(
                style, self.size, device, far=far, antialias=self.antialias
            )
        return self._renderers[key]

    def load(self, frame: Frame) -> Sample:
        number = int(frame.info["number"])
        rendered = None if self._cache is None else self._cache.read(number)
        if rendered is None:
            batch = self.renderer()(self.scene_seeds([number]), self._offsets())
            rendered = {name: value[0] for name, value in batch.items()}
            if self._cache is not None:
                self._cache.write(number, rendered)
        wanted = ("image", *self.modalities, "intrinsics")
        sample = {name: rendered[name] for name in wanted}
        for name in self.targets if self.label_shift else ():
            sample[name] = self._shifted(name, sample[name], number)
        return sample | {"name": frame.name, "source": self.source}

    def fill_cache(self, device: torch.device | str = "cpu", batch_size: int = 32) -> int:
        """Renders the frames that the cache lacks, many at once on a device; returns how many.

        Raises:
            DataError: there is no cache.
        """
        if self._cache is None:
            raise DataError("`cache` is None; give the folder that keeps the frames")
        numbers = [int(frame.info["number"]) for frame in self.frames]
        lacking = [n for n in numbers if not self._cache.path(n).is_file()]
        for start in range(0, len(lacking), batch_size):
            part = lacking[start : start + batch_size]
            batch = self.renderer(device)(self.scene_seeds(part), self._offsets())
            frames = {name: value.cpu() for name, value in batch.items()}
            for row, number in enumerate(part):
                self._cache.write(number, {name: value[row] for name, value in frames.items()})
        return len(lacking)

    def _shifted(self, name: str, value: Tensor, number: int) -> Tensor:
        """A target of a frame displaced by -`label_shift` to `label_shift` rows and columns."""
        draw = int(mix(self.scene_seeds([number]) + 31 + 97 * _DRAWS[name])) & (2**62 - 1)
        span = 2 * self.label_shift + 1
        moves = (draw % span - self.label_shift, draw // span % span - self.label_shift)
        height, width = value.shape[-2:]
        void = self.targets[name].void_map((int(height), int(width))).to(value)
        to: list[Any] = [...]
        by: list[Any] = [...]
        for move, side in zip(moves, (height, width), strict=True):
            length = side - abs(move)
            to.append(slice(max(move, 0), max(move, 0) + length))
            by.append(slice(max(-move, 0), max(-move, 0) + length))
        void[tuple(to)] = value[tuple(by)]
        return void

    def render_batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> Sample:
        """The frames at ``indices`` as one batch, rendered together on a device; no cache, no transform.

        On a GPU this replaces loader, workers and transfers. What `hide` and `labels_per_image` hide is void here too.
        """
        numbers = [int(self.frames[index].info["number"]) for index in indices]
        rendered = self.renderer(device)(self.scene_seeds(numbers), self._offsets())
        names = [self.frames[index].name for index in indices]
        batch: Sample = {name: rendered[name] for name in ("image", *self.modalities, "intrinsics")}
        for name in self.targets if self.label_shift else ():
            shifted = [self._shifted(name, v, n) for v, n in zip(batch[name], numbers, strict=True)]
            batch[name] = torch.stack(shifted)
        for name, hidden in self._unlabelled.items():
            mask = torch.tensor([item in hidden for item in names], device=batch[name].device)
            batch[name][mask] = self.targets[name].void
        return batch | {"name": names, "source": [self.source] * len(names)}

    def batches(
        self, batch_size: int, device: torch.device | str = "cpu", seed: int = 0, start: int = 0
    ) -> Iterator[Sample]:
        """An endless stream of shuffled batches rendered on a device, a function of (seed, number of the batch)."""
        number = start
        while True:
            positions = torch.arange(number * batch_size, (number + 1) * batch_size)
            order = []
            for position in positions.tolist():
                epoch, within = divmod(position, len(self))
                generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
                order.append(int(torch.randperm(len(self), generator=generator)[within]))
            yield self.render_batch(order, device)
            number += 1

    def describe(self) -> dict[str, Any]:
        return (
            super().describe()
            | self._settings()
            | {"version": VERSION, "hide": self.hide, "labels_per_image": self.labels_per_image}
            | ({"label_shift": self.label_shift} if self.label_shift else {})
        )

    def _settings(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "image_size": list(self.size),
            "difficulty": self.difficulty,
            "domain": self.domain,
            "gap": self.gap,
            "seed": self.seed,
            "far": self.far,
            "protocol": self.protocol,
            "offsets": list(self._offsets()),
            "antialias": self.antialias,
        }

    def _offsets(self) -> tuple[int, ...]:
        return self.offsets if {"neighbours", "poses"} & {*self.modalities} else ()

    def _draw_hidden(self) -> dict[str, frozenset[str]]:
        targets = list(self.targets)
        for name, share in self.hide.items():
            if name not in targets or not 0 <= share <= 1:
                raise DataError(
                    f"`hide` has {name!r}: {share}; expected a share in [0, 1] for some of {', '.join(targets)}"
                )
        keep = self.labels_per_image
        if keep is not None and not 0 <= keep <= len(targets):
            raise DataError(
                f"`labels_per_image` is {keep}; expected 0 to {len(targets)}, the number of targets; lower it"
            )
        if not self.hide and keep is None:
            return {}
        seeds = self.scene_seeds([int(frame.info["number"]) for frame in self.frames])
        columns = torch.tensor([_DRAWS[name] for name in targets])
        draw = (mix(mix(seeds + 11)[:, None] + columns) >> 11 & (2**52 - 1)).double() / 2**52
        hidden = draw < torch.tensor([self.hide.get(name, 0.0) for name in targets])
        if keep is not None:
            other = mix(mix(seeds + 23)[:, None] + columns)
            hidden |= other.argsort(dim=1).argsort(dim=1) >= keep
        return {
            name: frozenset(
                frame.name for frame, gone in zip(self.frames, column, strict=True) if gone
            )
            for name, column in zip(targets, hidden.T.tolist(), strict=True)
        }


def _check_numbers(length: int, seed: int, label_shift: int, size: tuple[int, int]) -> None:
    if not 0 < length < 2**32:
        raise DataError(f"`length` is {length}; expected 1 to 2^32 - 1 scenes; give another number")
    if not 0 <= seed < 2 ** (62 - _SEED_SHIFT):
        raise DataError(
            f"`seed` is {seed}; expected 0 to 2^{62 - _SEED_SHIFT} - 1; give another number"
        )
    if not 0 <= label_shift < min(size):
        raise DataError(
            f"`label_shift` is {label_shift}; expected pixels from 0 to below the image's sides"
        )
