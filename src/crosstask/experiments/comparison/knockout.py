"""Who helps whom: cut one direction of a trained exchange and measure what its target loses."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Subset

from crosstask.data.spacing import evenly
from crosstask.drawing.figures import save_figure
from crosstask.engine.hardware import choose
from crosstask.engine.runs import RunError
from crosstask.evaluation.evaluate import evaluate
from crosstask.media.files import write_json
from crosstask.models.exchanges.base import Exchange
from crosstask.plugins.trust import Trust
from crosstask.recipes.reopen import open_run
from crosstask.tasks import Task


def exchanges_of(network: nn.Module) -> list[Exchange]:
    """Modules of a network in which a direction between tasks can be cut."""
    return [module for module in network.modules() if isinstance(module, Exchange)]


def knockout_run(
    run: Path,
    *,
    root: str | None = None,
    checkpoint: str | None = None,
    mode: str = "mean",
    samples: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    trust: Trust = False,
) -> dict[str, Any]:
    """`knockout` of a trained run on its validation split; writes knockout.json and knockout.png.

    Args:
        root: where the dataset lies now.
        checkpoint: "best" or "last"; None is the one that was scored.
        samples: so many evenly spaced validation samples; all if left out.
        batch_size: the run's own if left out.
        device: auto, cpu, cuda or mps.
        trust: which Python files that the run names may run, see `crosstask.plugins.trust`.

    Returns:
        The content of knockout.json.
    """
    if samples is not None and samples < 1:
        raise ValueError(f"`--samples` is {samples}; expected at least 1")
    place = choose(device, "32").device
    experiment = open_run(run, checkpoint, root, trust=trust)
    network = experiment.regime.inference_network()
    data: Any = experiment.scored_data()
    if samples is not None:
        data = Subset(data, evenly(len(data), samples))

    def score() -> dict[str, float]:
        size = batch_size or experiment.val_batch_size
        return evaluate(network, experiment.tasks, data, batch_size=size, device=place)

    result = {"samples": len(data)} | knockout(network, experiment.tasks, score, mode)
    write_json(run / "knockout.json", result)
    draw(result, run / "knockout.png")
    return result


def knockout(
    network: nn.Module,
    tasks: Sequence[Task],
    score: Callable[[], Mapping[str, float]],
    mode: str = "mean",
) -> dict[str, Any]:
    """Measures every task with every direction cut in turn, at all levels at once.

    Args:
        network: with at least one exchange.
        score: scores the network as it is, on the same images each time.
        mode: "mean" replaces what is read by its mean over those images, which the first
            evaluation (nothing cut) records; "zero" by zeros. See `Exchange.cut`.

    Returns:
        JSON-safe: `loss[target][source]` is what the target's headline metric loses, in percent of
        its value with everything in place (positive: the source helps); None on the diagonal.
        `alpha[target][source]` is the mean absolute learned scale, None where there is none.
        `without_attention[target]` is what it loses with every such scale at 0: what training has
        left to the correlation; empty where there is none.

    Raises:
        RunError: the network has no exchange whose directions can be cut.
    """
    modules = exchanges_of(network)
    if not modules:
        raise RunError(
            "this run's network has no exchange whose directions could be cut; take a run of "
            "densemtl, padnet, threeways_padnet, window, n_to_one or another that exchanges"
        )
    names = [task.name for task in tasks]
    with ExitStack() as stack:
        for module in modules if mode == "mean" else ():
            stack.enter_context(module.record_means())
        whole = dict(score())
    metrics: dict[str, dict[str, float]] = {}
    losses: dict[str, dict[str, float | None]] = {name: {} for name in names}
    for target in tasks:
        for source in names:
            if source == target.name:
                losses[target.name][source] = None
                continue
            with ExitStack() as stack:
                for module in modules:
                    if {source, target.name} <= {*module.tasks}:
                        stack.enter_context(module.cut(source, target.name, mode))
                found = dict(score())
            metrics[f"{source}->{target.name}"] = _headlines(tasks, found)
            losses[target.name][source] = _loss(target, whole, found)
    alphas = _alphas(modules, names)
    without: dict[str, float | None] = {}
    if any(value is not None for row in alphas.values() for value in row.values()):
        with without_attention(modules):
            found = dict(score())
        without = {task.name: _loss(task, whole, found) for task in tasks}
    return {
        "mode": mode,
        "tasks": names,
        "headlines": {task.name: task.headline for task in tasks},
        "whole": _headlines(tasks, whole),
        "cut": metrics,
        "loss": losses,
        "alpha": alphas,
        "without_attention": without,
    }


@contextmanager
def without_attention(modules: Sequence[Exchange]) -> Iterator[None]:
    """Every learned scale of attention (`Exchange.alphas`) is 0 inside."""
    scales = {a.data_ptr(): a for module in modules for a in module.alphas().values()}
    kept = [scale.clone() for scale in scales.values()]
    try:
        for scale in scales.values():
            scale.zero_()
        yield
    finally:
        for scale, value in zip(scales.values(), kept, strict=True):
            scale.copy_(value)


def _headlines(tasks: Sequence[Task], metrics: Mapping[str, float]) -> dict[str, float]:
    keys = [f"{task.name}/{task.headline}" for task in tasks]
    return {key: float(metrics[key]) for key in keys}


def _loss(task: Task, whole: Mapping[str, float], cut: Mapping[str, float]) -> float | None:
    key = f"{task.name}/{task.headline}"
    if not whole[key] or math.isnan(whole[key]):
        return None
    change = 100 * (cut[key] - whole[key]) / whole[key]
    return -change if task.higher_is_better else change


def _alphas(
    modules: Sequence[Exchange], names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Mean over levels and channels of |alpha|."""
    found: dict[tuple[str, str], list[float]] = {}
    for module in modules:
        for direction, alpha in module.alphas().items():
            found.setdefault(direction, []).append(float(alpha.abs().mean()))
    table: dict[str, dict[str, float | None]] = {}
    for target in names:
        rows = {source: found.get((source, target)) for source in names}
        table[target] = {s: sum(v) / len(v) if v else None for s, v in rows.items()}
    return table


def draw(result: Mapping[str, Any], file: Path) -> None:
    """Both matrices side by side as a PNG: what is lost, and the learned alpha."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = result["tasks"]
    figure = Figure(figsize=(4.6 + 1.4 * len(names), 1.8 + 0.6 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    titles = ("loss of the target when the source is cut (%)", "mean |alpha|")
    for axis, key, title, colors in (
        (left, "loss", titles[0], "RdBu"),
        (right, "alpha", titles[1], "Purples"),
    ):
        matrix = [[_number(result[key][target][source]) for source in names] for target in names]
        found = [abs(v) for row in matrix for v in row if not math.isnan(v)]
        size = max([*found, 1.0 if key == "loss" else 0.01])  # noise keeps its pale colour
        low = -size if key == "loss" else 0.0
        axis.imshow(matrix, cmap=colors, vmin=low, vmax=size)
        for i, row in enumerate(matrix):
            for j, value in enumerate(row):
                text = (
                    "-"
                    if math.isnan(value)
                    else f"{round(value, 2) + 0.0:+.2f}"
                    if low
                    else f"{value:.3f}"
                )
                ink = "white" if abs(value) > 0.6 * size else "black"
                axis.text(j, i, text, ha="center", va="center", fontsize=8, color=ink)
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("source", fontsize=8)
    left.set_ylabel("target", fontsize=8)
    save_figure(figure, file)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
