"""Charts: positions worked out by hand, gaps, names that need escaping."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from crosstask.experiments.report import charts


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ((0, 300), [0, 100, 200, 300]),
        ((-3, 7), [-2, 0, 2, 4, 6]),
        ((5, 5), [5]),
    ],
)
def test_ticks_are_round(ends: tuple[float, float], expected: list[float]) -> None:
    assert charts.ticks(*ends) == pytest.approx(expected)


def test_a_line_lies_where_its_numbers_say() -> None:
    """360 x 220 with margins 54, 14, 12, 40: x 0..10 on 54..346, y 0..1 on 180..12."""
    text = charts.Chart((0, 10), (0, 1)).line([(0, 0), (5, 0.5), (10, 1)]).svg()
    assert 'points="54.0,180.0 200.0,96.0 346.0,12.0"' in text
    ElementTree.fromstring(text)


def test_a_logarithmic_axis() -> None:
    """10 lies halfway between 1 and 100."""
    text = charts.Chart((1, 100), (0, 1), log_x=True).line([(10, 0), (100, 0)]).svg()
    assert 'points="200.0,180.0 346.0,180.0"' in text


def test_a_gap_where_there_is_no_number() -> None:
    points = [(0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0)]
    assert charts.Chart((0, 3), (0, 2)).line(points).svg().count("<polyline") == 2
    bars = charts.Chart((0, 3), (0, 2)).bars([0, 1, 2, 3], [1.0, None, 2.0]).svg()
    assert bars.count("<rect") == 2
    assert charts.curve([(0, math.nan)], "loss") == ""


def test_class_bars() -> None:
    """(560 - 130 - 60) * 0.5 = 185 pixels."""
    text = charts.class_bars({"car": 0.5, "<b>": math.nan}, {"car": "#00008e"})
    assert 'width="185.0"' in text and "50.0 %" in text
    assert "&lt;b&gt;" in text and "does not occur" in text
    ElementTree.fromstring(text)


def test_matrix_colours() -> None:
    text = charts.matrix(["a", "b"], ["a", "b"], [[2.0, -1.0], [None, 0.0]], "{:+.1f}", signed=True)
    fills = re.findall(r'<rect[^>]* fill="(#\w+)"', text)
    assert fills == ["#2f5fa8", "#d89090", "#f1f2f4", "#ffffff"]
    assert re.findall(r">([-+–][\d.]*)<", text) == ["+2.0", "-1.0", "–", "+0.0"]
    ElementTree.fromstring(text)
