"""A comparison table as a file: Markdown, LaTeX, and CSV with plain numbers."""

import csv
import io
from pathlib import Path

from crosstask.experiments.comparison.cells import Cells, cells, section_cells
from crosstask.experiments.comparison.latex import to_latex
from crosstask.experiments.comparison.sections import Section
from crosstask.experiments.comparison.statistics import Interval, Summary, summarise
from crosstask.experiments.comparison.table import ComparisonTable
from crosstask.experiments.studies.study import letters
from crosstask.media.files import atomic_path


def to_markdown(table: ComparisonTable) -> str:
    """Markdown tables with the notes."""
    parts = [_markdown(*cells(table)), *(note + "\n" for note in table.notes)]
    for section in table.sections:
        parts += [section.title + "\n", _markdown(*section_cells(section))]
    return "\n".join(parts)


def _markdown(header: list[str], lines: Cells) -> str:
    text = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*text, *("| " + " | ".join(line) + " |" for line in lines), ""])


def to_csv(table: ComparisonTable) -> str:
    """Plain numbers in the units of metrics.json; empty where there is none."""
    header = ["method", "encoder", "tasks", "seeds"]
    metrics = [f"{task}/{headline}" for task, headline in table.metrics]
    sets = [letters(tasks) for tasks in table.sets]
    for name in [*metrics, *(f"delta {s}" for s in sets)]:
        header += [name, f"{name} std"]
    header += ["parameters", "macs"]
    for control in table.paired:
        header += [f"vs {control} {part}" for part in ("mean", "low", "high", "p")]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for index, row in enumerate(table.rows):
        line: list[object] = [row.name, row.encoder, letters(t.name for t in row.tasks)]
        line.append(len(row.metrics))
        for name in metrics:
            line += _numbers(row.summary(name))
        for name in sets:
            line += _numbers(summarise(list(row.deltas.get(name, {}).values())))
        line += [row.cost["parameters"], row.cost["macs"]] if row.cost else ["", ""]
        for found in table.paired.values():
            line += [*_bounds(found.get(index)), _adjusted(found.get(index))]
        writer.writerow(line)
    for section in table.sections:
        writer.writerows([[], [section.title], *_section_numbers(section)])
    return buffer.getvalue()


def _section_numbers(section: Section) -> list[list[object]]:
    """Header and lines; a column of means has its spreads beside it, one of intervals both ends."""
    columns = list(zip(*(values for _, values in section.lines), strict=True))
    ends = [any(isinstance(value, Interval) for value in column) for column in columns]
    header: list[object] = ["method"]
    for name, interval in zip(section.columns, ends, strict=bool(columns)):
        header += [name, *((f"{name} low", f"{name} high") if interval else (f"{name} std",))]
    lines = []
    for name, values in section.lines:
        line: list[object] = [name]
        for value, interval in zip(values, ends, strict=True):
            if interval:
                line += _bounds(value if isinstance(value, Interval) else None)
            else:
                line += _numbers(value if isinstance(value, Summary) else None)
        lines.append(line)
    return [header, *lines]


def _numbers(summary: Summary | None) -> list[object]:
    if summary is None:
        return ["", ""]
    return [summary.mean, "" if summary.spread is None else summary.spread]


def _bounds(interval: Interval | None) -> list[object]:
    if interval is None:
        return ["", "", ""]
    if interval.half_width is None:
        return [interval.mean, "", ""]
    return [
        interval.mean,
        interval.mean - interval.half_width,
        interval.mean + interval.half_width,
    ]


def _adjusted(interval: Interval | None) -> object:
    return "" if interval is None or interval.adjusted is None else interval.adjusted


WRITERS = {".md": to_markdown, ".csv": to_csv, ".tex": to_latex}


def write(table: ComparisonTable, file: Path) -> None:
    """Writes Markdown, CSV or LaTeX by the file's ending.

    Raises:
        ValueError: another ending.
    """
    if file.suffix not in WRITERS:
        raise ValueError(
            f"`write` is {str(file)!r}; expected a name that ends in .md, .csv or .tex"
        )
    with atomic_path(file) as temporary:
        temporary.write_text(WRITERS[file.suffix](table), encoding="utf-8")
