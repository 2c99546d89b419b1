"""Small charts as SVG text: no script, no outside font, no outside file."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
BLUE, GREY, ORANGE, GREEN = "#2f5fa8", "#9aa1ad", "#d9822b", "#2e8b57"
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 12, 40


def ticks(low: float, high: float, number: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) between `low` and `high`."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / number
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(m * base for m in (1, 2, 5, 10) if m * base >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number as short as its axis needs it."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


class Chart:
    """Axes with grid lines; what is drawn comes in data units.

    Args:
        x, y: (low, high) of the axes.
        x_title, y_title: with units.
        log_x: logarithmic x, of positive numbers.
        width, height: in pixels.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        x_title: str = "",
        y_title: str = "",
        log_x: bool = False,
        width: int = 360,
        height: int = 220,
    ) -> None:
        self.x, self.y, self.log_x, self.width, self.height = x, y, log_x, width, height
        self.parts: list[str] = []
        self._axes(x_title, y_title)

    def _px(self, value: float) -> float:
        low, high = self.x
        if self.log_x:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low or 1.0)
        return _LEFT + share * (self.width - _LEFT - _RIGHT)

    def _py(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0] or 1.0)
        return self.height - _BOTTOM - min(max(share, 0.0), 1.0) * (self.height - _TOP - _BOTTOM)

    def _axes(self, x_title: str, y_title: str) -> None:
        base, right = self.height - _BOTTOM, self.width - _RIGHT
        for value in ticks(*self.y):
            at = self._py(value)
            self.parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
                f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(value)}</text>'
            )
        marks = ticks(*self.x)
        if self.log_x:
            powers = range(math.floor(math.log10(self.x[0])), math.ceil(math.log10(self.x[1])) + 1)
            marks = [m * 10.0**p for p in powers for m in (1, 2, 5)]
            marks = [m for m in marks if self.x[0] * 0.999 <= m <= self.x[1] * 1.001]
        for value in marks:
            at = self._px(value)
            self.parts.append(
                f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{base}" y2="{base + 4}"/>'
                f'<text x="{at:.1f}" y="{base + 16}" text-anchor="middle">{number(value)}</text>'
            )
        middle = (_LEFT + right) / 2
        self.parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{base}" y2="{base}"/>'
            f'<text class="title" x="{middle}" y="{self.height - 6}" text-anchor="middle">{escape(x_title)}</text>'
            f'<text class="title" transform="rotate(-90 12 {base / 2})" x="12" y="{base / 2}" text-anchor="middle">{escape(y_title)}</text>'
        )

    def line(self, points: Points, color: str = BLUE, dashed: bool = False) -> "Chart":
        """A line through (x, y); a value that is not a number interrupts it."""
        pieces: list[list[str]] = [[]]
        for x, y in points:
            if math.isfinite(y):
                pieces[-1].append(f"{self._px(x):.1f},{self._py(y):.1f}")
            elif pieces[-1]:
                pieces.append([])
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        for piece in filter(None, pieces):
            self.parts.append(
                f'<polyline fill="none" stroke="{color}" stroke-width="1.8"{dash} points="{" ".join(piece)}"/>'
            )
            if len(piece) == 1:
                left, top = piece[0].split(",")
                self.parts.append(f'<circle cx="{left}" cy="{top}" r="2.5" fill="{color}"/>')
        return self

    def bars(
        self, edges: Sequence[float], values: Sequence[float | None], color: str = BLUE
    ) -> "Chart":
        """A bar between neighbouring edges for each value; None leaves a gap."""
        base = self.height - _BOTTOM
        for left, right, value in zip(edges, edges[1:], values, strict=False):
            if value is None:
                continue
            x, top = self._px(left), self._py(value)
            width = max(0.5, self._px(right) - x - 0.8)
            self.parts.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{base - top:.1f}" fill="{color}"><title>{number(left)} to {number(right)}: {number(value)}</title></rect>'
            )
        return self

    def level(self, value: float, text: str) -> "Chart":
        """A dashed horizontal line with its name, if it lies within the axis."""
        if self.y[0] <= value <= self.y[1]:
            at = self._py(value)
            right = self.width - _RIGHT
            self.parts.append(
                f'<line x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}" stroke="{ORANGE}" stroke-dasharray="5 4"/>'
                f'<text x="{right}" y="{at - 4:.1f}" text-anchor="end" fill="{ORANGE}">{escape(text)}</text>'
            )
        return self

    def svg(self) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" role="img">{"".join(self.parts)}</svg>'
        )


def curve(points: Points, y_title: str, level: float | None = None, beside: Points = ()) -> str:
    """One measured quantity over training steps, with a trivial predictor's level.

    Args:
        beside: the same of another run, in green.
    """
    known = [y for _, y in (*points, *beside) if math.isfinite(y)]
    if not known:
        return ""
    shown = [*known, *([level] if level is not None and math.isfinite(level) else [])]
    low, high = min(shown), max(shown)
    low = 0.0 if 0 <= low < 0.5 * high else low
    steps = [x for x, _ in (*points, *beside)]
    room = (high - low or abs(high) or 1.0) * 0.06
    start = min(steps) if len(steps) > 1 else 0
    chart = Chart((start, max(steps)), (low, high + room), "step", y_title)
    if level is not None and math.isfinite(level):
        chart.level(level, "trivial predictor")
    return chart.line(points).line(beside, GREEN).svg()


def class_bars(values: Mapping[str, float], colors: Mapping[str, str]) -> str:
    """A horizontal bar a class, fractions from 0 to 1, in the order given."""
    left, width, row = 130, 560, 22
    parts = []
    for k, (name, value) in enumerate(values.items()):
        y = k * row
        known = math.isfinite(value)
        length = (width - left - 60) * (value if known else 0.0)
        text = f"{100 * value:.1f} %" if known else "does not occur"
        parts.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{max(length, 0.5):.1f}" height="{row - 6}" fill="{colors.get(name, BLUE)}" stroke="#0003"/>'
            f'<text x="{left + length + 6:.1f}" y="{y + 15}">{text}</text>'
        )
    height = row * len(values)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"{''.join(parts)}</svg>"
    )


def matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    form: str,
    signed: bool = False,
    cell: int = 44,
    top: float | None = None,
    least: float = 0.0,
) -> str:
    """A table of coloured cells: blue grows with the value; red is below 0 where `signed`.

    Args:
        form: of a number, for `str.format`.
        top: value of the fullest colour; the largest one if left out.
        least: smaller values have no text.
    """
    left, head = 120, 92
    found = [abs(v) for row in values for v in row if v is not None and math.isfinite(v)]
    most = top or max(found, default=1.0) or 1.0
    parts = []
    for j, name in enumerate(columns):
        x = left + j * cell + cell / 2
        parts.append(
            f'<text transform="rotate(-45 {x} {head - 8})" x="{x}" y="{head - 8}">{escape(name)}</text>'
        )
    for i, name in enumerate(rows):
        y = head + i * 24
        parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        for j, value in enumerate(values[i]):
            if value is None or not math.isfinite(value):
                fill, text, ink = "#f1f2f4", "–", "#888"
            else:
                share = min(1.0, abs(value) / most)
                end = (178, 34, 34) if signed and value < 0 else (47, 95, 168)
                fill = "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in end)
                text = form.format(value) if abs(value) >= least else ""
                ink = "#fff" if share > 0.55 else "#26282e"
            parts.append(
                f'<rect x="{left + j * cell}" y="{y}" width="{cell - 1}" height="23" fill="{fill}"/>'
                f'<text x="{left + j * cell + cell / 2}" y="{y + 16}" text-anchor="middle" style="fill:{ink}">{text}</text>'
            )
    width, height = left + len(columns) * cell + 60, head + len(rows) * 24 + 4
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"{''.join(parts)}</svg>"
    )
