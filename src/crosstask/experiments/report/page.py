"""The page itself: sections of one run each, below a table that compares them."""

import math
from collections.abc import Sequence
from html import escape

from crosstask.experiments.report import charts
from crosstask.experiments.report.collect import RunFacts, Sample
from crosstask.experiments.report.figures import block, exchange_figures, figure, task_figures
from crosstask.tasks import Measure, Task

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 32px 60px; max-width: 1240px; color: #26282e;
  background: #fff; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 27px; margin: 0 0 4px; } h2 { font-size: 22px; margin: 44px 0 6px;
  padding-top: 18px; border-top: 2px solid #26282e; } h3 { font-size: 16px; margin: 28px 0 8px; }
p { margin: 4px 0 10px; max-width: 78ch; } .soft { color: #6a6f7b; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid #e4e6ea; text-align: left; }
th { color: #6a6f7b; font-weight: 600; } td.n, th.n { text-align: right; }
td.n, .v { white-space: nowrap; } td.t { overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 28px; }
.pair > div { min-width: 0; } .who { display: none; } .a { color: #2f5fa8; } .b { color: #2e8b57; }
@media (max-width: 800px) { .who { display: block; font-weight: 600; margin: 22px 0 -18px; } .pair { grid-template-columns: 1fr; } body { padding: 16px 16px 40px; }
  th, td { padding-right: 10px; } }
.flow { display: flex; flex-wrap: wrap; gap: 10px 26px; align-items: flex-start; }
figure { margin: 0; } figcaption { font-weight: 600; font-size: 14px; margin-bottom: 2px; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font-size: 11.5px; fill: #4a4e58; font-family: inherit; }
svg .title { fill: #6a6f7b; } svg .grid { stroke: #e8eaee; } svg .axis { stroke: #9aa1ad; }
.scroll { overflow-x: auto; } img { max-width: 100%; border: 1px solid #e4e6ea; }
details { margin: 8px 0; } summary { cursor: pointer; font-weight: 600; }
nav a { margin-right: 16px; } a { color: #2f5fa8; }
@media print { h2 { break-before: page; } figure { break-inside: avoid; } }
"""


def page(runs: Sequence[RunFacts], version: str, worst_first: bool = False) -> str:
    """One self-contained HTML document: styles, charts and images are inside.

    Two runs stand side by side, their curves in one chart; of more there is a section each.

    Args:
        worst_first: classes from the lowest IoU to the highest.
    """
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    links = "".join(f'<a href="#run{k}">{escape(r.name)}</a>' for k, r in enumerate(runs))
    sections = "".join(_section(run, k, worst_first) for k, run in enumerate(runs))
    if len(runs) == 2:
        sections = _pair(runs[0], runs[1], worst_first)
    overview = f"<nav>{links}</nav>{_comparison(runs)}" if len(runs) > 1 else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – crosstask report</title><style>{STYLE}</style></head><body>"
        f'<h1>Report</h1><p class="soft">Made by crosstask {escape(version)}. Fractions '
        "are shown in percent, depth in metres, angles in degrees; all on the validation split.</p>"
        f"{overview}{sections}</body></html>\n"
    )


def show(task: Task | None, key: str, value: float | None) -> str:
    """A metric with its unit; a dash where there is no number."""
    return (task.measure(key) if task else Measure()).text(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "n") -> str:
    """A table whose first column is names.

    Args:
        kind: of the other cells: n, numbers that do not wrap, or t, texts that may.
    """

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{f' class={kind}' if k else ''}>{escape(cell)}</{tag}>"
            for k, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{line("th", head)}</tr>{body}</table></div>'


def _comparison(runs: Sequence[RunFacts]) -> str:
    heads: dict[str, Task] = {f"{t.name}/{t.headline}": t for r in runs for t in r.tasks}
    rows = [
        [run.name, str(run.config.get("architecture", "")), str(run.config.get("seed", ""))]
        + [show(t, t.headline, run.metrics.get(key)) for key, t in heads.items()]
        + [show(None, "score", run.metrics.get("score"))]
        for run in runs
    ]
    columns = ["run", "architecture", "seed", *[k.replace("/", " ") for k in heads], "score"]
    return "<h3>All runs</h3>" + _table(columns, rows)


def _section(run: RunFacts, index: int, worst_first: bool = False) -> str:
    return (
        _head(run, index)
        + _results(run)
        + _curves(run)
        + "".join(_parts(run, _tasks_of(run), worst_first).values())
    )


def _tasks_of(*runs: RunFacts) -> list[str]:
    return list(dict.fromkeys(task.name for run in runs for task in run.tasks))


def _pair(one: RunFacts, other: RunFacts, worst_first: bool) -> str:
    """Two runs side by side, part by part; numbers in one table, curves in one chart."""
    tasks = _tasks_of(one, other)
    parts = [_parts(run, tasks, worst_first) for run in (one, other)]
    halves = [
        (_head(one, 0, "a"), _head(other, 1, "b")),
        *((parts[0][key], parts[1][key]) for key in parts[0]),
    ]
    rows = [
        f'<div class="pair"><div>{_whose(one, "a", left)}</div>'
        f"<div>{_whose(other, 'b', right)}</div></div>"
        for left, right in halves
        if left or right
    ]
    return rows[0] + _results(one, other) + _curves(one, other) + "".join(rows[1:])


def _whose(run: RunFacts, kind: str, part: str) -> str:
    """The part below the name of its run, which shows where the runs stand one above the other."""
    if not part or part.startswith("<h2"):
        return part
    return f'<p class="who {kind}">{escape(run.name)}</p>{part}'


def _head(run: RunFacts, index: int, kind: str = "") -> str:
    config = run.config
    line = [str(config.get(k)) for k in ("recipe", "architecture", "encoder") if config.get(k)]
    steps = config.get("steps") or max((x for c in run.curves.values() for x, _ in c), default=0)
    line += [f"{steps} steps"] if steps else []
    line += [f"{run.parameters / 1e6:.2f} million parameters"] if run.parameters else []
    shown = f'<span class="{kind}">{escape(run.name)}</span>' if kind else escape(run.name)
    return f'<h2 id="run{index}">{shown}</h2><p>{escape(" · ".join(line))}</p>'


def _parts(run: RunFacts, tasks: Sequence[str], worst_first: bool) -> dict[str, str]:
    """What stands below numbers and curves; empty where a run has no such task."""
    own = {task.name: task for task in run.tasks}
    return {
        **{f"task {t}": task_figures(run, own[t], worst_first) if t in own else "" for t in tasks},
        "exchange": exchange_figures(run),
        "best": _samples("Best images", run.best),
        "worst": _samples("Worst images", run.worst),
        "configuration": _configuration(run),
    }


def _results(*runs: RunFacts) -> str:
    run = runs[0]
    tasks = {task.name: task for r in runs for task in r.tasks}
    rows = []
    for key in dict.fromkeys(key for r in runs for key in r.metrics):
        name, _, short = key.partition("/")
        if name in tasks and short and not short.startswith("iou/"):
            label = f"{name} {short.replace('_', ' ').replace('/', ', ')}"
            values = [*(r.metrics.get(key) for r in runs), _trivial(runs, key)]
            rows.append([label, *(show(tasks[name], short, value) for value in values)])
    places = {name: place for place, name in enumerate(tasks)}
    rows.sort(key=lambda row: places[row[0].partition(" ")[0]])
    values = [*(r.metrics.get("score") for r in runs), _trivial(runs, "score")]
    rows.append(["score", *(show(None, "score", value) for value in values)])
    note = (
        '<p class="soft">The trivial predictor answers the most frequent class, and the mean of each '
        "pixel for other tasks, whatever the image."
        + (f" Scored checkpoint: {run.rule}." if run.rule else "")
        + "</p>"
    )
    names = [r.name for r in runs] if len(runs) > 1 else ["this run"]
    return "<h3>Results</h3>" + note + _table(["metric", *names, "trivial predictor"], rows)


def _trivial(runs: Sequence[RunFacts], key: str) -> float | None:
    found = (run.metrics.get(f"trivial/{key}") for run in runs)
    return next((value for value in found if value is not None), None)


def _curves(*runs: RunFacts) -> str:
    def drawn(key: str, axis: str, level: float | None = None) -> str:
        lines = [_with_gaps(key, run.curves.get(key, [])) for run in runs]
        return charts.curve(lines[0], axis, level, *lines[1:]) if any(lines) else ""

    losses = [
        figure(name.removeprefix("train/"), drawn(name, "loss"))
        for name in dict.fromkeys(name for run in runs for name in run.curves)
        if name.startswith("train/loss/")
    ]
    scores = []
    for task in {task.name: task for run in runs for task in run.tasks}.values():
        key, axis = f"{task.name}/{task.headline}", task.headline
        body = drawn(f"val/{key}", axis + task.measure(axis).axis, _trivial(runs, key))
        scores.append(figure(f"{task.name} {axis}", body))
    scores.append(figure("score", drawn("val/score", "score", _trivial(runs, "score"))))
    note = ""
    if len(runs) == 2:
        note = " " + ", ".join(
            f'<span class="{kind}">{color}: {escape(run.name)}</span>'
            for kind, color, run in zip("ab", ("blue", "green"), runs, strict=True)
        )
    return block(
        "Validation while training",
        "A point: the score on the whole validation split after that step." + note,
        *scores,
    ) + block(
        "Training losses",
        "A point: the unweighted loss of one step, the mean over the labelled pixels of its images; a gap: "
        "a step without a label of the task." + note,
        *losses,
    )


def _with_gaps(name: str, points: charts.Points) -> charts.Points:
    """Losses that are exactly 0, as where a step has no label of the task, are no numbers."""
    if not name.startswith("train/loss/"):
        return points
    return [(step, value or math.nan) for step, value in points]


def _samples(title: str, samples: Sequence[Sample]) -> str:
    if not samples:
        return ""
    body = "".join(
        f"<figure><figcaption>{escape(s.name)}: {escape(s.task)} score "
        f'<span class="v">{100 * s.score:.1f} %</span></figcaption>'
        f'<img alt="{escape(s.name)}" src="{s.image}"></figure>'
        for s in samples
    )
    note = "By the mean score over the tasks of each image; only images with the labels of all of them."
    if samples[0].task:
        note = "By the score of each image in the named task; only images with its label."
    return f'<h3>{escape(title)}</h3><p class="soft">{note}</p><div class="flow">{body}</div>'


def _configuration(run: RunFacts) -> str:
    def flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
        if isinstance(value, dict) and value:
            return [p for k, v in value.items() for p in flat(v, f"{prefix}.{k}" if prefix else k)]
        return [(prefix, "–" if value is None else str(value))]

    tables = [
        f"<details{opened}><summary>{title}</summary>{_table(['name', 'value'], flat(content), 't')}</details>"
        for title, content, opened in (
            ("Options of the recipe", run.config, ""),
            ("Versions, machine, data", run.environment, ""),
        )
        if content
    ]
    return "<h3>Configuration</h3>" + "".join(tables)
