"""What the page's events answer, without a browser: any tasks, any architecture, lost sessions."""

import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import torch

from crosstask.cli import main
from crosstask.tasks import Depth, HumanParts, Saliency, Segmentation, Task
from crosstask.web.session import Example, Limits, Studio
from fakes.served import tiny_model

gradio = pytest.importorskip("gradio", reason="the web page needs gradio")
pytest.importorskip("plotly", reason="the web page needs plotly")


def page(tmp_path: Path, architecture: str, tasks: tuple[Task, ...]) -> Any:
    from crosstask.web.page import Page

    studio = Studio(tiny_model(architecture, tasks), Limits(points=500))
    made = Page(studio, tmp_path, [Example("noise", torch.rand(3, 48, 96), 100.0)])
    made.build()
    return made


def event(**data: int) -> Any:
    return gradio.EventData(None, data)


VISITOR = gradio.Request(session_hash="../../outside")


def test_tasks_without_depth(tmp_path: Path) -> None:
    tasks = (HumanParts(), Saliency(), Segmentation(2, name="state"))
    made = page(tmp_path, "multi_task", tasks)
    scene, status, images, reading, attention, level, *_ = made.take_example(event(example=0))
    assert "96 x 48 pixels" in status and "scale" not in status
    assert images.count("<figure") == 3 and "human parts" in images
    assert "<dt>state</dt><dd>class " in reading
    assert "multi_task has no exchange between tasks" in attention and not level["visible"]
    note, *_ = made.show_cloud(scene, "image", 95, VISITOR)
    assert "predicts no depth" in note and list(tmp_path.iterdir()) == []


def test_one_task_alone(tmp_path: Path) -> None:
    made = page(tmp_path, "single_task", (Depth(canonical_focal=100.0),))
    scene, _, _, reading, *_ = made.take_example(event(example=0))
    assert " m</dd>" in reading  # the example's camera is known
    note, figure, button = made.show_cloud(scene, "depth", 100, VISITOR)
    assert "4608 points in the file" in note and "metres" in note  # 48 x 96
    assert 0 < len(figure.data[0].x) <= 500
    file = Path(button["value"]).resolve()
    assert file.is_file() and file.is_relative_to(tmp_path / "sessions")
    made.forget(VISITOR)
    assert not file.exists()


def test_an_exchange_at_every_stride(tmp_path: Path) -> None:
    made = page(tmp_path, "sca_mtl", (Segmentation(3), Depth()))
    scene, *_, attention, level, _, _ = made.take_example(event(example=0))
    assert level["visible"] and [value for _, value in level["choices"]] == [2, 3, 4, 5]
    assert "stride 4)" in attention and attention.count("<figure") == 2
    _, _, coarse = made.take_level(scene, 5)
    assert "stride 32)" in coarse and coarse != attention


def test_clicks_stay_inside_the_image_and_lost_sessions_are_told(tmp_path: Path) -> None:
    made = page(tmp_path, "multi_task", (Segmentation(3),))
    scene, *_ = made.take_example(event(example=0))
    clicked, reading, _ = made.take_click(scene, event(row=900, column=-3))
    assert clicked.pixel == (47, 0) and "column 0, row 47" in reading
    assert scene.pixel == (24, 48)
    _, told, _ = made.take_click(None, event(row=0, column=0))
    assert "take it again" in told
    assert "no such example" in made.take_example(event(example=7))[1]


def test_the_command_serves_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from crosstask.cli import serve

    tiny_model().save_pretrained(tmp_path / "model")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("GRADIO_TEMP_DIR", "NO_PROXY", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")
    answers: list[int] = []

    def visit() -> None:
        url = re.search(r"http://\S+", capsys.readouterr().out)[0]  # type: ignore[index]
        with urlopen(url) as answer:
            answers.append(answer.status)
        assert list(tmp_path.glob("crosstask-serve-*"))

    monkeypatch.setattr(serve, "_wait", visit)
    assert main(["serve", str(tmp_path / "model"), "--port", "0", "--device", "cpu"]) == 0
    assert answers == [200]
    assert not list(tmp_path.glob("crosstask-serve-*"))


def test_old_files_are_swept(tmp_path: Path) -> None:
    from crosstask.web.page import sweep

    old, new = tmp_path / "broken", tmp_path / "sessions" / "scene.ply"
    new.parent.mkdir()
    for file in (old, new):
        file.write_text("x")
    os.utime(old, (time.time() - 100,) * 2)
    sweep(tmp_path, 60)
    assert new.exists() and not old.exists()
