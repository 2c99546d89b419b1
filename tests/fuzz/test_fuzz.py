"""150 damaged files: each is named or read right; `make fuzz` takes a thousand."""

from pathlib import Path

from fuzz.__main__ import COLUMNS, Fuzz


def test_damaged_files_are_named_or_read_right(tmp_path: Path) -> None:
    fuzz = Fuzz(tmp_path, 150, 0)
    fuzz.go()
    assert fuzz.bad() == []
    assert len(fuzz.outcomes) > 300 and all(
        fuzz.said(what) for what in ("check", "predict", "train")
    )
    kinds = {outcome[0] for _, _, outcome, _ in fuzz.outcomes}
    assert kinds <= set(COLUMNS[:3]) and {"named", "right"} <= kinds
    assert "| sum |" in fuzz.table()


def test_what_ends_a_process_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    """The fuzzing itself: a signal, a traceback, a file that is not named, and code that runs."""
    fuzz = Fuzz(tmp_path, 0, 0)
    plan = [
        fuzz.attempt("x", "trial", how=how, names=[name])
        for how, name in (
            ("signal", ""), ("traceback", ""), ("unnamed", "b.png"), ("code", "a.png"), ("named", "/data/a.png"),
        )
    ]  # fmt: skip
    found = fuzz.tried(plan)
    assert [outcome[0] for _, outcome in found] == [
        "signal", "traceback", "silent-wrong", "code", "named",
    ]  # fmt: skip
