"""Focal lengths from what people know of a camera, and from EXIF data."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crosstask_runtime import Model, Scene, load, watch
from PIL import Image

FILM, ZOOM = 0xA405, 0xA404
DIAGONAL = 43.2666  # millimetres of 35 mm film, so that the focal length is the image's diagonal


def opened(folder: Path, **facts: object) -> Model:
    """The file made by hand of the runtime's other tests."""
    place = Path(__file__).with_name("test_runtime.py")
    spec = importlib.util.spec_from_file_location("by_hand", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return load(module.write(folder / "hand.onnx", **facts))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return opened(tmp_path)


def photo(file: Path, turned: int = 1, **tags: float) -> Path:
    """64 pixels wide and 48 high as stored, green."""
    exif = Image.Exif()
    exif[0x0112] = turned
    exif.get_ifd(0x8769).update({{"film": FILM, "zoom": ZOOM}[k]: v for k, v in tags.items()})
    Image.new("RGB", (64, 48), (0, 153, 0)).save(file, exif=exif, quality=100)
    return file


def focal(scene: Scene) -> float:
    """What the depth was computed with."""
    assert scene.focal is not None
    mean = scene.image.mean() / 255
    assert scene["depth"].mean() == pytest.approx(10 * mean * scene.focal / 100, rel=1e-2)
    return scene.focal


def test_a_field_of_view_is_across_the_image_as_stored(model: Model, tmp_path: Path) -> None:
    for turned, shape in ((1, (48, 64, 3)), (6, (64, 48, 3))):
        scene = model.predict(photo(tmp_path / "a.png", turned), fov=90.0)
        assert focal(scene) == pytest.approx(32.0) and scene.image.shape == shape
    assert scene.kinds == {"depth": "metric"}
    assert scene.camera_source == "a field of view of 90 degrees"


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_exif_of_files_and_pillow_images(
    model: Model, tmp_path: Path, ending: str, turned: int
) -> None:
    file = photo(tmp_path / f"a.{ending}", turned, film=DIAGONAL)
    for given in (file, str(file), Image.open(file)):
        scene = model.predict(given)
        assert focal(scene) == pytest.approx(80.0, rel=1e-5) and scene.notes == {}
        assert scene.camera_source == "EXIF (43.2666 mm on 35 mm film)"
    assert model.predict(file, fx=300.0).camera_source == "fx"
    assert model.predict(file, fov=60.0).camera_source == "a field of view of 60 degrees"
    matrix = np.diag([100.0, 400.0, 1.0])
    scene = model.predict(file, intrinsics=matrix)
    assert scene.camera_source == "intrinsics" and focal(scene) == pytest.approx(200.0)


def test_what_is_not_the_images_is_left_alone(model: Model, tmp_path: Path) -> None:
    for tags in ({}, {"film": DIAGONAL, "zoom": 2.0}):
        scene = model.predict(photo(tmp_path / "a.png", **tags))
        assert scene.focal is None and scene.camera_source == ""
        assert scene.kinds == {"depth": "up to scale"} and "`fov`" in scene.notes["depth"]


def test_a_file_for_one_camera_takes_no_exif(tmp_path: Path) -> None:
    model = opened(tmp_path, focal=700.0)
    scene = model.predict(photo(tmp_path / "a.png", film=DIAGONAL))
    assert scene.focal == 700.0 and scene.camera_source == "the model, which is for one camera"
    with pytest.raises(ValueError, match=r"the focal length is 32 pixels.*a camera of 700"):
        model.predict(tmp_path / "a.png", fov=90.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fx": 50.0, "fov": 60.0}, "`fx` and `fov` are given; give one"),
        ({"intrinsics": np.eye(3), "fx": 60.0}, "`intrinsics` and `fx`"),
        ({"fx": float("nan")}, "`fx` is nan"),
        ({"fov": 200.0}, "`fov` is 200"),
        ({"fov": "60"}, "`fov` is '60'; expected a number"),
        ({"fx": True}, "`fx` is True; expected a number"),
        ({"intrinsics": np.diag([-50.0, -50.0, 1.0])}, "`intrinsics` is .* above 0"),
        ({"intrinsics": np.eye(4)}, r"`intrinsics` has the shape \(4, 4\)"),
    ],
)
def test_several_ways_at_once_and_impossible_ones(
    model: Model, options: dict[str, Any], words: str
) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    for images in (image, [image]):
        with pytest.raises(ValueError, match=words):
            model.predict(images, **options)


def test_live_frames_have_a_field_of_view(model: Model) -> None:
    frames = [np.full((48, 64, 3), 51, np.uint8)] * 2
    scenes = list(watch(model, frames, fov=90.0, keep_all=True))
    assert [focal(scene) for scene in scenes] == pytest.approx([32.0, 32.0])
    with pytest.raises(ValueError, match="`fx` and `fov`"):  # and no frame is asked for
        next(watch(model, iter(lambda: pytest.fail("read"), None), fx=1.0, fov=90.0))
