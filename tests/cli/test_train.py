"""`crosstask train` end to end where something goes wrong: signals, an explosion, a full disk."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from crosstask.cli import main
from crosstask.media.files import DiskFullError
from fakes.full_disk import no_room_beyond
from fakes.served import tiny_model


def command(run: Path, **options: object) -> list[str]:
    """A training of a tiny network on tiny streets."""
    settings: dict[str, object] = {
        "run": run, "encoder": "resnet10t", "width": 0.0625, "size": "32x64", "tasks": "segmentation,depth",
        "train-length": 4, "val-length": 2, "batch-size": 2, "workers": 0, "steps": 2, "val-every": 1,
        "accelerator": "cpu", "precision": 32,
    }  # fmt: skip
    given = [f"--{name}={value}" for name, value in (settings | options).items()]
    return ["train", "procedural.supervised", "--quiet", *given]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="loaders fork")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_process_group_saves(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """As a terminal sends Ctrl-C, and a cluster SIGTERM: loader processes get it too."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "crosstask", *command(run, workers=2, steps=10**6, **{"val-every": 2})],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 300
        while not (run / "checkpoints/last.ckpt").is_file():
            assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
            time.sleep(0.1)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=200)[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == code, said
    assert "continue with --resume" in said and "Traceback" not in said
    step = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert step >= 2 and f"stopped at step {step} of 1000000" in said
    assert not list(run.rglob("*.part"))


def test_a_network_that_explodes_is_neither_saved_nor_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(command(run, lr=1e12, steps=4, **{"val-every": 2})) == 2
    said = capsys.readouterr().err
    assert "finite" in said and "--lr" in said and "Traceback" not in said
    assert not (run / "metrics.json").exists()
    for file in run.glob("checkpoints/*"):
        weights = torch.load(file, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() and value.abs().max() < 1e6 for value in weights.values())


def test_a_full_disk_names_the_file_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with no_room_beyond(200_000):
        assert main(command(run)) == 2
    said = capsys.readouterr().err
    assert f"there is no room for {run}/checkpoints/" in said and "it needs" in said
    assert "run the same command again" in said
    assert not list(run.glob("checkpoints/*")) and not list(run.rglob("*.part"))
    assert main([*command(run), "--resume"]) == 0
    assert json.loads((run / "metrics.json").read_text())["score"] > 0
    before = (run / "checkpoints/last.ckpt").read_bytes()
    with no_room_beyond(200_000):
        assert main([*command(run, steps=3), "--resume"]) == 2
    assert (run / "checkpoints/last.ckpt").read_bytes() == before  # what was there is intact
    capsys.readouterr()
    with no_room_beyond(1000):
        assert main(["report", str(run), "--output", str(tmp_path / "report.html")]) == 2
    assert "there is no room for" in capsys.readouterr().err
    assert not list(tmp_path.glob(".report*")) and not (tmp_path / "report.html").exists()


def test_a_full_disk_in_what_comes_after_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model()
    with no_room_beyond(5000), pytest.raises(DiskFullError, match=r"model\.safetensors"):
        model.save_pretrained(tmp_path / "none")
    assert not list((tmp_path / "none").iterdir())
    model.save_pretrained(tmp_path / "model")
    Image.radial_gradient("L").convert("RGB").save(tmp_path / "a.png")
    predict = ["predict", str(tmp_path / "model"), str(tmp_path / "a.png"), "--device", "cpu"]
    with no_room_beyond(500):
        assert main([*predict, "--output", str(tmp_path / "out")]) == 2
    assert f"there is no room for {tmp_path}/out/" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob(".*"))
    preview = ["data", "preview", "procedural", "--count", "1", "--width", "64"]
    with no_room_beyond(500):
        assert main([*preview, "--split", "val", "--output", str(tmp_path / "sheets")]) == 2
    assert f"there is no room for {tmp_path}/sheets/" in capsys.readouterr().err
    assert not list((tmp_path / "sheets").iterdir())
