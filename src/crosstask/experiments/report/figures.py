"""The figures of a report: what a task's metric knows, and what passes between the tasks."""

import math
from html import escape

from crosstask.experiments.report import charts
from crosstask.experiments.report.collect import RunFacts
from crosstask.tasks import ClassTable, Task


def figure(title: str, body: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{body}</figure>" if body else ""


def block(title: str, note: str, *figures: str) -> str:
    shown = "".join(figures)
    if not shown:
        return ""
    text = f'<p class="soft">{note}</p>' if note else ""
    return f'<h3>{escape(title)}</h3>{text}<div class="flow">{shown}</div>'


def task_figures(run: RunFacts, task: Task, worst_first: bool) -> str:
    """The figure for which the task's metric has the numbers, see its `details`; none otherwise."""
    details = run.details.get(task.name, {})
    if {"confusion", "classes"} <= {*details}:
        return _confusion(run, task, details, worst_first)
    if {"edges", "pixels", "rmse", "abs_rel"} <= {*details}:
        return _error_by_distance(task, details)
    if "histogram" in details:
        return _angles(task, details)
    if {"recall", "precision"} <= {*details}:
        return _precision_recall(task, details)
    return ""


_MOST_SHOWN = 60  # classes of a figure


def _confusion(run: RunFacts, task: Task, details: dict, worst_first: bool) -> str:
    every, rows = details["classes"], details["confusion"]
    largest = sorted(range(len(every)), key=lambda index: -sum(rows[index]))[:_MOST_SHOWN]
    kept = sorted(largest)
    prefix = f"{task.name}/iou/"
    if worst_first:  # those that no image shows are last
        iou = {index: run.metrics.get(prefix + every[index], math.nan) for index in kept}
        kept.sort(key=lambda index: (math.isnan(iou[index]), iou[index]))
    names = [every[index] for index in kept]
    some = f" (the {len(kept)} largest of {len(every)} classes)" if len(kept) < len(every) else ""
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
    return block(
        f"{task.name}: classes",
        "A bar: the intersection over union of a class over the whole split. A cell: how much of the "
        f"pixels of a class (row, in percent) was taken for another (column){some}.",
        figure("IoU", charts.class_bars(values, colors)),
        figure(
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
        figures.append(figure(title, chart.bars(edges, values).svg()))
    note = "A bar: all labelled pixels of the split at that true distance."
    return block(f"{task.name}: error by distance", note, *figures)


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
    return block(
        f"{task.name}: angular error",
        f"A bar: the pixels of the split that are off by that degree; up to {shown}°, {sum(shares[shown:]):.1f} % of the pixels are farther off.",
        figure("Histogram", bars.bars(list(range(shown + 1)), shares[:shown]).svg()),
        figure("Share within an angle", curve.line(steps[: shown + 1]).svg()),
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
    return block(f"{task.name}: precision and recall", note, figure("Precision over recall", body))


def exchange_figures(run: RunFacts) -> str:
    names = [task.name for task in run.tasks]
    figures, note = [], "Rows read, columns are read."
    if run.alphas:
        values = [[run.alphas.get(t, {}).get(s) for s in names] for t in names]
        body = charts.matrix(names, names, values, "{:.3f}", cell=84)
        figures.append(figure("Learned alpha of the attention, mean size", body))
    if run.knockout:
        names = list(run.knockout["tasks"])
        loss = [[run.knockout["loss"][t].get(s) for s in names] for t in names]
        body = charts.matrix(names, names, loss, "{:+.2f}", signed=True, cell=84)
        figures.append(figure("Loss of the row's task when the column is cut (%)", body))
        note += " Blue: the column's task helps."
    return block("Between the tasks", note, *figures)
