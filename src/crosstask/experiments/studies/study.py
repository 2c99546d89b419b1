"""What a study is: a function from a setting to a list of runs."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crosstask.plugins.files import parse


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a study is run on.

    Attributes:
        dataset: its supervised recipe is `<dataset>.supervised`.
        seeds: one run each.
        size: (height, width) of training images, to which the compute-matched control is fitted.
    """

    dataset: str = "procedural"
    seeds: tuple[int, ...] = (0, 1, 2)
    size: tuple[int, int] = (128, 256)

    @property
    def recipe(self) -> str:
        return f"{self.dataset}.supervised"


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """One run of a study.

    Attributes:
        row: its line in the table; runs of one row differ in the seed (single-task runs: and in
            the task) only.
        recipe: name of the recipe.
        options: of the recipe, on top of its defaults and of what the command line says.
        seed: of weights, order and augmentation.
    """

    row: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(str(self.options["tasks"]).split(","))

    @property
    def name(self) -> str:
        """The folder of the run inside the study's output."""
        row = re.sub(r"[^A-Za-z0-9_.+=-]+", "-", self.row)
        return f"{row}.{letters(self.tasks)}.seed{self.seed}"


Study = Callable[[Setting], list[StudyRun]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a study: what is trained, before seeds are drawn."""

    name: str
    architecture: str
    tasks: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe_options: Mapping[str, Any] = field(default_factory=dict)


def letters(tasks: Iterable[str]) -> str:
    """("segmentation", "depth") -> "S-D"."""
    from crosstask.tasks import short_name

    own = [(parse(task), task) for task in tasks]
    return "-".join(r.name if r else short_name(task) for r, task in own)


def runs(setting: Setting, rows: Sequence[Row]) -> list[StudyRun]:
    """Every row with every seed, seed by seed, so that an unfinished study compares all rows."""
    found: dict[str, StudyRun] = {}
    for seed in setting.seeds:
        for row in rows:
            run = StudyRun(
                row=row.name,
                recipe=setting.recipe,
                options={
                    "architecture": row.architecture,
                    "tasks": ",".join(row.tasks),
                    **({"options": dict(row.options)} if row.options else {}),
                    **row.recipe_options,
                },
                seed=seed,
            )
            found.setdefault(run.name, run)
    return list(found.values())


def single_task(tasks: Sequence[str], architecture: str = "single_task") -> list[Row]:
    """One network per task: what delta is measured against."""
    return [Row(name=architecture, architecture=architecture, tasks=(task,)) for task in tasks]


def controls(setting: Setting, tasks: tuple[str, ...]) -> list[Row]:
    """What a network with an exchange must beat before talking can be thanked.

    The same decoder without exchange; and the same without exchange, widened to the same
    multiply-accumulates.
    """
    return [
        Row(name="multi_task_matched", architecture="multi_task_matched", tasks=tasks),
        Row(
            name="compute_matched",
            architecture="multi_task_matched",
            tasks=tasks,
            options=compute_matched(setting),
        ),
    ]


def compute_matched(setting: Setting) -> dict[str, Any]:
    """Options that widen `multi_task_matched` to DenseMTL's multiply-accumulates."""
    return {"match": "densemtl", "match_size": list(setting.size)}


def plain(names: Sequence[str], tasks: tuple[str, ...]) -> list[Row]:
    """Architectures with their default options."""
    return [Row(name=name, architecture=name, tasks=tasks) for name in names]
