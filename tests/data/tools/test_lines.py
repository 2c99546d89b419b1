"""The lines of `data check`: what is wrong with many files in the same way is said once."""

from crosstask.data.tools.lines import report_lines


def entry(*defects: str) -> dict:
    return {
        "frames": 3, "sizes": {}, "hash": "0", "modalities": {}, "notes": [], "defects": list(defects),
    }  # fmt: skip


def test_the_same_defect_of_many_files_is_one_line() -> None:
    lines = report_lines("train", entry("m/a.png holds 11", "m/b.png holds 11", "m/c.png holds 12"))
    told = [line.strip() for line in lines if "DEFECT" in line]
    assert told == [
        "DEFECT: m/a.png holds 11 [the same of 1 more files]",
        "DEFECT: m/c.png holds 12",
    ]


def test_defects_of_no_file_stay_as_they_are() -> None:
    lines = report_lines("train", entry("one class has no pixel", "two class has no pixel"))
    assert sum("DEFECT" in line for line in lines) == 2
