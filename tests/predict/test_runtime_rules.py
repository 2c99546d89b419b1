"""What the runtime refuses, reads and unprojects, held against crosstask: neither imports the other."""

import math
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from crosstask_runtime import ImageError as RuntimeImageError
from crosstask_runtime import Model
from crosstask_runtime.camera import check_focal as check_runtime_focal
from crosstask_runtime.camera import focal_of_image
from crosstask_runtime.images import StoredImage as RuntimeImage
from crosstask_runtime.images import to_image as to_runtime_image
from PIL import Image

from crosstask.media.images import ImageError, StoredImage
from crosstask.media.value_range import ValueRange
from crosstask.predict.camera import camera_of_image, check_focal, checked
from crosstask.predict.images import to_image
from crosstask.predict.prediction import Prediction
from crosstask.predict.views import point_cloud
from crosstask.tasks import Depth

HEIGHT, WIDTH = 480, 640
GOOD = [[500.0, 0.0, 380.0], [0.0, 520.0, 200.0], [0.0, 0.0, 1.0]]


def k(fx: float, fy: float, cx: float, cy: float) -> list[list[float]]:
    return [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]


# Cameras --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (k(0.875, 1.25, 0.5, 0.5), "divided by the size of the image.*: 560 600 320 240"),
        (k(2800.0, 2800.0, 1920.0, 1080.0), "of an image of about 3841 x 2161 pixels"),
        (k(500.0, 500.0, -330.0, 240.0), "far from its principal point$"),
        ([[500.0, 0, 0], [0, 500.0, 0], [320.0, 240.0, 1.0]], "transposed"),
        ([[500.0, 0, 320.0], [2.0, 500.0, 240.0], [0, 0, 1.0]], r"give K alone, not K \[R \| t\]"),
        (k(500.0, 500.0, math.inf, 240.0), "not finite"),
        (k(500.0, -500.0, 320.0, 240.0), "above 0"),
        (k(0.0, 500.0, 320.0, 240.0), "above 0"),
    ],
)
def test_no_camera_is_refused_in_the_same_words(matrix: list[list[float]], words: str) -> None:
    with pytest.raises(ValueError, match=words) as theirs:
        focal_of_image(RuntimeImage(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), matrix)
    with pytest.raises(ValueError, match=words) as ours:
        checked(torch.tensor(matrix), HEIGHT, WIDTH)
    assert str(theirs.value) == str(ours.value)
    turned = RuntimeImage(np.zeros((WIDTH, HEIGHT, 3), np.uint8), 6)
    with pytest.raises(ValueError, match=words):  # the image as stored is the same
        focal_of_image(turned, matrix)


def test_cameras_at_the_limits_are_taken_alike() -> None:
    image = RuntimeImage(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for matrix in (
        GOOD,
        k(4.0, 4.0, 0.5, 0.5),
        k(0.9, 0.9, 320.0, 240.0),
        k(500.0, 500.0, 959.5, -240.5),
        [[500.0, 3.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]],
    ):
        known = focal_of_image(image, matrix)
        assert known.matrix is not None
        assert known.matrix.tolist() == np.float64(matrix).tolist()
        checked(torch.tensor(matrix), HEIGHT, WIDTH)
    for matrix in (k(500.0, 500.0, 959.75, 240.0), k(500.0, 500.0, 320.0, -240.75)):
        with pytest.raises(ValueError, match="far from"):
            focal_of_image(image, matrix)
        with pytest.raises(ValueError, match="far from"):
            checked(torch.tensor(matrix), HEIGHT, WIDTH)


@pytest.mark.parametrize("fx", [0.8, 3.99])
def test_a_focal_length_in_sides_of_the_image_is_refused(fx: float) -> None:
    for check in (check_focal, check_runtime_focal):
        with pytest.raises(ValueError, match=f"`fx` is {fx}: it looks divided.*multiply it by"):
            check(None, fx, None)
        check(None, 4.0, None)


# Stored values --------------------------------------------------------------------------------


def grey(kind: str) -> np.ndarray:
    values = np.random.default_rng(0).integers(29000, 31000, (40, 50))
    return {
        "bits8": (values % 256).astype(np.uint8),
        "bits16": values.astype(np.uint16),
        "bits32": values.astype(np.int32),
        "float": ((values - 29000) / 2000).astype(np.float32),
        "float255": ((values - 29000) / 2000 * 255).astype(np.float32),
        "below": ((values - 30000) / 2000).astype(np.float32),
        "nan": np.where(values > 30990, np.nan, 0.5).astype(np.float32),
    }[kind]


def stored(folder: Path, kind: str) -> Path:
    if kind == "colour8":
        file = folder / "colour.png"
        Image.fromarray(np.stack([grey("bits8")] * 3, axis=-1)).save(file)
        return file
    file = folder / f"{kind}.tif"
    Image.fromarray(grey(kind)).save(file)
    return file


def deep_png(file: Path, values: np.ndarray) -> Path:
    """A PNG of 16-bit grey with alpha, RGB or RGBA, which Pillow cannot write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return file


@pytest.mark.parametrize(
    ("kind", "declared", "words"),
    [
        ("bits8", None, ""),
        ("bits8", (16.0, 235.0), ""),
        ("bits8", (29000.0, 31000.0), "has 8 bits a channel, values up to 255"),
        ("colour8", (16.0, 235.0), ""),
        ("colour8", (29000.0, 31000.0), "has 8 bits a channel, values up to 255"),
        ("bits16", None, ""),
        ("bits16", (29000.0, 31000.0), ""),
        ("bits16", (0.0, 65536.0), "has 16 bits a channel, values up to 65535"),
        ("bits32", None, "holds int32, a type without a natural range"),
        ("bits32", (29000.0, 31000.0), ""),
        ("float", None, ""),
        ("float255", None, "holds floats from .*expected 0 to 1"),
        ("float255", (0.0, 255.0), ""),
        ("below", None, "holds floats from -0.5 "),
        ("nan", None, "values that are not finite"),
        ("nan", (0.0, 1.0), "values that are not finite"),
    ],
)
def test_stored_values_are_read_or_refused_alike(
    tmp_path: Path, kind: str, declared: ValueRange | None, words: str
) -> None:
    file = stored(tmp_path, kind)
    for given, name in ((file, str(file)), (Image.open(file), "the image")):
        if words:
            for read, error in ((to_image, ImageError), (to_runtime_image, RuntimeImageError)):
                with pytest.raises(error, match=words) as told:
                    read(given, declared)
                assert str(told.value).startswith(name)
            continue
        ours = to_image(given, declared).pixels.permute(1, 2, 0).numpy()
        theirs = to_runtime_image(given, declared).pixels
        assert theirs.dtype == ours.dtype and np.array_equal(theirs, ours)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_deep_colour_is_refused_under_a_declared_range(tmp_path: Path, channels: int) -> None:
    values = np.stack([grey("bits16")] * channels, axis=-1)
    if channels != 3:
        values[..., -1] = 65535
    file = deep_png(tmp_path / "deep.png", values)
    for declared in ((29000.0, 31000.0), (0.0, 255.0)):
        for given in (file, Image.open(file)):
            with pytest.raises(RuntimeImageError, match=r"of which Pillow keeps 8.*floats"):
                to_runtime_image(given, declared)
    loaded = Image.open(file)
    loaded.load()  # nothing tells that it was deep, but that its bytes cannot be the range's
    with pytest.raises(RuntimeImageError, match="has 8 bits a channel"):
        to_runtime_image(loaded, (29000.0, 31000.0))
    plain = to_runtime_image(file).pixels  # the high bytes
    ours = to_image(file).pixels.permute(1, 2, 0).numpy()
    if channels > 2:
        assert np.array_equal(plain, ours)
    else:  # crosstask reads grey in full
        assert np.abs(plain / 255 - ours).max() < 1 / 255


def test_deep_colour_of_other_formats_is_refused_too(tmp_path: Path) -> None:
    file = tmp_path / "deep.ppm"
    pixels = np.stack([grey("bits16")] * 3, axis=-1).astype(">u2").tobytes()
    file.write_bytes(b"P6 50 40 65535\n" + pixels)
    with pytest.raises(RuntimeImageError, match="PPM with more than 8 bits"):
        to_runtime_image(file, (29000.0, 31000.0))


# Points ---------------------------------------------------------------------------------------

QUANTITY = {"task": "depth", "outputs": ["depth"], "is_depth": True, "camera_aware": False}


class Session:
    """Of onnxruntime: depth is the same for every image."""

    def __init__(self, depth: np.ndarray) -> None:
        self.depth = depth

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="image", type="tensor(float)")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="depth")]

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [self.depth[None]]


def clouds(file: Path, options: dict[str, Any], depth: np.ndarray) -> tuple[Any, ...]:
    """Points and colours of the runtime, then of crosstask."""
    facts = {"quantities": [QUANTITY], "size": "native"}
    scene = Model(Session(depth), facts, "m.onnx").predict(file, **options)
    image: StoredImage = to_image(file)
    given = {n: torch.tensor(v) if n == "intrinsics" else v for n, v in options.items()}
    camera = camera_of_image(image, **given).matrix
    assert (camera is None) == (scene.intrinsics is None)
    if camera is not None and scene.intrinsics is not None:
        assert np.allclose(scene.intrinsics, camera.numpy(), rtol=1e-6)
    prediction = Prediction(image.pixels / 255, {"depth": torch.from_numpy(depth)}, camera)
    cloud = point_cloud(prediction, [Depth()])
    points, colors = (v[:, cloud.valid].T.numpy() for v in (cloud.points, cloud.colors))
    return (*scene.points(), points, colors)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_are_those_of_crosstask(tmp_path: Path, orientation: int) -> None:
    noise, exif = np.random.default_rng(0), Image.Exif()
    exif[0x0112], exif.get_ifd(0x8769)[0xA405] = orientation, 26
    image = (noise.random((48, 64, 3)) * 255).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png", exif=exif)
    size = (64, 48) if orientation > 4 else (48, 64)
    depth = noise.uniform(1, 20, (1, *size)).astype(np.float32)
    depth[0, 5, 7], depth[0, 9, 2] = 0, np.nan
    given: list[dict[str, Any]] = [
        {"intrinsics": k(50.0, 52.0, 38.0, 20.0)}, {"fx": 70.0}, {"fov": 65.0}, {}
    ]  # fmt: skip
    for options in given:
        points, colors, ours, painted = clouds(tmp_path / "photo.png", options, depth)
        assert points.dtype == np.float32 and points.shape == (64 * 48 - 2, 3)
        assert np.allclose(points, ours, rtol=1e-5, atol=1e-5)
        assert np.array_equal(colors, painted)


def test_points_of_an_unknown_camera_are_those_of_crosstask(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (90, 120, 150)).save(tmp_path / "plain.png")
    depth = np.full((1, 48, 64), 10, np.float32)
    points, _, ours, _ = clouds(tmp_path / "plain.png", {}, depth)
    assert np.allclose(points, ours, rtol=1e-5, atol=1e-5)
