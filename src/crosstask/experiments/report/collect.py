"""Everything a report shows of one run: its files, and one pass over its validation split."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import nn

from crosstask.drawing import panels
from crosstask.engine.metrics_file import curves
from crosstask.engine.runs import Run, read_json
from crosstask.evaluation.evaluate import Evaluator, batch_of_one
from crosstask.experiments.comparison.knockout import exchanges_of
from crosstask.media.progress import QUIET, Progress
from crosstask.metrics.metric import TaskMetric
from crosstask.plugins.trust import Trust
from crosstask.recipes.reopen import open_run
from crosstask.tasks import Task

Directions = dict[str, dict[str, float]]


@dataclass
class Sample:
    """A validation image.

    Attributes:
        score: in [0,1], the mean over the tasks that count.
        image: a JPEG as a data address, where it is shown.
        task: the one that counts; empty for all of them.
        scores: of each task with a label.
    """

    index: int
    name: str
    score: float
    image: str = ""
    task: str = ""
    scores: dict[str, float] = field(default_factory=dict)


@dataclass
class RunFacts:
    """What is known of a run. What could not be had is empty."""

    name: str
    config: dict[str, Any]
    environment: dict[str, Any]
    metrics: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]
    tasks: tuple[Task, ...] = ()
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: list[Sample] = field(default_factory=list)
    worst: list[Sample] = field(default_factory=list)
    alphas: Directions = field(default_factory=dict)
    knockout: dict[str, Any] | None = None
    parameters: int = 0
    rule: str = ""


def collect(
    path: Path,
    *,
    root: str | None = None,
    checkpoint: str | None = None,
    device: torch.device | str = "cpu",
    shown: int = 2,
    trust: Trust = False,
    progress: Progress = QUIET,
) -> RunFacts:
    """Reads a run directory and evaluates its checkpoint once, image by image.

    Args:
        checkpoint: best or last, whose metrics are computed here; None is the scored one, as recorded.
        root: where the dataset lies now, if not where it was in training.
        shown: best and worst images to show; of partly labelled data of each task.
        progress: told how many images are evaluated.
        trust: which Python files that the run names may run, see `crosstask.plugins.trust`.

    Raises:
        RunError, ModelFileError: no run, no checkpoint.
    """
    run = Run(path)
    stated = _json(path / "metrics.json")
    another = checkpoint is not None and run.checkpoint(checkpoint) != run.checkpoint()
    if another:  # what is computed stands in place of what was recorded of the scored one
        stated = {key: value for key, value in stated.items() if key.startswith("trivial/")}
    facts = RunFacts(
        path.resolve().name,
        run.read_config(),
        _json(path / "env.json"),
        stated,
        curves(run.metrics_file),
        knockout=_json(path / "knockout.json") or None,
        rule=str(checkpoint) if another else run.rule(),
    )
    experiment = open_run(path, checkpoint, root, trust=trust)
    network = experiment.regime.inference_network()
    network.eval().to(device)
    facts.tasks = tuple(experiment.tasks)
    facts.parameters = sum(p.numel() for p in network.parameters())
    facts.alphas = _alphas(network)
    _evaluate(facts, network, experiment.scored_data(), device, shown, progress)
    return facts


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _alphas(network: nn.Module) -> Directions:
    """{target: {source: mean |alpha| over levels and channels}}."""
    found: dict[tuple[str, str], list[float]] = {}
    for module in exchanges_of(network):
        for direction, alpha in module.alphas().items():  # type: ignore[operator]
            found.setdefault(direction, []).append(float(alpha.abs().mean()))
    table: Directions = {}
    for (source, target), values in found.items():
        table.setdefault(target, {})[source] = sum(values) / len(values)
    return table


@torch.no_grad()
def _evaluate(
    facts: RunFacts,
    network: nn.Module,
    dataset: Any,
    device: torch.device | str,
    shown: int,
    progress: Progress,
) -> None:
    evaluator = Evaluator(facts.tasks).to(device)
    samples = []
    total = len(dataset)
    for index in progress.each(range(total), total, f"evaluate {facts.name}"):
        batch = batch_of_one(dataset[index], device)
        predictions = evaluator.update(network(batch["image"]), batch)
        scores = _scores(facts.tasks, predictions, batch)
        samples.append(Sample(index, str(batch["name"][0]), math.nan, scores=scores))
    if all(key.startswith("trivial/") for key in facts.metrics):
        facts.metrics = facts.metrics | evaluator.compute()
    for task in facts.tasks:
        facts.details[task.name] = cast(TaskMetric, evaluator.metrics[task.name]).details()
    for ranked in rankings(samples, [task.name for task in facts.tasks]):
        best = ranked[:shown]
        facts.best += best
        facts.worst += ranked[len(best) :][-shown:][::-1] if shown else []
    for sample in (*facts.best, *facts.worst):
        batch = batch_of_one(dataset[sample.index], device)
        predictions = Evaluator(facts.tasks).to(device).update(network(batch["image"]), batch)
        sample.image = _image(facts.tasks, batch, predictions)


def rankings(samples: Sequence[Sample], tasks: Sequence[str]) -> list[list[Sample]]:
    """Samples from best to worst, only such as have the labels that the score is of.

    Where every sample has every label: one ranking, by the mean over the tasks. Of partly labelled data:
    one a task, as means over different tasks cannot be compared.
    """
    labelled = [sample for sample in samples if sample.scores]
    whole = all(set(sample.scores) == set(tasks) for sample in labelled)
    groups: list[list[Sample]]
    if whole:
        groups = [[replace(s, score=sum(s.scores.values()) / len(tasks)) for s in labelled]]
    else:
        groups = [
            [replace(s, score=s.scores[t], task=t) for s in labelled if t in s.scores]
            for t in tasks
        ]
    return [sorted(group, key=lambda sample: -sample.score) for group in groups]


def _scores(
    tasks: tuple[Task, ...], predictions: Mapping[str, Any], batch: Any
) -> dict[str, float]:
    """{task: this one image's score}; tasks without labels are left out."""
    scores = {}
    for task in tasks:
        metric = task.metric()
        metric.update(predictions[task.name].cpu(), batch[task.name].cpu())
        score = task.score({k: float(v) for k, v in metric.compute().items()})
        if math.isfinite(score):
            scores[task.name] = score
    return scores


def _image(tasks: tuple[Task, ...], batch: Any, predictions: Any) -> str:
    names = [task.name for task in tasks]
    targets = {name: batch[name][0].cpu() for name in names}
    found = {name: predictions[name][0].cpu() for name in names}
    panel = panels.panel(batch["image"][0].cpu(), targets, found, tasks)
    stream = io.BytesIO()
    Image.fromarray(panel.permute(1, 2, 0).numpy()).save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
