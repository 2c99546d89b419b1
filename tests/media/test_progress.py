"""What one is told while waiting: a line now and then in a pipe, a bar in a terminal, or nothing."""

import io
import time

import pytest
from rich.console import Console

from crosstask.media.progress import Progress, bar, duration


def told(progress_of: dict, terminal: bool = False) -> tuple[list[int], str]:
    stream = io.StringIO()
    screen = Console(file=stream, force_terminal=terminal, width=80)
    progress = Progress(screen=screen, **progress_of)
    return list(progress.each(iter(range(4)), 4, "export [1]")), stream.getvalue()


def test_a_pipe_is_told_what_remains_every_so_often() -> None:
    items, text = told({"period": 0.0})
    assert items == [0, 1, 2, 3]
    lines = text.splitlines()
    assert len(lines) == 3 and lines[0].startswith("export [1]: 1 of 4, about ")
    assert all(line.endswith(" left") for line in lines)
    assert told({"period": 60.0}) == ([0, 1, 2, 3], "")


def test_a_terminal_has_a_bar_and_quiet_has_nothing() -> None:
    items, text = told({}, terminal=True)
    assert items == [0, 1, 2, 3] and "4/4" in text
    assert told({"quiet": True}, terminal=True) == ([0, 1, 2, 3], "")


def test_a_bar_of_80_columns_shows_everything_beside_a_long_name() -> None:
    stream = io.StringIO()
    with bar(Console(file=stream, force_terminal=True, width=80, color_system=None)) as shown:
        row = shown.add_task("[a] " + "long_name_" * 9, total=40, facts="")
        shown.update(row, completed=8, facts="38.7 frames/s")
    last = stream.getvalue()
    assert "[a] long_name_long_name" in last and "8/40 38.7 frames/s 0:00:00 left" in last
    with bar(Console(file=io.StringIO())) as silent:
        assert silent.disable


@pytest.mark.parametrize("quiet", [False, True])
def test_what_cannot_be_counted_tells_that_it_goes_on(quiet: bool) -> None:
    stream = io.StringIO()
    progress = Progress(quiet, period=0.01, screen=Console(file=stream, width=80))
    with progress.during("trace"):
        until = time.monotonic() + 20
        while not quiet and not stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    assert stream.getvalue().startswith("" if quiet else "trace: for 0 s now")
    assert bool(stream.getvalue()) != quiet
    before = stream.getvalue()
    time.sleep(0.05)
    assert stream.getvalue() == before, "nothing is told once it has ended"


def test_an_error_inside_is_not_swallowed() -> None:
    with pytest.raises(ValueError, match="inside"), Progress(period=60).during("trace"):
        raise ValueError("inside")


def test_durations() -> None:
    assert [duration(s) for s in (40, 192, 5400)] == ["40 s", "3.2 min", "1.5 h"]
