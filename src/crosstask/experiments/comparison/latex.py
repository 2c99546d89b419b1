"""A comparison table in LaTeX, laid out as the tables of DenseMTL: a line a method, side by side the
task sets, the best number of each column in bold and the second underlined."""

import re
from collections.abc import Sequence
from dataclasses import replace

from crosstask.experiments.comparison.cells import (
    Cells,
    Column,
    columns,
    ranks,
    section_cells,
    shown_name,
    task_sets,
)
from crosstask.experiments.comparison.table import ComparisonTable
from crosstask.experiments.studies.study import letters

_BEST = {1: r"\textbf", 2: r"\underline"}
_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "°": r"$^\circ$",
    "†": r"$^\dagger$",
    "–": "--",
}


def to_latex(table: ComparisonTable) -> str:
    r"""LaTeX tabulars (`\usepackage{booktabs}`), with the notes as comments."""
    notes = [f"% {part}" for note in table.notes for part in note.splitlines()]
    parts = ["\n".join([r"% \usepackage{booktabs}", *notes, _main(table)])]
    found = columns(table)
    paired = [column for column in found if column.paired]
    if paired:
        lines = [
            [shown_name(row), table.set_of(row), *(column.texts[index] for column in paired)]
            for index, row in enumerate(table.rows)
            if any(column.texts[index] != "-" for column in paired)
        ]
        header = ["method", "tasks", *(column.title for column in paired)]
        parts.append("% differences of the full gain to the controls\n" + _plain(header, lines, 2))
    for section in table.sections:
        parts.append(f"% {section.title}\n" + _plain(*section_cells(section), 1))
    return "\n".join(parts)


def _main(table: ComparisonTable) -> str:
    sets = task_sets(table.rows)
    found = [column for column in columns(table) if not column.paired]
    methods, groups = _methods(table), []
    shown = [[_of_set(table, members, tasks) for members in methods.values()] for tasks in sets]
    for tasks, indices in zip(sets, shown, strict=True):
        own = [c for c in found if c.tasks is None or set(c.tasks) <= set(tasks)]
        groups.append([_ranked_among(column, indices) for column in own])
    lines = []
    for number, name in enumerate(methods):
        cells = [_escaped(name)]
        for indices, group in zip(shown, groups, strict=True):
            index = indices[number]
            cells += ["--" if index is None else _cell(c, index) for c in group]
        lines.append(" & ".join(cells) + r" \\")
    titles = ["method", *(column.title for group in groups for column in group)]
    head = [" & ".join(map(_escaped, titles)) + r" \\"]
    if len(sets) > 1:
        head = [*_over(sets, groups), *head]
    spec = "l" + "r" * (len(titles) - 1)
    above = sum(row.encoder == "-" or row.baseline for row in table.rows)
    above = len({row.name for row in table.rows[:above]})
    body = [*lines[:above], r"\midrule", *lines[above:]] if 0 < above < len(lines) else lines
    return _tabular(spec, head, body)


def _ranked_among(column: Column, indices: Sequence[int | None]) -> Column:
    """The column with the best of the rows that stand below each other."""
    values = {index: value for index, value in column.values.items() if index in indices}
    return replace(column, places=ranks(values, column.higher))


def _over(sets: Sequence[tuple[str, ...]], groups: Sequence[Sequence[Column]]) -> list[str]:
    """The line of the task sets, and the rules below it."""
    cells, rules, first = [""], [], 2
    for tasks, group in zip(sets, groups, strict=True):
        cells.append(rf"\multicolumn{{{len(group)}}}{{c}}{{{_escaped(letters(tasks))}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(group) - 1}}}")
        first += len(group)
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _methods(table: ComparisonTable) -> dict[str, list[int]]:
    """{name: its rows}; the rows of other task sets share a line."""
    found: dict[str, list[int]] = {}
    for index, row in enumerate(table.rows):
        found.setdefault(row.name, []).append(index)
    return {_signed(table, rows): rows for rows in found.values()}


def _signed(table: ComparisonTable, rows: Sequence[int]) -> str:
    """The name of a line, with the sign where any of its rows has it."""
    return max((shown_name(table.rows[index]) for index in rows), key=len)


def _of_set(table: ComparisonTable, rows: Sequence[int], tasks: tuple[str, ...]) -> int | None:
    """The row that has these tasks; of what is no multi-task network, one that has more of them."""
    own = {index: {task.name for task in table.rows[index].tasks} for index in rows}
    exact = [index for index in rows if own[index] == set(tasks)]
    every = [
        index
        for index in rows
        if own[index] > set(tasks)
        and (table.rows[index].baseline or table.rows[index].encoder == "-")
    ]
    return next(iter([*exact, *every]), None)


def _cell(column: Column, index: int) -> str:
    """A number, marked by its place; its spread small."""
    mean, plus, spread = column.texts[index].partition(" ± ")
    text, place = _escaped(mean), column.places.get(index)
    text = f"{_BEST[place]}{{{text}}}" if place else text
    return rf"{text} {{\scriptsize $\pm$ {_escaped(spread)}}}" if plus else text


def _plain(header: Sequence[str], lines: Cells, names: int) -> str:
    rows = [" & ".join(map(_escaped, line)) + r" \\" for line in lines]
    spec = "l" * names + "r" * (len(header) - names)
    return _tabular(spec, [" & ".join(map(_escaped, header)) + r" \\"], rows)


def _tabular(spec: str, head: Sequence[str], body: Sequence[str]) -> str:
    begin = rf"\begin{{tabular}}{{{spec}}}"
    rules = [r"\toprule", *head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([begin, *rules, r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    if text == "-":
        return "--"
    text = "".join(_TEX.get(letter, letter) for letter in text)
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text)  # of a number, no hyphen
