"""What stands behind the web page: uploads of every kind, limits, and the port."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.cli import main
from crosstask.media.images import ImageError
from crosstask.web.server import check_port, load_gradio
from crosstask.web.session import Limits, Studio, TooSlowError, deadline, render_examples
from fakes.served import tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model(), Limits(upload_mb=0.5, megapixels=1, shown_pixels=5000))


def noise(width: int = 60, height: int = 40) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


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
    image = studio.open(file)
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
    scene = studio.look(torch.rand(3, 100, 200), fx=300.0)
    assert scene.size == (50, 100) and "200 x 100" in scene.note  # 5000 pixels
    assert scene.prediction.intrinsics is not None
    assert scene.prediction.intrinsics[0, 0] == 150
    assert scene.pixel == (25, 50)
    # the network runs at 64 x 128 here: pixel (25, 50) of (50, 100) is half of both
    assert scene.attention.size == (64, 128) and scene.attention_pixel() == (32, 64)


def test_a_computation_that_takes_too_long_stops(studio: Studio) -> None:
    slow = Studio(studio.model, Limits(seconds=1e-6))
    with pytest.raises(TooSlowError, match="longer than 1e-06 seconds"):
        slow.look(torch.rand(3, 64, 128))
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
