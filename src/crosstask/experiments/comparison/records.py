"""Reads finished runs, and says which of them may stand in one table."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosstask.engine.rebuilding import cleared
from crosstask.engine.runs import RESUME_MAY_CHANGE, Run, RunError, read_json
from crosstask.models.registry import ARCHITECTURES
from crosstask.plugins.files import parse
from crosstask.plugins.trust import Trust
from crosstask.tasks import Task, from_spec

# The controls: no exchange, and no exchange at the cost of DenseMTL's.
NO_EXCHANGE = next(found.name for found in ARCHITECTURES.values() if found.control)
MATCHED_COMPUTE = "compute_matched"
# What the encoder is worth by itself.
PROBE = next(found.name for found in ARCHITECTURES.values() if found.probe)
# What gains are measured against.
SINGLE_TASK = tuple(found.name for found in ARCHITECTURES.values() if found.separate)
# What may differ between the runs of one row.
NOT_A_SETTING = (*RESUME_MAY_CHANGE, "seed", "cache")
# What a dataset says of itself that depends on the tasks asked, or on the machine.
_NOT_THE_SPLIT = ("modalities", "classes", "offsets", "root")


@dataclass(frozen=True, kw_only=True)
class Record:
    """A finished run: what was asked, where it ran, what came out, and of which checkpoint (`Run.rule`).

    `config` has the number of processes too: each sees a batch of its own at every step.
    """

    path: Path
    config: Mapping[str, Any]
    env: Mapping[str, Any]
    model: Mapping[str, Any]
    metrics: Mapping[str, float]
    tasks: tuple[Task, ...]
    row: str | None = None
    rule: str = "last"
    precision: str | None = None

    @property
    def architecture(self) -> str:
        return str(self.model["model"]["architecture"])

    @property
    def encoder(self) -> str:
        return str(self.model["model"]["encoder"])

    @property
    def dataset(self) -> str:
        recipe = str(self.config["recipe"])
        return recipe if parse(recipe) else recipe.split(".")[0]

    @property
    def protocol(self) -> str:
        return str(self.env.get("protocol", "correct"))

    @property
    def seed(self) -> int:
        return int(self.config.get("seed", 0))

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.model["size"]
        return int(height), int(width)

    @property
    def single_task(self) -> bool:
        """Whether it is one of several networks, one a task, that make a row together."""
        return self.architecture in SINGLE_TASK or len(self.tasks) == 1

    @property
    def control(self) -> str | None:
        """ "multi_task_matched" (no exchange), "compute_matched" (and widened) or "linear_probe".

        One network a task is no control of an exchange: its tasks share nothing at all.
        """
        if self.architecture == NO_EXCHANGE and self.single_task:
            return None
        if self.architecture != NO_EXCHANGE:
            return PROBE if self.architecture == PROBE else None
        return MATCHED_COMPUTE if (self.config.get("options") or {}).get("match") else NO_EXCHANGE

    @property
    def own_scenes(self) -> bool:
        """Whether every seed has training and test scenes of its own."""
        return self.config.get("scene_seed") == "seed"

    @property
    def scored_samples(self) -> int | None:
        """Samples that the metrics are from."""
        size = self.env.get("data", {}).get("val", {}).get("size")
        return size if isinstance(size, int) else None

    @property
    def task_names(self) -> frozenset[str]:
        """Whatever their order."""
        return frozenset(task.name for task in self.tasks)

    def key(self) -> str:
        """Equal for runs that differ in the seed only (single-task runs: and in their tasks)."""
        return self._without("tasks") if self.single_task else self._without()

    def setting(self) -> str:
        """Equal for runs that differ in seed, tasks, architecture and its options only."""
        return self._without("tasks", "architecture", "options")

    def probed(self) -> str:
        """Equal for runs that one linear probe stands for: `setting`, whatever balances the losses."""
        return self._without("tasks", "architecture", "options", "balancing")

    @property
    def start(self) -> str | None:
        """Row of the same study that it began from."""
        begun = Path(str(self.config.get("init_from") or ""))
        match = re.fullmatch(r"(.+)\.[^.]+\.seed\d+", begun.name)
        return match[1] if match and begun.parent.name == self.path.resolve().parent.name else None

    def _without(self, *left_out: str) -> str:
        kept = {k: v for k, v in self.config.items() if k not in (*NOT_A_SETTING, *left_out)}
        if "tasks" in kept:
            kept["tasks"] = sorted(str(kept["tasks"]).split(","))
        if self.rule != "last":  # validations are the candidates
            kept["val_every"] = self.config.get("val_every")
        if self.start is not None:  # each row from its own start: the same setting
            kept["init_from"] = "the row's own" if "architecture" in left_out else self.start
        return json.dumps([self.encoder, kept], sort_keys=True, default=str)

    def conditions(self) -> dict[str, Any]:
        """What must be equal for two runs to be compared; of tasks, what both have."""
        data = self.env.get("data", {})
        splits = {split: _split(facts) for split, facts in data.items()}
        of = f" of seed {self.seed}" if self.own_scenes else ""
        return {
            "protocol": self.protocol,
            "dataset": self.dataset,
            "scored checkpoint": self.rule,
            "scenes": "new for each seed" if self.own_scenes else "the same for each seed",
            f"training split{of}": splits.get("train"),
            f"validation split{of}": splits.get("val"),
            "code version": self.env.get("code")
            or self.env.get("commit")
            or self.env.get("packages", {}).get("crosstask"),
            **{f"what {task.name} measures": task.measured() for task in self.tasks},
        }


def _split(facts: Any) -> Any:
    """What a dataset says of itself, at any depth (two domains), as far as it is of the split."""
    if isinstance(facts, Mapping):
        return {k: _split(v) for k, v in facts.items() if k not in _NOT_THE_SPLIT}
    return facts


def read_record(path: Path, trust: Trust = False) -> Record:
    """One finished run.

    Args:
        trust: which Python files that the run's model names may run, see `crosstask.plugins.trust`.

    Raises:
        RunError: no run directory, not finished, cut off half way or damaged; names the file.
        TrustError: its network or a task stands in a file that is not trusted.
    """
    run = Run(path)
    config = run.read_config("recipe", "seed")
    metrics = run.read_metrics()
    env, model = run.read_environment(), read_json(path / "model.json")
    model = cleared(model, path, trust)
    study, machine = path / "study.json", run.read_machine()
    processes = int(machine.get("devices", 1)) * int(machine.get("num_nodes", 1))
    try:
        tasks = tuple(from_spec(spec) for spec in model["tasks"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path / 'model.json'} is damaged: {error!r}") from error
    return Record(
        path=path,
        config={**config, "processes": processes},
        env=env,
        model=model,
        metrics=metrics,
        tasks=tasks,
        row=read_json(study).get("row") if study.is_file() else None,
        rule=run.rule(),
        precision=machine.get("precision"),
    )


def find_runs(places: Iterable[Path | str], finished: bool = True) -> list[Path]:
    """Run directories: given ones, those of a study's list (.json), those below a folder.

    Args:
        finished: leave out, inside studies and folders, what has no metrics.json yet.

    Raises:
        RunError: a place that holds no run.
    """
    found: dict[Path, None] = {}
    for place in map(Path, places):
        inside: Sequence[Path]
        if place.suffix == ".json" and place.is_file():
            inside = [place.parent / name for name in read_json(place).get("runs", [])]
        elif (place / "config.yaml").is_file():
            found[place] = None
            continue
        elif place.is_dir():
            inside = sorted(p.parent for p in place.glob("**/config.yaml"))
        else:
            raise RunError(f"there is no run directory {place}")
        kept = [p for p in inside if (p / "metrics.json").is_file() or not finished]
        if not kept:
            raise RunError(
                f"{place} holds no finished run; train with `crosstask train RECIPE --run DIR` "
                "or `crosstask study NAME`"
            )
        found |= dict.fromkeys(kept)
    return list(found)


def listed_baseline(places: Iterable[Path | str]) -> str | None:
    """The baseline that a study's list names, if one of the places is such a list."""
    lists = [read_json(p) for p in map(Path, places) if p.suffix == ".json" and p.is_file()]
    named = dict.fromkeys(found["baseline"] for found in lists if found.get("baseline"))
    if len(named) > 1:
        raise RunError(
            f"these studies are measured against different rows ({', '.join(named)}); choose with "
            "`--baseline`"
        )
    return next(iter(named), None)


def allowed_to_vary(places: Iterable[Path | str]) -> tuple[str, ...]:
    """Conditions in which the runs of a study's list differ on purpose."""
    lists = [read_json(p) for p in map(Path, places) if p.suffix == ".json" and p.is_file()]
    return tuple(str(name) for found in lists for name in found.get("varies", []))


def conflicts(records: Sequence[Record], varies: Sequence[str] = ()) -> list[str]:
    """One line for each condition in which the runs differ, saying which and how.

    Args:
        varies: conditions that may differ.
    """
    lines = []
    of_each = [(record.path.name, record.conditions()) for record in records]
    for condition in dict.fromkeys(key for _, conditions in of_each for key in conditions):
        groups: dict[str, list[str]] = {}
        for name, conditions in of_each:
            if condition in conditions:
                value = json.dumps(conditions[condition], sort_keys=True)
                groups.setdefault(value, []).append(name)
        if len(groups) > 1 and condition.partition(" of seed ")[0] not in varies:
            shown = "\n".join(f"    {_short(v)}: {_names(names)}" for v, names in groups.items())
            lines.append(f"  {condition}:\n{shown}")
    return lines


def _short(value: str) -> str:
    return value if len(value) <= 160 else value[:157] + "..."


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
