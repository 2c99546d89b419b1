"""metrics.csv: one row a step and scalar, append-only."""

import csv
from collections.abc import Mapping
from pathlib import Path

from crosstask.engine.runs import RunError
from crosstask.media.files import atomic_path, naming_full_disk


def read_rows(path: Path) -> list[tuple[int, str, float]]:
    """The rows of a metrics.csv.

    Raises:
        RunError: a line that this program did not write (edited or cut); names the line.
    """
    if not path.is_file():
        return []
    rows = []
    with path.open(newline="") as file:
        reader = csv.reader(file)
        if next(reader, None) != ["step", "name", "value"]:
            raise RunError(f"{path}, line 1: expected `step,name,value`; was the file edited?")
        for number, row in enumerate(reader, start=2):
            try:
                step, name, value = row
                rows.append((int(step), name, float(value)))
            except ValueError:
                raise RunError(
                    f"{path}, line {number}: {','.join(row)!r} is not a `step,name,value`; was the file "
                    "edited or cut? Mend or remove the line"
                ) from None
    return rows


def curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """{name: [(step, value), ...]} of a metrics.csv."""
    table: dict[str, list[tuple[int, float]]] = {}
    for step, name, value in read_rows(path):
        table.setdefault(name, []).append((step, value))
    return table


class MetricsFile:
    """Appends to metrics.csv; on a resume, rows after the checkpoint's step are dropped first."""

    def __init__(self, path: Path, keep_until: int | None = None) -> None:
        self.path = path
        kept: list[tuple[int, str, float]] = []
        if keep_until is not None and path.is_file():
            text = path.read_text()
            if text and not text.endswith("\n"):  # the last line was cut by a kill
                with atomic_path(path) as temporary:
                    temporary.write_text(text[: text.rfind("\n") + 1])
            kept = [row for row in read_rows(path) if row[0] <= keep_until]
        with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", "name", "value"])
            writer.writerows((s, n, repr(v)) for s, n, v in kept)
        self._rows = {(s, n) for s, n, _ in kept}

    def append(self, step: int, values: Mapping[str, float]) -> None:
        rows = [(step, n, repr(float(v))) for n, v in values.items() if (step, n) not in self._rows]
        with naming_full_disk(self.path), self.path.open("a", newline="") as file:
            csv.writer(file).writerows(rows)
