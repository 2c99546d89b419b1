"""What a study is: rows on a setting, and what is known of them as a comparison."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crosstask.plugins.files import parse


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a study is run on.

    Attributes:
        dataset: the recipes are `<dataset>.<regime>`.
        seeds: one run each.
        size: (height, width) of training images, to which the compute-matched control is fitted.
        tasks: of every row, in place of the study's own sets; rows that vary the tasks fall away.
        probe: add the linear probe where a study has none.
    """

    dataset: str = "procedural"
    seeds: tuple[int, ...] = (0, 1, 2)
    size: tuple[int, int] = (128, 256)
    tasks: tuple[str, ...] | None = None
    probe: bool = False


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """One run of a study.

    Attributes:
        row: its line in the table; runs of one row differ in the seed (single-task runs: and in
            the task) only.
        recipe: name of the recipe.
        options: of the recipe, on top of its defaults and of what the command line says.
        seed: of weights, order and augmentation.
        start: row whose run of the same seed and tasks it begins from.
        length: its steps, as a multiple of the study's.
    """

    row: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    start: str | None = None
    length: float = 1.0

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(str(self.options["tasks"]).split(","))

    @property
    def name(self) -> str:
        """The folder of the run inside the study's output."""
        return self._folder(self.row)

    @property
    def start_name(self) -> str | None:
        """The folder of the run that it begins from."""
        return None if self.start is None else self._folder(self.start)

    def _folder(self, row: str) -> str:
        row = re.sub(r"[^A-Za-z0-9_.+=-]+", "-", row)
        return f"{row}.{letters(self.tasks)}.seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a study: what is trained, before seeds are drawn.

    Attributes:
        name: in the table.
        architecture: a name, or `FILE.py:NAME`.
        tasks: in order.
        options: of the architecture.
        recipe_options: further options of the recipe.
        apart: one run for each task, with a network of its own.
        varies_tasks: it means something on its own tasks alone; `Setting.tasks` leaves it out.
        start, length: see `StudyRun`.
    """

    name: str
    architecture: str
    tasks: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe_options: Mapping[str, Any] = field(default_factory=dict)
    apart: bool = False
    varies_tasks: bool = False
    start: str | None = None
    length: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Study:
    """A named comparison: `study(setting)` are its runs.

    Attributes:
        name: of its list of runs, and on the command line.
        rows: setting -> lines, in order.
        regime: of its recipe, `<dataset>.<regime>`; or a recipe of your own, `FILE.py:NAME`.
        optimizer: the recipe's preset unless the command line names another: "paper" gives each
            architecture its paper's, "matched" all the same.
        defaults: further options of the recipe unless the command line gives others; those that a
            recipe lacks are left out.
        varies: conditions in which its rows differ on purpose (see `Record.conditions`); a table of
            it allows them.
        baseline: the row that gains are measured against, or "none"; None are the networks of
            single tasks.
        probe: the linear probe is among its rows, also unasked.
        description: one line; the first of `rows`' docstring if left out.
    """

    name: str
    rows: Callable[[Setting], Sequence[Row]]
    regime: str = "supervised"
    optimizer: str = "paper"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    varies: tuple[str, ...] = ()
    baseline: str | None = None
    probe: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if not self.description:
            first = (self.rows.__doc__ or "").strip().partition("\n")[0]
            object.__setattr__(self, "description", first)

    def recipe(self, dataset: str) -> str:
        """Its recipe on a dataset."""
        return self.regime if parse(self.regime) else f"{dataset}.{self.regime}"

    def __call__(self, setting: Setting) -> list[StudyRun]:
        """Every row with every seed, seed by seed: an unfinished study compares all rows.

        Raises:
            ValueError: `setting.tasks` is empty, or every row is about tasks of its own; two rows of one
                name and task set that are not the same.
        """
        found: dict[str, StudyRun] = {}
        rows = list(self.rows(setting))
        if setting.tasks is not None:
            rows = [replace(row, tasks=setting.tasks) for row in rows if not row.varies_tasks]
            if not setting.tasks:
                raise ValueError("`tasks` names none; expected for example segmentation,depth")
            if all(row.apart for row in rows):
                raise ValueError(
                    f"every row of {self.name} is about tasks of its own; leave out `--tasks`"
                )
        if self.probe or setting.probe:
            rows += missing_probes(rows)
        for seed in setting.seeds:
            for row in rows:
                for tasks in [(task,) for task in row.tasks] if row.apart else [row.tasks]:
                    run = StudyRun(
                        row=row.name,
                        recipe=self.recipe(setting.dataset),
                        options={
                            "architecture": row.architecture,
                            "tasks": ",".join(tasks),
                            **({"options": dict(row.options)} if row.options else {}),
                            **row.recipe_options,
                        },
                        seed=seed,
                        start=row.start,
                        length=row.length,
                    )
                    if found.setdefault(run.name, run) != run:
                        raise ValueError(
                            f"{self.name} has two rows for the folder {run.name}, with other settings "
                            f"({found[run.name].row!r}, {row.name!r}); give each a name of its own"
                        )
        return list(found.values())


def letters(tasks: Iterable[str]) -> str:
    """("segmentation", "depth") -> "S-D"."""
    from crosstask.tasks import short_name

    own = [(parse(task), task) for task in tasks]
    return "-".join(r.name if r else short_name(task) for r, task in own)


def single_task(tasks: tuple[str, ...], architecture: str = "single_task") -> Row:
    """One network per task: what delta is measured against."""
    return Row(name=architecture, architecture=architecture, tasks=tasks, apart=True)


# The single-task networks that gains are measured against in the studies of this project: with
# DenseMTL's decoder, which `single_task`, the paper's baseline, has not.
MATCHED_SINGLE_TASK = "single_task_matched"


# A frozen encoder and one convolution a task.
PROBE = "linear_probe"


def single_tasks(tasks: tuple[str, ...]) -> list[Row]:
    """The paper's single-task baseline, and the one with DenseMTL's decoder."""
    return [single_task(tasks), single_task(tasks, MATCHED_SINGLE_TASK)]


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


def missing_probes(rows: Sequence[Row]) -> list[Row]:
    """The linear probe on each task set of the rows that has none: what is below it has learned nothing.

    Networks of one task need none where a larger set has one, as its heads share nothing that is trained.
    """
    sets = dict.fromkeys(row.tasks for row in rows if not row.apart)
    several = [tasks for tasks in sets if len(tasks) > 1]
    there = {row.tasks for row in rows if row.architecture == PROBE}
    return [
        row for tasks in several or sets if tasks not in there for row in plain((PROBE,), tasks)
    ]


def compute_matched(setting: Setting) -> dict[str, Any]:
    """Options that widen `multi_task_matched` to DenseMTL's multiply-accumulates."""
    return {"match": "densemtl", "match_size": list(setting.size)}


def plain(names: Sequence[str], tasks: tuple[str, ...]) -> list[Row]:
    """Architectures with their default options."""
    return [Row(name=name, architecture=name, tasks=tasks) for name in names]
