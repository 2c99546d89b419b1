"""`--cache-features`: what has to fit before training begins, and the data with stored features."""

import shutil
import sys
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.utils.data import Dataset

from crosstask.data.features import FeatureStore, StoredFeatures
from crosstask.data.loading import SeededDataset
from crosstask.data.sample import DataError
from crosstask.data.samples import as_samples
from crosstask.engine.experiment import Experiment
from crosstask.media.files import DiskFullError
from crosstask.models.networks.scene_network import SceneNetwork
from crosstask.regimes.regime import Regime
from crosstask.regimes.supervised import Supervised

TRIES = 6  # samples that show whether a dataset draws at random


def check_cache(regime: Regime) -> None:
    """Whether stored features can take the images' place in this training.

    Raises:
        ValueError: they cannot; says why and what to do.
    """
    if regime.reads_images or not isinstance(regime, Supervised):
        raise ValueError(
            f"`cache_features` cannot be used here: {regime.reads_images}; leave it out (`--freeze "
            "encoder` alone works), or take a supervised recipe"
        )
    if not regime.encoder_is_frozen():
        raise ValueError(
            "`cache_features` needs an encoder that stays as it is; add `--freeze encoder`"
        )
    network = regime.network
    if not isinstance(network, SceneNetwork) or type(network).encode is not SceneNetwork.encode:
        raise ValueError(
            f"`cache_features` cannot be used with {type(network).__name__}, which encodes images in its "
            "own way; leave it out"
        )


def with_stored_features(
    experiment: Experiment, data: Dataset[Any], *, start: int, world: int, tell: bool
) -> Dataset[Any]:
    """The training set with stored features, until the encoder is trained.

    Args:
        start: optimiser steps that are done.
        world: training processes.
        tell: say on stderr what is needed.

    Raises:
        DataError: images that change from one reading to the next; a folder of other things.
        DiskFullError: what will be stored does not fit.
    """
    regime = cast(Supervised, experiment.regime)
    until = regime.unfreeze_at
    if experiment.cache_features is None or (until is not None and start >= until):
        return data
    check_cache(regime)
    store = FeatureStore(Path(experiment.cache_features), cast(Any, regime.network).encoder)
    image = _first_image(data, experiment.cache_views)
    maps = regime.frozen_features(regime.image({"image": image[None].to(regime.device)}))
    _check_room(experiment, store, len(as_samples(data)), store.size(maps), tell)
    regime.feature_store = store
    if until is not None:
        until *= experiment.accumulate * experiment.batch_size * world
    return StoredFeatures(data, store, [tuple(x.shape) for x in maps], until)


def _first_image(data: Dataset[Any], views: int) -> Tensor:
    """An image as training gets it.

    Raises:
        DataError: it differs from one reading to the next.
    """
    samples = [SeededDataset(data, seed)[(seed, 0)] for seed in range(TRIES)]
    first = cast(Tensor, samples[0]["image"])
    if "view" in samples[0]:
        return first
    if any(x["image"].shape != first.shape or not x["image"].equal(first) for x in samples):
        raise DataError(
            "`cache_features` needs images that are the same at every reading, and these are changed at "
            "random on the fly (mirrored, cropped, recoloured); in a dataset or recipe of your own give "
            "`crosstask.data.transforms.FixedViews(plain, random, views)` as the transform: the plain "
            "image and so many fixed draws of the random ones, then `--cache-views N`"
        )
    if views > 1:
        raise DataError(
            f"`cache_views` is {views}, but this recipe changes no image at random; leave it out"
        )
    return first


def _check_room(
    experiment: Experiment, store: FeatureStore, images: int, size: int, tell: bool
) -> None:
    """Says how much will be stored, and refuses what does not fit."""
    files = images * experiment.cache_views
    there = min(files, store.count(size))
    need, free = (files - there) * size, shutil.disk_usage(store.folder).free
    views = "the plain view of each; `--cache-views N` adds fixed draws of the augmentation"
    if experiment.cache_views > 1:
        views = f"{experiment.cache_views} views of each"
    told = (
        f"stored features: up to {files} files of {_readable(size)} ({images} images, {views}) in "
        f"{store.folder}, {there} are there; {_readable(need)} to come, {_readable(free)} free"
    )
    others = store.others()
    if others and not there:
        told += f"; those of {others} other encoders or weights beside them are not used"
    if need > free:
        raise DiskFullError(
            f"{told}. There is no room: give another `--cache-features`, a smaller `--size`, fewer "
            "`--cache-views`, or leave `--cache-features` out"
        )
    if tell:
        print(told, file=sys.stderr)


def _readable(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
