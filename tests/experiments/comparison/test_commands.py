"""study, table, knockout and compare from the command line, on one tiny study."""

import json
from pathlib import Path

import pytest
from PIL import Image

from crosstask.cli import main
from experiments.comparison.made_up_runs import make_run

TINY = [
    *("--steps", "2", "--size", "32x64", "--encoder", "resnet10t", "--width", "0.125"),
    *("--train-length", "2", "--val-length", "2", "--workers", "0", "--batch-size", "2"),
    *("--seeds", "3", "--quiet", "--accelerator", "cpu"),
]


def study(name: str, rows: str, output: Path, *more: str) -> int:
    return main(["study", name, *TINY, "--rows", rows, "--output", str(output), *more])


def test_a_study_from_first_to_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study("table4a", "densemtl", tmp_path, "--list") == 0
    assert "densemtl.S-D-N.seed3" in capsys.readouterr().out
    assert not (tmp_path / "densemtl.S-D-N.seed3").exists()
    assert study("table4a", "densemtl", tmp_path) == 0
    run = tmp_path / "densemtl.S-D-N.seed3"
    written = (run / "metrics.json").stat().st_mtime_ns
    assert study("table4a", "densemtl", tmp_path) == 0
    assert (run / "metrics.json").stat().st_mtime_ns == written, "a finished run was run again"
    capsys.readouterr()

    assert main(["table", str(tmp_path / "table4a.json")]) == 2
    assert "baseline of densemtl is missing" in capsys.readouterr().err
    assert main(["table", str(tmp_path / "table4a.json"), "--baseline", "none"]) == 0
    out = capsys.readouterr().out
    assert "densemtl" in out and "trivial predictor" in out

    assert main(["knockout", str(run), "--samples", "1", "--device", "cpu"]) == 0
    result = json.loads((run / "knockout.json").read_text())
    assert result["samples"] == 1 and len(result["cut"]) == 6
    assert (run / "knockout.png").is_file()

    sheet = tmp_path / "sheet.png"
    command = ["compare", str(run), "--images", "--index", "1", "--output", str(sheet)]
    assert main([*command, "--device", "cpu"]) == 0
    with Image.open(sheet) as image:
        assert image.width > 3 * 160

    assert study("table4a", "densemtl", tmp_path, "--lr", "0.5") == 2
    assert "lr: None there, 0.5 asked" in capsys.readouterr().err


def test_table_writes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    make_run(runs / "s", "single_task", {"segmentation": 0.5})
    make_run(runs / "d", "single_task", {"depth": 2.0})
    make_run(runs / "a", "densemtl", {"segmentation": 0.6, "depth": 2.0})
    files = [str(tmp_path / f"t{ending}") for ending in (".md", ".csv", ".tex")]
    write = [part for file in files for part in ("--write", file)]
    assert main(["table", str(runs), *write, "--plot", str(tmp_path / "p.png")]) == 0
    assert all(Path(file).stat().st_size > 100 for file in files)
    assert (tmp_path / "p.svg").is_file() and (tmp_path / "p.png").is_file()
    assert "+10.00" in capsys.readouterr().out
    assert main(["table", str(runs), "--no-cost", "--against", "densemtl"]) == 0
    assert "minus densemtl" in capsys.readouterr().out
    assert main(["table", str(runs), "--no-cost", "--against", "densmtl"]) == 2
    assert "did you mean densemtl" in capsys.readouterr().err
    assert main(["table", str(runs), "--no-cost", "--per-class"]) == 2
    assert "needs runs with segmentation" in capsys.readouterr().err
    assert main(["table", str(runs), "--no-cost", "--plot", str(tmp_path / "q.png")]) == 2
    assert "leaves out" in capsys.readouterr().err
    assert main(["table", str(runs), "--write", "t.docx"]) == 2
    make_run(runs / "b", "padnet", {"segmentation": 0.6, "depth": 2.0}, protocol="released")
    assert main(["table", str(runs), "--no-cost"]) == 1
    assert "protocol" in capsys.readouterr().err
    assert main(["compare", str(runs), "--no-cost", "--force"]) == 0


def test_bad_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, expected in (
        (["study", "tabel1"], "did you mean table1"),
        (["study", "table1", "--rows", "densmtl"], "densemtl"),
        (["study", "table1", "--seeds", "a"], "whole numbers"),
        (["study", "table1", "--dataset"], "needs a name"),
        (["study", "table1", "--stepz", "1"], "--steps"),
        (["table", str(tmp_path / "no")], "no run directory"),
        (["knockout", str(tmp_path)], "config.yaml"),
        (["compare", str(tmp_path), "--images"], "no finished run"),
        (["compare", str(tmp_path), "--output", "a.png"], "`--output` belongs to `--images`"),
        (["compare", str(tmp_path), "--inset"], "`--inset` belongs to `--images`"),
    ):
        assert main(command) == 2, command
        assert expected in capsys.readouterr().err, command
