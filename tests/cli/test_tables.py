"""Tables as wide as the terminal."""

import pytest
from rich.console import Console

from crosstask.cli.tables import PIPE, console, fitted

HEADER = ["method", "tasks", "mIoU % ↑", "RMSE m ↓", "vs multi_task_matched"]
LINES = [
    ["densemtl-fusion=concat-correlation=channel", "S-D-N", "80.69 ± 0.25", "4.165 ± 0.037", "-"],
    ["padnet", "S-D", "70.90 ± 0.50", "4.922 ± 0.023", "-8.43 [-10.14, -6.72] p=0.011"],
]


def printed(width: int) -> list[str]:
    screen = Console(width=width, force_terminal=False)
    with screen.capture() as capture:
        for sheet in fitted(HEADER, LINES, 2, width):
            screen.print(sheet)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_too_wide_and_no_number_broken(width: int) -> None:
    lines = printed(width)
    assert max(map(len, lines)) <= width
    for number in (text for line in LINES for text in line[2:]):
        assert any(number in line for line in lines), number
    tables = sum(line.split()[:1] == ["method"] for line in lines)
    assert tables == {60: 2, 80: 2, 100: 2, 200: 1}[width]


def test_a_row_without_numbers_is_left_out_of_further_tables() -> None:
    lines = printed(80)
    last = next(k for k, line in enumerate(lines) if "multi_task_matched" in line)
    assert not any("densemtl-fusion" in line for line in lines[last:])
    assert any("padnet" in line for line in lines[last:])


def test_a_pipe_has_80_columns_or_those_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == PIPE == 80
    monkeypatch.setenv("COLUMNS", "123")
    assert console().width == 123
