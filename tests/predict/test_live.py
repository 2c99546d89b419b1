"""Live sources: newest frames, what is written, and sources that are lost."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crosstask.cli import main
from crosstask.engine.interruption import Stopped
from crosstask.media.images import StoredImage
from crosstask.media.live import is_live, open_source
from crosstask.media.reading import DataError
from crosstask.media.video import load_av, stream_frames, write_video
from crosstask.predict import live
from crosstask.predict.live import LiveSettings, watch
from crosstask.predict.model import SceneModel
from crosstask.predict.streams import Settings, _predict
from fakes.scenes import scene_tasks
from media.test_video import halves, turn

pytest.importorskip("av")
NUMBER = 6


class Grey(nn.Module):
    """Depth of a pixel is a known function of its red value."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        red = image[:, :1]
        classes = torch.cat([red, 0.1 - red, torch.full_like(red, -9)], 1)
        return {"segmentation": [classes], "depth": [red]}


@pytest.fixture
def model() -> SceneModel:
    return SceneModel(Grey(), scene_tasks(("segmentation", "depth")), {"size": None})


@pytest.fixture
def clip(tmp_path: Path) -> str:
    frames = (torch.full((3, 48, 64), 30 * k, dtype=torch.uint8) for k in range(NUMBER))
    write_video(tmp_path / "clip.mkv", frames, rate=100)
    return str(tmp_path / "clip.mkv")


def test_a_video_is_predicted_frame_by_frame(model: SceneModel, clip: str, tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    settings = LiveSettings(output=tmp_path / "out", keep_all=True, cloud=3, fx=50.0)
    found = watch(model, clip, settings, told.append)
    assert found.predicted == NUMBER and found.dropped == 0 and found.defect is None
    assert [t["frame"] for t in told] == list(range(NUMBER)) and told[-1]["latency_ms"] > 0
    names = sorted(file.name for file in found.files)
    assert names == [
        "stream.json",
        "stream_000000.ply",
        "stream_000003.ply",
        "stream_side_by_side.mp4",
    ]
    assert all(file.exists() for file in found.files)
    facts = json.loads((tmp_path / "out/stream.json").read_text())
    assert facts["frames"] == NUMBER and facts["rate"] == 100 and facts["source"] == clip
    assert facts["focal"] == "focal length 50 pixels from fx"
    with load_av().open(str(tmp_path / "out/stream_side_by_side.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == NUMBER


def test_a_telephones_field_of_view_is_across_the_stored_frames(
    model: SceneModel, tmp_path: Path
) -> None:
    """As `crosstask predict` has it: 90 degrees across 48 pixels, also of a video that is turned."""
    path = tmp_path / "clip.mp4"
    write_video(path, halves(3))
    turn(path)
    settings = LiveSettings(keep_all=True, fov=90.0, frames=1)
    found = watch(model, str(path), settings)
    (prediction,) = [
        found
        for _, found in _predict(
            model, [(0, StoredImage(next(stream_frames(path))[1], 6))], Settings(fov=90.0)
        )
    ]
    assert found.focal == prediction.focal_told
    assert found.focal.startswith("focal length 24 pixels")


def test_frames_keep_their_time_where_others_were_dropped(
    model: SceneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)

    class Arrivals:
        def __init__(self, *_: object, **__: object) -> None:
            runtime = live.load_runtime().live
            self.items = iter([runtime.Arrival(frame, k, 0.0, 0) for k in (0, 4, 10)])

        def __iter__(self) -> Iterator[object]:
            return self.items

    monkeypatch.setattr(live.load_runtime().live, "newest", Arrivals)
    monkeypatch.setattr(live, "open_source", lambda *a, **k: (10.0, iter(())))
    watch(model, "0", LiveSettings(output=tmp_path))
    with load_av().open(str(tmp_path / "stream_side_by_side.mp4")) as container:
        assert [float(f.time) for f in container.decode(video=0)] == pytest.approx([0, 0.4, 1.0])


def test_what_was_written_stays_when_a_camera_disappears(
    model: SceneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield np.zeros((48, 64, 3), np.uint8)
        raise OSError("no such device any more")

    monkeypatch.setattr(live, "open_source", lambda *a, **k: (10.0, frames()))
    found = watch(model, "0", LiveSettings(output=tmp_path, keep_all=True))
    assert found.predicted == 1 and "no such device any more" in (found.defect or "")
    assert (tmp_path / "stream_side_by_side.mp4").stat().st_size > 0
    assert "no such device" in json.loads((tmp_path / "stream.json").read_text())["defect"]


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), Stopped(15)])
def test_what_was_written_stays_when_the_user_stops(
    model: SceneModel, clip: str, tmp_path: Path, ending: BaseException
) -> None:
    def tell(facts: dict[str, float]) -> None:
        if facts["frame"] == 2:
            raise ending

    with pytest.raises(type(ending)):
        watch(model, clip, LiveSettings(output=tmp_path / "o", keep_all=True, video="files"), tell)
    facts = json.loads((tmp_path / "o/stream.json").read_text())
    assert facts["frames"] == 3 and (tmp_path / "o/stream_000001_panel.png").exists()


def test_the_command_ends_with_a_message(
    clip: str,
    tmp_path: Path,
    model: SceneModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("crosstask.predict.engine.load", lambda *a, **k: model)
    assert main(["stream", "RUN", clip, "--all", "--frames", "2", "--json", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 2 and report["files"] == [] and report["fps"] > 0
    assert main(["stream", "RUN", clip, "--device", "cpu", "--fov", "90"]) == 0  # at its own pace
    said = capsys.readouterr().out
    assert "frames/s, latency" in said
    assert "focal length 32 pixels from a field of view of 90 degrees)" in said
    assert main(["stream", "RUN", str(tmp_path / "none.mp4"), "--device", "cpu"]) == 2
    assert "none.mp4" in capsys.readouterr().err
    assert main(["stream", "RUN", clip, "--cloud", "1"]) == 2
    assert "needs `output`" in capsys.readouterr().err
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(Path(clip).read_bytes()[:700])
    assert main(["stream", "RUN", str(cut), "--all", "--device", "cpu"]) == 2


def test_sources_are_told_apart() -> None:
    assert is_live("0") and is_live("rtsp://camera/1") and is_live("http://host/stream")
    assert not is_live("clip.mp4") and not is_live("file://clip.mp4") and not is_live("/data/0")
    with pytest.raises(DataError, match="cannot be opened"):
        open_source("rtsp://127.0.0.1:1/none", stall=0.5)
    with pytest.raises(DataError, match="cannot be opened"):
        open_source("987")  # no such camera
    with pytest.raises(DataError, match=r"`source` is none\.mp4, and there is no such file"):
        open_source("none.mp4")
    for options, words in (({"video": "gif"}, "side-by-side"), ({"waiting": 0}, "1 or more")):
        with pytest.raises(ValueError, match=words):
            LiveSettings(**options)  # type: ignore[arg-type]


def test_a_silent_address_is_told_as_such() -> None:
    """It listens and never answers: FFmpeg's own words are "Immediate exit requested"."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/stream"
        with pytest.raises(DataError, match=r"answered nothing within 0\.5 seconds.*--stall"):
            open_source(address, stall=0.5)
