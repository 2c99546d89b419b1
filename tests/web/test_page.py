"""What the page's events answer, without a browser: any tasks, any architecture, lost sessions."""

import os
import re
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import torch
from PIL import Image

from crosstask.cli import main
from crosstask.media.video import write_video
from crosstask.tasks import Depth, HumanParts, Saliency, Segmentation, Task
from crosstask.web.session import Example, Limits, Studio
from fakes.served import camera_aware_tasks, tiny_model

gradio = pytest.importorskip("gradio", reason="the web page needs gradio")
pytest.importorskip("plotly", reason="the web page needs plotly")


def page(tmp_path: Path, architecture: str, tasks: tuple[Task, ...]) -> Any:
    studio = Studio(tiny_model(architecture, tasks), Limits(points=500))
    return page_of([studio], tmp_path)


def page_of(studios: list[Studio], tmp_path: Path) -> Any:
    from crosstask.web.page import Page

    made = Page(studios, tmp_path, [Example("noise", torch.rand(3, 48, 96), 100.0)])
    made.build()
    return made


def event(**data: int) -> Any:
    return gradio.EventData(None, data)


VISITOR = gradio.Request(session_hash="../../outside")


def test_tasks_without_depth(tmp_path: Path) -> None:
    tasks = (HumanParts(), Saliency(), Segmentation(2, name="state"))
    made = page(tmp_path, "multi_task", tasks)
    scene, status, _, images, reading, attention, level, *_ = made.take_example(0, event(example=0))
    assert "48x96 pixels" in status and "scale" not in status
    assert images.count("<figure") == 3 and "human parts" in images
    assert "<dt>state</dt><dd>class " in reading
    assert "multi_task has no exchange between tasks" in attention and not level["visible"]
    note, *_ = made.show_cloud(scene, "image", 95, VISITOR)
    assert "predicts no depth" in note and list(tmp_path.iterdir()) == []


def test_one_task_alone(tmp_path: Path) -> None:
    made = page(tmp_path, "single_task", (Depth(canonical_focal=100.0),))
    scene, _, _, _, reading, *_ = made.take_example(0, event(example=0))
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
    scene, _, _, _, _, attention, level, *_ = made.take_example(0, event(example=0))
    assert level["visible"] and [value for _, value in level["choices"]] == [2, 3, 4, 5]
    assert "stride 4)" in attention and attention.count("<figure") == 2
    _, _, coarse = made.take_level(scene, 5)
    assert "stride 32)" in coarse and coarse != attention


def test_clicks_stay_inside_the_image_and_lost_sessions_are_told(tmp_path: Path) -> None:
    made = page(tmp_path, "multi_task", (Segmentation(3),))
    scene, *_ = made.take_example(0, event(example=0))
    clicked, reading, _ = made.take_click(scene, event(row=900, column=-3))
    assert clicked.scene.pixel == (47, 0) and "column 0, row 47" in reading
    assert scene.scene.pixel == (24, 48)
    _, told, _ = made.take_click(None, event(row=0, column=0))
    assert "take it again" in told
    assert "no such example" in made.take_example(0, event(example=7))[1]


def upload(folder: Path, *names: str) -> list[str]:
    """Files as gradio hands them over; `.mp4` is a video of six frames, `bad` no image."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        if name.endswith(".mp4"):
            frames = [torch.full((3, 48, 96), 30 * k, dtype=torch.uint8) for k in range(6)]
            write_video(folder / name, frames)
        elif name.startswith("bad"):
            (folder / name).write_text("no image")
        else:
            Image.new("RGB", (96, 48), (40 * number, 90, 200)).save(folder / name)
    return [str(folder / name) for name in names]


def test_several_images_and_a_video_are_an_album(tmp_path: Path) -> None:
    made = page(tmp_path / "p", "densemtl", camera_aware_tasks())
    files = upload(tmp_path / "up", "a.png", "bad.png", "b.png", "drive.mp4")
    album, status, strip, images, *_ = made.take_upload(files, None, 60.0, 1.5)
    assert [item.name for item in album.items][:3] == ["a", "b", "drive frame 0"]
    assert len(album.items) == 8 and strip.count("ct-item") == 8 and "1 of 8" in strip
    assert "bad.png is not an image" in status and "field of view of 60" in status
    assert not list((tmp_path / "up").iterdir())  # deleted, the bad one too
    readers = [item.scenes[0].attention is not None for item in album.items]
    assert readers == [True] + [False] * 7  # features of one image are kept, not of all
    there, _, strip, other, *_ = made.take_item(album, event(item=7))
    assert "drive frame 5, 8 of 8" in strip and other != images and there.scene.attention
    assert there.items[0].scenes[0].attention is None
    assert "take it again" in made.take_item(there, event(item=8))[1]
    assert "take it again" in made.take_item(None, event(item=0))[1]


def test_too_many_files_are_deleted_and_told(tmp_path: Path) -> None:
    made = page(tmp_path / "p", "multi_task", (Segmentation(3),))
    files = upload(tmp_path / "up", *(f"{k}.png" for k in range(13)))
    assert "at most 12 are taken at once" in made.take_upload(files, None, None, None)[1]
    assert not list((tmp_path / "up").iterdir())


def test_all_results_are_one_archive(tmp_path: Path) -> None:
    from crosstask.web.page import FULL

    made = page(tmp_path / "p", "multi_task", camera_aware_tasks())
    files = upload(tmp_path / "up", "a.png", "..x.png")
    album, *_ = made.take_upload(files, None, 60.0, None)
    told, path = made.take_archive(album, VISITOR)
    assert "2 images" in told and Path(path).is_relative_to((tmp_path / "p/sessions").resolve())
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert {"01_a_panel.png", "01_a_depth.npy", "01_a.json", "01_a.ply"} <= set(names)
    assert all("/" not in name and ".." not in name for name in names)
    assert "Take an image first" in made.take_archive(None, VISITOR)[0]
    made.limits = Limits(archive_mb=128, kept_mb=128.01)
    refused, nothing = made.take_archive(album, gradio.Request(session_hash="another"))
    assert FULL in refused and nothing is None
    assert FULL in made.show_cloud(album, "image", 95, VISITOR)[0]


def test_an_archive_has_a_largest_size(tmp_path: Path) -> None:
    studio = Studio(tiny_model("multi_task", (Segmentation(3),)), Limits(archive_mb=1e-4))
    made = page_of([studio], tmp_path / "p")
    album, *_ = made.take_upload(upload(tmp_path / "up", "a.png", "b.png"), None, None, None)
    told, _ = made.take_archive(album, VISITOR)
    assert "1 image," in told and "1 more would make it larger" in told


def test_two_models_are_compared(tmp_path: Path) -> None:
    pair = (
        tiny_model("multi_task", camera_aware_tasks()),
        tiny_model("densemtl", (Depth(), Segmentation(3))),
    )
    studios = [Studio(model, Limits(), name=f"<{k}>") for k, model in enumerate(pair)]
    made = page_of(studios, tmp_path)
    album, *shown = made.take_example(0, event(example=0))
    compared, reading = shown[6], shown[3]
    assert (
        compared.count('class="ct-compared') == 3 and "depth of B" in compared
    )  # with the image alone
    assert "&lt;1&gt;" in compared and "<1>" not in compared
    assert reading.count("<dl") == 2 and "pixel, model B" in reading
    other, _, _, images, _, attention, *_ = made.take_model(album, 1)
    assert images.count("<figure") == 2 and attention.count("<figure") == 2
    assert other.item.scenes[0].attention is None
    clicked, *_ = made.take_click(other, event(row=3, column=4))
    assert [scene.pixel for scene in clicked.item.scenes] == [(3, 4), (3, 4)]
    assert "take it again" in made.take_model(album, 2)[1]
    _, path = made.take_archive(album, VISITOR)
    with zipfile.ZipFile(path) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"A_0", "B_1"}


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
    place = str(tmp_path / "model")
    assert main(["serve", place, place, "--port", "0", "--device", "cpu"]) == 0
    assert answers == [200]
    assert main(["serve", *[place] * 3, "--port", "0"]) == 2
    assert "expected one, or two to compare" in capsys.readouterr().err
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
