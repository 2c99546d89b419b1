"""Videos and folders through a model: frames, batches, damage, resuming, windows."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from crosstask.cli import main
from crosstask.engine import rebuilding
from crosstask.media.video import VideoDefect, load_av, stream_frames, write_video
from crosstask.models import create_model
from crosstask.predict.model import SceneModel
from crosstask.predict.sinks import mosaic
from crosstask.predict.streams import Settings, predict_video
from fakes.scenes import scene_tasks

pytest.importorskip("av")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tasks = scene_tasks(("segmentation", "depth"))
    network = create_model("multi_task", tasks, encoder="resnet10t", pretrained=False, width=0.0625)
    model = SceneModel(network, tasks, rebuilding.describe(network, tasks, size=[32, 64]))
    return model.save_pretrained(tmp_path_factory.mktemp("model"))


def frames(number: int, noisy: bool = False) -> Iterator[Tensor]:
    """Grey frames, brighter each time; or noise, which makes large packets."""
    for k in range(number):
        frame = torch.full((3, 48, 64), 10 * k % 256, dtype=torch.uint8)
        yield torch.randint(0, 255, (3, 48, 64), dtype=torch.uint8) if noisy else frame


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_video(tmp_path / "clip.mkv", frames(7), rate=5)
    return tmp_path / "clip.mkv"


class Brightness(nn.Module):
    """Depth and class of a pixel are known functions of its red value; counts its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        self.batches.append(len(image))
        red = image[:, :1]
        classes = torch.cat([red, 0.1 - red, torch.full_like(red, -9)], 1)
        return {"segmentation": [classes], "depth": [red]}


def brightness() -> SceneModel:
    return SceneModel(Brightness(), scene_tasks(("segmentation", "depth")), {"size": None})


def test_frames_come_one_by_one_in_order(clip: Path) -> None:
    found = list(stream_frames(clip, every=3))
    assert [number for number, _ in found] == [0, 3, 6]
    assert [round(float(f.float().mean()) / 10) for _, f in found] == [0, 3, 6]


def test_a_video_goes_through_in_batches(clip: Path, tmp_path: Path) -> None:
    model = brightness()
    outcome = predict_video(model, clip, tmp_path / "out", "clip", Settings(batch_size=3))
    assert outcome.done == 7 and outcome.defect is None
    assert model.network.batches == [3, 3, 1]
    with load_av().open(str(tmp_path / "out/clip_side_by_side.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.frames == 7 and stream.average_rate == 5
    facts = json.loads((tmp_path / "out/clip.json").read_text())
    assert facts["frames"] == 7 and facts["color_scale"]["depth"]["low"] > 0


def test_classes_of_frames_are_those_of_the_pixels(clip: Path, tmp_path: Path) -> None:
    """Red above 0.05 is class 0: frame 0 is class 1, frame 3 (30 / 255) class 0."""
    predict_video(brightness(), clip, tmp_path, "c", Settings(video="files", every=3))
    classes = [Image.open(tmp_path / f"c_{k:06d}_segmentation.png").getpixel((9, 9)) for k in (0, 3, 6)]  # fmt: skip
    assert classes == [1, 0, 0]


def test_a_video_of_each_task(clip: Path, tmp_path: Path) -> None:
    predict_video(brightness(), clip, tmp_path / "o", "c", Settings(video="per-task"))
    files = sorted(p.name for p in (tmp_path / "o").iterdir())
    assert files == ["c.json", "c_depth.mp4", "c_segmentation.mp4"]
    first = next(f for _, f in stream_frames(tmp_path / "o/c_depth.mp4"))
    assert first.shape == (3, 48, 64)


def test_a_cut_video_keeps_the_frames_before(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mkv"
    write_video(whole, frames(30, noisy=True), rate=5)
    cut = tmp_path / "cut.mkv"
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    numbers = []
    with pytest.raises(VideoDefect, match=r"damaged at frame \d+ .*frames before it are kept"):
        for number, _ in stream_frames(cut):
            numbers.append(number)
    assert numbers == list(range(len(numbers))) and 5 < len(numbers) < 25
    outcome = predict_video(brightness(), cut, tmp_path / "o", "cut", Settings())
    assert outcome.defect and outcome.done == len(numbers)
    with load_av().open(str(outcome.files[0])) as container:
        assert container.streams.video[0].frames == len(numbers)
    assert not (tmp_path / "o/cut.json").exists()  # so that `resume` does not call it finished


def test_damage_in_the_middle(tmp_path: Path) -> None:
    write_video(tmp_path / "whole.mkv", frames(30, noisy=True), rate=5)
    content = bytearray((tmp_path / "whole.mkv").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\xff" * 4000
    (tmp_path / "bad.mkv").write_bytes(content)
    outcome = predict_video(brightness(), tmp_path / "bad.mkv", tmp_path / "o", "bad", Settings())
    assert outcome.defect and 3 < outcome.done < 27


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"not a video at all" * 50)
    with pytest.raises(ValueError, match="cannot be decoded"):
        list(stream_frames(tmp_path / "no.mp4"))


def test_settings_that_make_no_sense() -> None:
    for wrong in ({"every": 0}, {"batch_size": 0}, {"video": "cinema"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Settings(**wrong)


def test_the_grid_is_near_to_sixteen_to_nine() -> None:
    wide = torch.zeros(3, 100, 640, dtype=torch.uint8)
    assert mosaic([wide] * 4, ["a"] * 4).shape == (3, 4 * 126 + 8, 656)
    upright = torch.zeros(3, 400, 200, dtype=torch.uint8)
    assert mosaic([upright] * 3, ["a"] * 3).shape == (3, 434, 3 * 208 + 8)


def test_the_command_on_a_folder(
    place: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, size in (("a.png", (64, 48)), ("b.png", (64, 48)), ("c.png", (80, 40))):
        Image.new("RGB", size, (90, 20, 5)).save(images / name)
    red, blue = Image.new("RGB", (64, 48), (255, 0, 0)), Image.new("RGB", (64, 48), (0, 0, 255))
    red.save(images / "d.gif", save_all=True, append_images=[blue])
    (images / "broken.png").write_bytes(b"")
    (images / "e.mkv").write_bytes(clip.read_bytes())
    call = ["predict", str(place), str(images), "--output", str(tmp_path / "out"), "--resume"]
    call += ["--window", "32x32", "--flip"]
    assert main(call) == 2
    said = capsys.readouterr()
    assert "broken.png is empty" in said.err
    panels = sorted(p.name for p in (tmp_path / "out").glob("*_panel.png"))
    assert panels == ["a_panel.png", "b_panel.png", "c_panel.png", "d_panel.png"]
    assert (tmp_path / "out/e_side_by_side.mp4").is_file() and "7 frames" in said.out
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    (images / "broken.png").unlink()
    assert main(call) == 0
    assert capsys.readouterr().out.count("left out") == 5
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}


def test_resume_refuses_other_settings(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Results of two models or of two sizes never lie mixed in one folder."""
    from crosstask.predict.model import load

    Image.new("RGB", (64, 48), (90, 20, 5)).save(tmp_path / "a.png")
    output = ["--output", str(tmp_path / "out")]
    call = ["predict", str(place), str(tmp_path / "a.png"), *output]
    assert main([*call, "--flip"]) == 0
    assert main([*call, "--resume"]) == 2
    assert "flip: True then, False now" in capsys.readouterr().err
    assert main([*call, "--flip", "--resume", "--batch-size", "2"]) == 0
    other = load(place)
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    other.save_pretrained(tmp_path / "other")
    call[1] = str(tmp_path / "other")
    assert main([*call, "--flip", "--resume"]) == 2
    assert "model: " in capsys.readouterr().err
    assert main([*call, "--flip"]) == 0  # without --resume everything is made again
    assert main([*call, "--flip", "--resume"]) == 0


def test_resume_leaves_no_result_of_a_call_that_was_being_replaced(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Cut off in the middle of a new call: what the old one left under the same name is made again."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 48), (90, 20, 5)).save(images / name)
    output = ["--output", str(tmp_path / "out")]
    assert main(["predict", str(place), str(images), *output]) == 0
    flipped = ["predict", str(place), "--flip", *output]
    assert main([*flipped, str(images / "a.png")]) == 0  # and no further
    capsys.readouterr()
    assert main([*flipped, str(images), "--resume"]) == 0
    said = capsys.readouterr().out
    assert "a.png: finished before" in said and "b.png ->" in said


def test_resume_tells_images_of_one_name_apart(
    place: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """000.png of one sequence is not 000.png of the next one; the same for frames of videos."""
    for folder, level in (("s0", 90), ("s1", 20)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (64, 48), (level, 20, 5)).save(tmp_path / folder / "000.png")
        (tmp_path / folder / "v.mkv").write_bytes(clip.read_bytes() + b" " * level)
    call = ["predict", str(place), "--output", str(tmp_path / "out"), "--resume"]
    call += ["--video", "files"]
    for times in (1, 2):
        for folder in ("s0", "s1"):
            assert main([*call, str(tmp_path / folder)]) == 0
            assert "finished before" not in capsys.readouterr().out, (times, folder)
    assert main([*call, str(tmp_path / "s1")]) == 0
    assert capsys.readouterr().out.count("finished before") == 2


def test_a_note_names_the_kind_of_the_result(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """No ground was found, so the height was not used; depth is what it is without it."""
    Image.new("RGB", (64, 48), (90, 20, 5)).save(tmp_path / "a.png")
    call = ["predict", str(place), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert main([*call, "--fov", "65", "--camera-height", "1.5"]) == 0
    said = capsys.readouterr()
    kind = json.loads((tmp_path / "out" / "a.json").read_text())["depth_kind"]
    assert (
        f"(depth {kind}" in said.out and f"note: depth is {kind}: no ground was found" in said.err
    )


def test_an_output_in_the_way(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    (tmp_path / "taken").write_text("")
    call = ["predict", str(place), str(tmp_path / "a.png"), "--output", str(tmp_path / "taken")]
    assert main(call) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_video_without_pyav(
    place: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert main(["predict", str(place), str(clip), "--output", str(clip.parent / "o")]) == 2
    assert 'pip install "crosstask[video]"' in capsys.readouterr().err
