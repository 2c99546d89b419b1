"""The page itself: sections of one run each, below a table that compares them."""

import math
from collections.abc import Sequence
from html import escape

from crosstask.experiments.report import charts
from crosstask.experiments.report.collect import RunFacts, Sample
from crosstask.tasks import ClassTable, Measure, Task

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


def page(runs: Sequence[RunFacts], version: str) -> str:
    """One self-contained HTML document: styles, charts and images are inside."""
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    links = "".join(f'<a href="#run{k}">{escape(r.name)}</a>' for k, r in enumerate(runs))
    sections = "".join(_section(run, k) for k, run in enumerate(runs))
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


def _figure(title: str, body: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{body}</figure>" if body else ""


def _block(title: str, note: str, *figures: str) -> str:
    shown = "".join(figures)
    if not shown:
        return ""
    text = f'<p class="soft">{note}</p>' if note else ""
    return f'<h3>{escape(title)}</h3>{text}<div class="flow">{shown}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if k else ''}>{escape(cell)}</{tag}>"
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


def _section(run: RunFacts, index: int) -> str:
    config = run.config
    line = [str(config.get(k)) for k in ("recipe", "architecture", "encoder") if config.get(k)]
    steps = config.get("steps") or max((x for c in run.curves.values() for x, _ in c), default=0)
    line += [f"{steps} steps"] if steps else []
    line += [f"{run.parameters / 1e6:.2f} million parameters"] if run.parameters else []
    parts = [
        f'<h2 id="run{index}">{escape(run.name)}</h2><p>{escape(" · ".join(line))}</p>',
        _results(run),
        _curves(run),
        *[_task(run, task) for task in run.tasks],
        _exchange(run),
        _samples("Best images", run.best),
        _samples("Worst images", run.worst),
        _configuration(run),
    ]
    return "".join(parts)


def _results(run: RunFacts) -> str:
    rows = []
    for task in run.tasks:
        prefix = f"{task.name}/"
        for key, value in run.metrics.items():
            short = key.removeprefix(prefix)
            if not key.startswith(prefix) or short.startswith("iou/"):
                continue
            label = f"{task.name} {short.replace('_', ' ').replace('/', ', ')}"
            trivial = run.metrics.get(f"trivial/{key}")
            rows.append([label, show(task, short, value), show(task, short, trivial)])
    score, trivial = run.metrics.get("score"), run.metrics.get("trivial/score")
    rows.append(["score", show(None, "score", score), show(None, "score", trivial)])
    note = (
        '<p class="soft">The trivial predictor answers the most frequent class, and the mean of each '
        "pixel for other tasks, whatever the image."
        + (f" Scored checkpoint: {run.rule}." if run.rule else "")
        + "</p>"
    )
    return "<h3>Results</h3>" + note + _table(["metric", "this run", "trivial predictor"], rows)


def _curves(run: RunFacts) -> str:
    losses = [
        _figure(name.removeprefix("train/"), charts.curve(points, "loss"))
        for name, points in run.curves.items()
        if name.startswith("train/loss/")
    ]
    scores = []
    for task in run.tasks:
        key = f"{task.name}/{task.headline}"
        points = run.curves.get(f"val/{key}", [])
        level = run.metrics.get(f"trivial/{key}")
        if points:
            title = f"{task.name} {task.headline}"
            axis = task.headline + task.measure(task.headline).axis
            scores.append(_figure(title, charts.curve(points, axis, level)))
    points = run.curves.get("val/score", [])
    if points:
        level = run.metrics.get("trivial/score")
        scores.append(_figure("score", charts.curve(points, "score", level)))
    return _block("Validation while training", "", *scores) + _block(
        "Training losses", "Means since the row before, unweighted.", *losses
    )


def _task(run: RunFacts, task: Task) -> str:
    """The figure for which the task's metric has the numbers, see its `details`; none otherwise."""
    details = run.details.get(task.name, {})
    if {"confusion", "classes"} <= {*details}:
        return _confusion(run, task, details)
    if {"edges", "pixels", "rmse", "abs_rel"} <= {*details}:
        return _error_by_distance(task, details)
    if "histogram" in details:
        return _angles(task, details)
    if {"recall", "precision"} <= {*details}:
        return _precision_recall(task, details)
    return ""


_MOST_SHOWN = 60  # classes of a figure


def _confusion(run: RunFacts, task: Task, details: dict) -> str:
    every, rows = details["classes"], details["confusion"]
    largest = sorted(range(len(every)), key=lambda index: -sum(rows[index]))[:_MOST_SHOWN]
    kept = sorted(largest)
    names = [every[index] for index in kept]
    some = f" (the {len(kept)} largest of {len(every)} classes)" if len(kept) < len(every) else ""
    prefix = f"{task.name}/iou/"
    values = {name: run.metrics.get(prefix + name, math.nan) for name in names}
    table = task.class_table or ClassTable(tuple(every))
    colors = {
        name: "#" + "".join(f"{c:02x}" for c in color)
        for name, color in zip(every, table.colors, strict=True)
    }
    shares = []
    for row in (rows[index] for index in kept):
        total = sum(row)
        shares.append([100 * row[index] / total if total else None for index in kept])
    cell = 44 if len(names) <= 20 else 34
    return _block(
        f"{task.name}: classes",
        "Intersection over union, and what the pixels of each class (row, in percent) were taken "
        f"for (column){some}.",
        _figure("IoU", charts.class_bars(values, colors)),
        _figure(
            "Confusion",
            charts.matrix(names, names, shares, "{:.0f}", cell=cell, top=100.0, least=0.5),
        ),
    )


def _error_by_distance(task: Task, details: dict) -> str:
    edges, pixels = details["edges"], details["pixels"]
    used = [k for k, count in enumerate(pixels) if count]
    if not used:
        return ""
    first, last = used[0], used[-1] + 1
    edges, total = edges[first : last + 1], sum(pixels)
    figures = []
    for title, y_title, values in (
        ("Root mean square error", "RMSE (m)", details["rmse"][first:last]),
        ("Relative error", "|error| / depth", details["abs_rel"][first:last]),
        ("Where the pixels are", "share (%)", [100 * n / total for n in pixels[first:last]]),
    ):
        top = max(v for v in values if v is not None) * 1.06
        x = (edges[0], edges[-1])
        chart = charts.Chart(x, (0.0, top), "true distance (m)", y_title, log_x=True)
        figures.append(_figure(title, chart.bars(edges, values).svg()))
    return _block(f"{task.name}: error by distance", "", *figures)


def _angles(task: Task, details: dict) -> str:
    counts = details["histogram"]
    total = sum(counts)
    if not total:
        return ""
    shares = [100 * n / total for n in counts]
    steps, running = [(0.0, 0.0)], 0.0
    for degree, share in enumerate(shares):
        running += share
        steps.append((degree + 1.0, running))
    shown = 90
    bars = charts.Chart((0, shown), (0, max(shares) * 1.06), "angle to the truth (°)", "pixels (%)")
    curve = charts.Chart((0, shown), (0, 100), "angle to the truth (°)", "pixels within (%)")
    return _block(
        f"{task.name}: angular error",
        f"Up to {shown}°; {sum(shares[shown:]):.1f} % of the pixels are farther off.",
        _figure("Histogram", bars.bars(list(range(shown + 1)), shares[:shown]).svg()),
        _figure("Share within an angle", curve.line(steps[: shown + 1]).svg()),
    )


def _precision_recall(task: Task, details: dict) -> str:
    pairs = [
        (r, p)
        for r, p in zip(details["recall"], details["precision"], strict=True)
        if r is not None and p is not None
    ]
    if not pairs:
        return ""
    chart = charts.Chart((0, 1), (0, 1), "recall", "precision", width=360, height=300)
    for f in (0.2, 0.4, 0.6, 0.8):  # lines of equal F1
        start = f / (2 - f)  # precision 1
        recalls = [start * (1 / start) ** (k / 60) for k in range(61)]
        line = [(r, f * r / (2 * r - f)) for r in recalls]
        chart.line(line, charts.GREY, dashed=True)
    note = "One point a threshold of the probability; grey lines have equal F1 (0.2 to 0.8)."
    body = chart.line(sorted(pairs)).svg()
    return _block(
        f"{task.name}: precision and recall", note, _figure("Precision over recall", body)
    )


def _exchange(run: RunFacts) -> str:
    names = [task.name for task in run.tasks]
    figures, note = [], "Rows read, columns are read."
    if run.alphas:
        values = [[run.alphas.get(t, {}).get(s) for s in names] for t in names]
        body = charts.matrix(names, names, values, "{:.3f}", cell=84)
        figures.append(_figure("Learned alpha of the attention, mean size", body))
    if run.knockout:
        names = list(run.knockout["tasks"])
        loss = [[run.knockout["loss"][t].get(s) for s in names] for t in names]
        body = charts.matrix(names, names, loss, "{:+.2f}", signed=True, cell=84)
        figures.append(_figure("Loss of the row's task when the column is cut (%)", body))
        note += " Blue: the column's task helps."
    return _block("Between the tasks", note, *figures)


def _samples(title: str, samples: Sequence[Sample]) -> str:
    if not samples:
        return ""
    body = "".join(
        f"<figure><figcaption>{escape(s.name)}: score {100 * s.score:.1f} %</figcaption>"
        f'<img alt="{escape(s.name)}" src="{s.image}"></figure>'
        for s in samples
    )
    return f'<h3>{escape(title)}</h3><div class="flow">{body}</div>'


def _configuration(run: RunFacts) -> str:
    def flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
        if isinstance(value, dict) and value:
            return [p for k, v in value.items() for p in flat(v, f"{prefix}.{k}" if prefix else k)]
        return [(prefix, "–" if value is None else str(value))]

    tables = [
        f"<details{opened}><summary>{title}</summary>{_table(['name', 'value'], flat(content))}</details>"
        for title, content, opened in (
            ("Options of the recipe", run.config, ""),
            ("Versions, machine, data", run.environment, ""),
        )
        if content
    ]
    return "<h3>Configuration</h3>" + "".join(tables)
