"""Images for an export: those int8 is calibrated on, and labelled ones for the comparison."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crosstask.data.samples import as_samples
from crosstask.data.spacing import evenly
from crosstask.deploy.interface import ExportError
from crosstask.engine.runs import Run
from crosstask.media.images import read_image
from crosstask.plugins.trust import Trust
from crosstask.predict.inputs import find_inputs, is_video
from crosstask.predict.model import SceneModel
from crosstask.recipes.reopen import reopen

Sample = Mapping[str, Any]


def is_run(place: Path) -> bool:
    """Whether a run directory of a recipe lies there, whose data can be opened again."""
    return (place / "config.yaml").is_file() and bool(Run(place).read_config())


def labelled(
    run: Path, number: int, root: str | None = None, trust: Trust = False
) -> Iterator[Sample]:
    """Up to `number` samples of a run's validation split, evenly spread."""
    yield from _some(reopen(Run(run), root, trust).val_data(), number)


def calibration(
    model: SceneModel, place: Path, number: int, root: str | None = None, trust: Trust = False
) -> Iterator[Sample]:
    """Up to `number` images of a folder, or of the training split of a run directory.

    Of a run with two domains those of the target.

    Raises:
        ExportError: neither a folder nor a run directory.
        ImageError: the folder holds no images, or one cannot be read.
    """
    if not place.is_dir():
        raise ExportError(
            f"`calibration` is {place}, which is no folder; expected one with images, or a run directory"
        )
    if is_run(place):
        data: Any = reopen(Run(place), root, trust).train_data()
        domains = as_samples(data).domains
        yield from _some(domains[1] if domains else data, number)
        return
    files = [file for file in find_inputs([place]) if not is_video(file)]
    for index in evenly(len(files), number):
        yield {"image": read_image(files[index], value_range=model.value_range)}


def _some(data: Any, number: int) -> Iterator[Sample]:
    for index in evenly(len(data), number):
        yield data[index]
