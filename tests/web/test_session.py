"""What stands behind the web page: uploads of every kind, limits, and the port."""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.cli import main
from crosstask.geometry.focal import focal_of_view
from crosstask.media.images import ImageError, StoredImage, as_float
from crosstask.media.video import write_video
from crosstask.predict.streams import Settings, predict_video
from crosstask.web.server import check_port, load_gradio
from crosstask.web.session import Limits, Studio, TooSlowError, deadline, render_examples
from fakes.served import tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model(), Limits(upload_mb=0.5, megapixels=1, shown_pixels=5000))


def noise(width: int = 60, height: int = 40) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def stored(height: int, width: int, film_focal: float | None = None) -> StoredImage:
    return StoredImage(torch.rand(3, height, width), 1, film_focal)


def write(kind: str, path: Path) -> None:
    """Every kind of image that is not a plain RGB file."""
    if kind == "cmyk":
        noise().convert("CMYK").save(path.with_suffix(".jpg"))
    elif kind == "sixteen":
        Image.fromarray(np.full((40, 60), 65535, np.uint16)).save(path)
    elif kind == "alpha":
        Image.new("RGBA", (60, 40), (255, 0, 0, 0)).save(path)
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees
        noise(40, 60).save(path, exif=exif)
    elif kind == "animated":
        frames = [Image.new("RGB", (60, 40), c) for c in ("red", "blue")]
        frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("kind", "suffix", "color"),
    [
        ("cmyk", ".jpg", None),
        ("sixteen", ".png", [1.0, 1.0, 1.0]),
        ("alpha", ".png", [1.0, 1.0, 1.0]),  # transparent is white
        ("turned", ".png", None),
        ("animated", ".gif", [1.0, 0.0, 0.0]),  # the first frame
    ],
)
def test_unusual_images_are_read_and_deleted(
    kind: str, suffix: str, color: list[float] | None, studio: Studio, tmp_path: Path
) -> None:
    write(kind, tmp_path / "upload.png")
    file = tmp_path / f"upload{suffix}"
    image = as_float(studio.open(file).pixels)
    assert image.shape == (3, 40, 60) and not file.exists()
    if color is not None:
        assert image[:, 20, 30].tolist() == pytest.approx(color, abs=0.01)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"no image at all", "not an image that can be read"),
        (b"x" * 600_000, "at most 0.5"),
        ("cut", "cut or damaged"),
        ("wide", "1200 x 1000 pixels; shrink it below 1 megapixels"),
        ("thin", "no side longer than 16 times the other"),
    ],
)
def test_bad_files_are_named_and_deleted(
    content: bytes | str, words: str, studio: Studio, tmp_path: Path
) -> None:
    file = tmp_path / "upload.png"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "cut":
        noise().save(file)
        file.write_bytes(file.read_bytes()[:2000])
    else:
        Image.new("RGB", (1200, 1000) if content == "wide" else (340, 20)).save(file)
    with pytest.raises(ImageError, match=words) as caught:
        studio.open(file)
    assert str(tmp_path) not in str(caught.value) and "upload.png" in str(caught.value)
    assert not file.exists()


def test_a_scene_is_shrunk_and_its_camera_with_it(studio: Studio) -> None:
    scene = studio.look(stored(100, 200), fx=300.0)
    assert scene.size == (50, 100) and "100x200" in scene.note  # 5000 pixels
    assert scene.prediction.intrinsics is not None
    assert scene.prediction.intrinsics[0, 0] == 150
    assert scene.pixel == (25, 50)
    # the network runs at 64 x 128 here: pixel (25, 50) of (50, 100) is half of both
    assert scene.attention is not None
    assert scene.attention.size == (64, 128) and scene.attention_pixel() == (32, 64)


def test_a_camera_is_known_by_pixels_degrees_or_exif_and_by_its_height(studio: Studio) -> None:
    image = stored(50, 100)
    wide = studio.look(image, fov=90.0)
    assert wide.prediction.intrinsics is not None
    assert float(wide.prediction.intrinsics[0, 0]) == pytest.approx(50.0)  # tan 45 degrees
    assert "90 degrees" in wide.prediction.camera_source
    phone = studio.look(stored(50, 100, film_focal=26.0))
    assert phone.prediction.camera_source.startswith("EXIF")
    high = studio.look(image, fov=90.0, camera_height=3.0)
    ratio = high.prediction["depth"] / wide.prediction["depth"].where(
        wide.prediction["depth"] > 0, torch.ones(())
    )
    assert high.prediction.kinds["depth"] == "metric" and ratio.std() < 1e-3
    with pytest.raises(ValueError, match="`fx` and `fov` are given"):
        studio.look(stored(50, 100), fx=50.0, fov=90.0)
    with pytest.raises(ValueError, match="`camera_height` needs the camera"):
        studio.look(stored(50, 100), camera_height=3.0)


def clip(path: Path, frames: int = 40, size: tuple[int, int] = (32, 48)) -> Path:
    write_video(path, [torch.full((3, *size), k * 5, dtype=torch.uint8) for k in range(frames)])
    return path


def test_frames_of_a_video_are_spread_over_it_and_the_upload_is_deleted(
    studio: Studio, tmp_path: Path
) -> None:
    file = clip(tmp_path / "clip.mp4")
    found = studio.frames(file)
    assert [number for number, _ in found] == list(range(0, 40, 3)) and not file.exists()
    assert [image.pixels.shape for _, image in found[:1]] == [(3, 32, 48)]
    assert found[10][1].pixels.mean() > found[0][1].pixels.mean()


def turn(path: Path) -> None:
    """As a telephone held upright writes it: lying frames, and a matrix that turns them."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_a_portrait_video_has_the_camera_that_predict_gives_it(
    studio: Studio, tmp_path: Path
) -> None:
    file = clip(tmp_path / "clip.mp4", 4)
    turn(file)
    settings = Settings(fov=60.0, video="files")
    predict_video(studio.model, file, tmp_path / "out", "clip", settings)
    given = json.loads((tmp_path / "out" / "clip_000000.json").read_text())
    (_, image), *_ = studio.frames(file)
    assert image.size == (48, 32) and image.orientation == 6
    scene = studio.look(image, fov=60.0)
    assert scene.prediction.intrinsics is not None
    assert scene.prediction.intrinsics.tolist() == given["intrinsics"]
    across = focal_of_view(60.0, 48)  # the side that lies across as stored
    assert float(scene.prediction.intrinsics[0, 0]) == pytest.approx(across)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
            "decoded as a video",
        ),
        (b"ffconcat version 1.0\nfile '{secret}'\n", "decoded as a video"),
        ("long", "at most 1 megapixels and 2 s"),
        ("large", "at most 0.001 megapixels"),
        ("heavy", "at most 0.001 are taken"),
    ],
)
def test_videos_that_are_none_or_beyond_a_limit(
    content: bytes | str, words: str, studio: Studio, tmp_path: Path
) -> None:
    """A list of other files must not make the server read them for a visitor."""
    secret, file = clip(tmp_path / "secret.mp4"), tmp_path / "upload.mp4"
    limits = {"megapixels": 1, "video_seconds": 2}
    if isinstance(content, bytes):
        file.write_bytes(content.replace(b"{secret}", secret.name.encode()))
    else:
        clip(file)
        limits |= {"large": {"megapixels": 0.001}, "heavy": {"upload_mb": 0.001}}.get(content, {})
    with pytest.raises(ImageError, match=words) as caught:
        Studio(studio.model, Limits(**limits)).frames(file)
    assert str(tmp_path) not in str(caught.value) and not file.exists()


def test_a_computation_that_takes_too_long_stops(studio: Studio) -> None:
    slow = Studio(studio.model, Limits(seconds=1e-6))
    with pytest.raises(TooSlowError, match="longer than 1e-06 seconds"):
        slow.look(stored(64, 128))
    with deadline(studio.model.network, 60.0):
        studio.model.predict(torch.rand(3, 64, 128))
    assert not any(module._forward_pre_hooks for module in studio.model.network.modules())


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="`seconds` is 0"):
        Limits(seconds=0)


def test_the_examples_are_rendered() -> None:
    first, second = render_examples(2, size=(32, 64))
    assert first.image.shape == (3, 32, 64) and not torch.equal(first.image, second.image)
    assert first.fx > 0


def test_a_port_in_use_is_an_error_of_the_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"`port` is {port}"):
            check_port("127.0.0.1", port)
        assert main(["serve", str(tmp_path), "--port", str(port)]) == 2
    assert "choose another with --port" in capsys.readouterr().err
    assert check_port("127.0.0.1", 0) > 0
    with pytest.raises(ValueError, match="`port` is 99999"):
        check_port("127.0.0.1", 99999)


def test_without_gradio_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ModuleNotFoundError, match="crosstask"):
        load_gradio()
    assert main(["serve", str(tmp_path), "--port", "0"]) == 2
    assert 'pip install "crosstask[web]"' in capsys.readouterr().err
