"""The runtime alone, on a file made by hand: depth is ten times the grey value at focal length 100."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from crosstask_runtime import ImageError, ModelFileError, SourceLost, load, watch
from crosstask_runtime.live import newest
from crosstask_runtime.scene import kind_of
from onnx import TensorProto, helper
from PIL import Image

QUANTITIES = [
    {
        "task": "segmentation",
        "outputs": ["segmentation", "segmentation_probability"],
        "is_depth": False,
        "camera_aware": False,
        "classes": ["red", "green", "blue"],
        "colors": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
    },
    {"task": "depth", "outputs": ["depth"], "is_depth": True, "camera_aware": True},
]
FACTS = {
    "library": "crosstask",
    "metadata_version": 2,
    "form": "decoded",
    "size": "native",
    "image_size": None,
    "focal": "input",
    "quantities": QUANTITIES,
}


def write(path: Path, **facts: object) -> Path:
    """Classes are the largest colour; depth is 10 * mean * focal / 100, of float images."""
    floats, shape = TensorProto.FLOAT, ["batch", 3, "height", "width"]
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("ArgMax", ["image"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["segmentation"], to=TensorProto.UINT8),
        helper.make_node("ReduceMax", ["image", "one"], ["segmentation_probability"], keepdims=0),
        helper.make_node("ReduceMean", ["image", "one"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["focal", "shape"], ["focals"]),
        helper.make_node("Mul", ["focals", "tenth"], ["scale"]),
        helper.make_node("Mul", ["mean", "scale"], ["depth"]),
    ]
    graph = helper.make_graph(
        nodes,
        "by_hand",
        [value("image", floats, shape), value("focal", floats, ["batch"])],
        [
            value("segmentation", TensorProto.UINT8, ["batch", "height", "width"]),
            value("segmentation_probability", floats, ["batch", "height", "width"]),
            value("depth", floats, ["batch", 1, "height", "width"]),
        ],
        [
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 1, 1, 1]),
            helper.make_tensor("tenth", floats, [1], [0.1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    stored = {k: v if isinstance(v, str) else json.dumps(v) for k, v in (FACTS | facts).items()}
    helper.set_model_props(model, stored)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "hand.onnx")


def image(height: int = 40, width: int = 50) -> np.ndarray:
    found = np.zeros((height, width, 3), np.uint8)
    found[..., 1] = 153  # mean 0.2
    return found


def test_quantities_have_names_units_and_kinds(file: Path) -> None:
    model = load(file)
    scene = model.predict(image(), fx=300.0)
    assert model.tasks == ("segmentation", "depth") and list(scene.numpy()) == list(model.tasks)
    assert scene["depth"].shape == (1, 40, 50) and np.allclose(scene["depth"], 6.0)
    assert scene["segmentation"].dtype == np.uint8 and (scene["segmentation"] == 1).all()
    assert np.allclose(scene.probabilities["segmentation"], 0.6)
    assert scene.classes["segmentation"][1] == "green" and scene.kinds == {"depth": "metric"}
    assert scene.show("segmentation").getpixel((3, 3)) == (0, 255, 0)
    assert scene.show("depth").size == (50, 40)
    unknown = model.predict([image()])[0]
    assert unknown.kinds == {"depth": "up to scale"} and "give `fx`" in unknown.notes["depth"]
    matrix = np.diag([150.0, 600.0, 1.0])
    assert np.allclose(model.predict(image(), intrinsics=matrix)["depth"], 6.0)


def test_images_of_every_kind_are_read_alike(file: Path, tmp_path: Path) -> None:
    model, array = load(file), image()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(array).rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(array).convert("RGBA").save(tmp_path / "alpha.png")
    floats = array.transpose(2, 0, 1).astype(np.float32) / 255
    for given in (
        array,
        floats,
        Image.fromarray(array),
        tmp_path / "turned.png",
        tmp_path / "alpha.png",
    ):
        scene = model.predict(given, fx=300.0)
        assert scene["depth"].shape == (1, 40, 50) and np.allclose(scene["depth"], 6.0)
    deep = Image.fromarray(np.full((40, 50), 13107, np.uint16))  # a fifth of 65535
    assert np.allclose(model.predict(deep, fx=300.0)["depth"], 6.0, atol=1e-3)
    (tmp_path / "bad.png").write_bytes(b"no image")
    for wrong in (tmp_path / "bad.png", tmp_path / "none.png", np.zeros((4, 4))):
        with pytest.raises(ImageError):
            model.predict(wrong)


def test_what_a_file_cannot_take_is_named(tmp_path: Path) -> None:
    fixed = load(write(tmp_path / "fixed.onnx", image_size=[64, 96], focal=700.0))
    with pytest.raises(ValueError, match="takes images of 96 x 64 pixels; this one has 50 x 40"):
        fixed.predict(image())
    with pytest.raises(ValueError, match="exported for a camera of 700 pixels"):
        fixed.predict(image(64, 96), fx=300.0)
    assert fixed.predict(image(64, 96)).kinds == {"depth": "metric"}
    with pytest.raises(ValueError, match="at least 32 x 32"):
        load(write(tmp_path / "m.onnx")).predict(image(8, 8))
    with pytest.raises(ValueError, match="above 0"):
        load(tmp_path / "m.onnx").predict(image(), fx=-1.0)
    with pytest.raises(ModelFileError, match="there is no file"):
        load(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="damaged"):
        load(tmp_path / "bad.onnx")
    for facts, words in (
        ({"library": "other"}, "not written by"),
        ({"metadata_version": 99}, "newer crosstask"),
        ({"form": "raw"}, "--outputs decoded"),
    ):
        with pytest.raises(ModelFileError, match=words):
            load(write(tmp_path / "other.onnx", **facts))


def test_metres_hold_for_the_camera_of_training() -> None:
    quantity = {"outputs": ["depth"], "camera_aware": False}
    assert kind_of(quantity, 100.0, (98.0, 102.0)) == ("metric for the training camera", "")
    for focal, trained in ((None, (98.0, 102.0)), (200.0, (98.0, 102.0)), (100.0, None)):
        kind, note = kind_of(quantity, focal, trained)
        assert kind == "up to scale" and "training camera" in note
    scaled = {"outputs": ["depth_up_to_scale"], "camera_aware": True}
    assert kind_of(scaled, 100.0, None)[0] == "up to scale"


def test_a_point_cloud_by_hand(file: Path, tmp_path: Path) -> None:
    scene = load(file).predict(image(), fx=300.0)
    points, colors = scene.points()
    assert points.shape == (2000, 3) and (colors == (0, 153, 0)).all()
    assert np.allclose(points[0], [-24.5 / 300 * 6, -19.5 / 300 * 6, 6.0])
    assert scene.save_points(tmp_path / "scene.ply") == 2000
    head, _, body = (tmp_path / "scene.ply").read_bytes().partition(b"end_header\n")
    assert b"element vertex 2000" in head and len(body) == 2000 * 15


def test_old_frames_are_dropped_and_counted() -> None:
    taken = threading.Event()

    def frames() -> Iterator[int]:
        yield 0
        taken.wait(5)
        yield from range(1, 8)

    arrivals = newest(frames(), waiting=2)
    assert next(arrivals).frame == 0
    taken.set()
    while arrivals.gi_frame.f_locals["reader"].dropped < 5:  # type: ignore[attr-defined]
        time.sleep(0.001)
    rest = list(arrivals)
    assert [a.frame for a in rest] == [6, 7] and rest[-1].dropped == 5
    assert [a.number for a in newest(range(9), keep_all=True)] == list(range(9))


def test_a_source_that_stalls_or_breaks_off_is_told() -> None:
    def stalls() -> Iterator[int]:
        yield 1
        threading.Event().wait(2)

    def breaks() -> Iterator[int]:
        yield 1
        raise OSError("the cable is out")

    for source, words in ((stalls(), "no frame for 0.2 seconds"), (breaks(), "the cable is out")):
        seen = []
        with pytest.raises(SourceLost, match=words):
            for arrival in newest(source, stall=0.2, keep_all=True):
                seen.append(arrival.frame)
        assert seen == [1]
    with pytest.raises(ValueError, match="above 0"):
        next(newest([], stall=0))


def test_watching_gives_scenes_with_times(file: Path) -> None:
    scenes = list(watch(load(file), [image()] * 3, fx=300.0, keep_all=True))
    assert len(scenes) == 3 and np.allclose(scenes[2]["depth"], 6.0)
    assert scenes[2].facts["frame"] == 2 and scenes[2].facts["dropped"] == 0
    assert scenes[2].facts["latency_ms"] > 0 and scenes[2].facts["fps"] > 0


def test_importing_it_loads_nothing_but_numpy() -> None:
    source = Path(__file__).parents[1] / "src"
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r}); before = set(sys.modules); "
        "import crosstask_runtime; names = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(names - sys.stdlib_module_names), "
        "sorted(names & {'asyncio', 'email', 'http', 'logging', 'multiprocessing', 'socket', 'ssl'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "['crosstask_runtime', 'numpy'] []"
