"""The examples run on a video file: a fake of each camera's module gives its frames."""

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from crosstask_runtime import Model

av = pytest.importorskip("av")
EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMES, HEIGHT, WIDTH = 5, 48, 64


def by_hand() -> ModuleType:
    """The tests of the runtime, for their model made by hand."""
    place = Path(__file__).with_name("test_runtime.py")
    spec = importlib.util.spec_from_file_location("by_hand", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(by_hand().write(tmp_path / "model.onnx"))


@pytest.fixture
def video(tmp_path: Path) -> list[np.ndarray]:
    """Frames of a video file: green, a little brighter each time."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for k in range(FRAMES):
            frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            frame[..., 1] = 100 + 20 * k
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def example(name: str, monkeypatch: pytest.MonkeyPatch, **modules: Any) -> ModuleType:
    """An example with fakes for the modules of its hardware."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for module, content in modules.items():
        monkeypatch.setitem(sys.modules, module.replace("__", "."), content)
    monkeypatch.delitem(sys.modules, "loop", raising=False)
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Colors:
    """A RealSense pipeline over the frames of a video; the camera is pulled out at the end."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.frames, self.stopped, self.asked = iter(frames), False, ()

    def start(self, config: Any) -> "Colors":
        self.asked = config.asked
        return self

    def get_stream(self, _: str) -> "Colors":
        return self

    def as_video_stream_profile(self) -> "Colors":
        return self

    def get_intrinsics(self) -> SimpleNamespace:
        return SimpleNamespace(fx=300.0)

    def wait_for_frames(self) -> SimpleNamespace:
        frame = next(self.frames, None)
        if frame is None:
            raise RuntimeError("Frame didn't arrive within 5000")
        data = SimpleNamespace(get_data=lambda: frame)
        return SimpleNamespace(get_color_frame=lambda: data)

    def stop(self) -> None:
        self.stopped = True


def test_realsense(
    model: str,
    video: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Config:
        def enable_stream(self, *asked: Any) -> None:
            self.asked = asked

    pipeline = Colors(video)
    fake = SimpleNamespace(
        pipeline=lambda: pipeline,
        config=Config,
        stream=SimpleNamespace(color="color"),
        format=SimpleNamespace(rgb8="rgb8"),
    )
    main = example("realsense", monkeypatch, pyrealsense2=fake).main
    assert main(model) == 2 and pipeline.stopped  # the camera was pulled out
    text = capsys.readouterr().out
    assert pipeline.asked == ("color", 640, 480, "rgb8", 30)
    assert "nearest" in text and "(metric)" in text and "didn't arrive" in text


def test_oak(
    model: str,
    video: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = iter(video)
    asked: dict[str, Any] = {}

    class Pipeline:
        seen = 0

        def __enter__(self) -> "Pipeline":
            return self

        def __exit__(self, *_: object) -> None:
            asked["closed"] = True

        def create(self, kind: str) -> "Pipeline":
            return self

        def build(self, socket: str) -> "Pipeline":
            asked["socket"] = socket
            return self

        def requestOutput(self, size: tuple[int, int]) -> "Pipeline":
            asked["size"] = size
            return self

        def createOutputQueue(self, **options: Any) -> "Pipeline":
            asked.update(options)
            return self

        def getDefaultDevice(self) -> "Pipeline":
            return self

        def readCalibration(self) -> "Pipeline":
            return self

        def getCameraIntrinsics(self, *_: Any) -> list[list[float]]:
            return [[300.0, 0.0, 0.0]]

        def start(self) -> None:
            asked["started"] = True

        def isRunning(self) -> bool:
            self.seen += 1
            return self.seen <= FRAMES

        def get(self) -> SimpleNamespace:
            frame = next(left)
            return SimpleNamespace(getCvFrame=lambda: frame[..., ::-1])

    fake = SimpleNamespace(
        Pipeline=Pipeline,
        MessageQueue=object,
        node=SimpleNamespace(Camera="camera"),
        CameraBoardSocket=SimpleNamespace(CAM_A="a"),
    )
    assert example("oak", monkeypatch, depthai=fake).main(model) == 0
    assert asked["started"] and asked["closed"] and asked["maxSize"] == 1
    assert "(metric)" in capsys.readouterr().out


def test_ros2(model: str, video: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    published: dict[str, list[Any]] = {"depth": [], "segmentation": []}
    callbacks: dict[str, Any] = {}

    class Image(SimpleNamespace):
        header: Any = None
        data: bytes = b""

    class Node:
        def __init__(self, name: str) -> None:
            assert name == "crosstask"

        def declare_parameter(self, name: str, value: str) -> SimpleNamespace:
            return SimpleNamespace(value=model)

        def create_subscription(self, kind: Any, topic: str, callback: Any, depth: int) -> None:
            callbacks[topic] = callback

        def create_publisher(self, kind: Any, topic: str, depth: int) -> SimpleNamespace:
            return SimpleNamespace(publish=published[topic].append)

    def spin(node: Any) -> None:
        callbacks["camera_info"](SimpleNamespace(k=[300.0]))
        for number, frame in enumerate(messages(video)):
            callbacks["image"](frame)
            while len(published["segmentation"]) <= number and node.thread.is_alive():
                node.thread.join(0.01)

    def messages(frames: list[np.ndarray]) -> Iterator[Image]:
        """With padded rows, in ROS's order of colours."""
        for k, frame in enumerate(frames):
            rows = np.zeros((HEIGHT, 3 * WIDTH + 8), np.uint8)
            rows[:, : 3 * WIDTH] = frame[..., ::-1].reshape(HEIGHT, -1)
            yield Image(
                height=HEIGHT,
                width=WIDTH,
                step=3 * WIDTH + 8,
                encoding="bgr8",
                data=rows.tobytes(),
                header=f"time {k}",
            )

    fake = SimpleNamespace(init=lambda: None, spin=spin, try_shutdown=lambda: None)
    module = example(
        "ros2_node",
        monkeypatch,
        rclpy=fake,
        rclpy__node=SimpleNamespace(Node=Node),
        sensor_msgs=SimpleNamespace(),
        sensor_msgs__msg=SimpleNamespace(Image=Image, CameraInfo=object),
    )
    module.main()
    depths = [
        np.frombuffer(m.data, np.float32).reshape(m.height, m.width) for m in published["depth"]
    ]
    assert len(depths) == FRAMES and published["depth"][-1].header == f"time {FRAMES - 1}"
    for frame, depth in zip(video, depths, strict=True):
        assert np.allclose(depth, frame.mean(-1) / 255 * 30, atol=1e-3)
    assert (np.frombuffer(published["segmentation"][0].data, np.uint8) == 1).all()

    # Frames that come faster than predictions: each is published under its own header.
    for topic in published:
        published[topic].clear()
    node = module.SceneNode()
    predict = Model.predict

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return predict(*args, **options)

    monkeypatch.setattr(Model, "predict", slowly)
    callbacks["camera_info"](SimpleNamespace(k=[300.0]))
    for frame in messages(video * 3):
        callbacks["image"](frame)
        time.sleep(0.01)
    callbacks["image"](None)
    node.thread.join(10)
    assert 1 < len(published["depth"]) < 3 * FRAMES and not node.headers
    for found in published["depth"]:
        frame = (video * 3)[int(found.header.removeprefix("time "))]
        depth = np.frombuffer(found.data, np.float32).reshape(found.height, found.width)
        assert np.allclose(depth, frame.mean(-1) / 255 * 30, atol=1e-3)


def test_ros2_reads_encodings_and_names_others(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = {"rclpy": SimpleNamespace(), "rclpy__node": SimpleNamespace(Node=object)}
    messages = SimpleNamespace(Image=object, CameraInfo=object)
    fakes |= {"sensor_msgs": SimpleNamespace(), "sensor_msgs__msg": messages}
    module = example("ros2_node", monkeypatch, **fakes)

    def message(encoding: str, *pixel: int) -> SimpleNamespace:
        row = bytes(pixel) * 4 + b"\0\0"  # with padding
        return SimpleNamespace(encoding=encoding, height=2, width=4, step=len(row), data=row * 2)

    for encoding, pixel in (
        ("rgb8", (1, 2, 3)),
        ("bgr8", (3, 2, 1)),
        ("rgba8", (1, 2, 3, 9)),
        ("bgra8", (3, 2, 1, 9)),
    ):
        found = module.rgb(message(encoding, *pixel))
        assert found.shape == (2, 4, 3) and (found == [1, 2, 3]).all(), encoding
    assert (module.rgb(message("mono8", 7)) == 7).all()
    with pytest.raises(ValueError, match="images are yuv422; expected rgb8, bgr8"):
        module.rgb(message("yuv422", 1, 2))
