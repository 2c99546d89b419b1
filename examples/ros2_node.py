"""ROS 2: subscribes to an image and its camera, publishes depth (32FC1, metres) and classes (mono8).

ros2 run needs a package; to try it: python examples/ros2_node.py --ros-args -p model:=model.onnx \\
    -r image:=/camera/image_raw -r camera_info:=/camera/camera_info
"""

import contextlib
import queue
import threading
from collections.abc import Iterator

import numpy as np
import rclpy
from crosstask_runtime import Scene
from loop import run
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

# Where red, green and blue are in a pixel of each encoding.
COLOURS = {
    "rgb8": [0, 1, 2],
    "bgr8": [2, 1, 0],
    "rgba8": [0, 1, 2],
    "bgra8": [2, 1, 0],
    "mono8": [0, 0, 0],
}


class SceneNode(Node):
    """Callbacks put the newest image into a queue of one; the loop takes it in a thread of its own."""

    def __init__(self) -> None:
        super().__init__("crosstask")
        self.model = self.declare_parameter("model", "model.onnx").value
        self.cameras: queue.Queue[CameraInfo] = queue.Queue(1)
        self.images: queue.Queue[Image | None] = queue.Queue(1)
        self.headers: dict[int, object] = {}  # of the frames that no prediction is published of yet
        self.create_subscription(CameraInfo, "camera_info", lambda m: newest(self.cameras, m), 1)
        self.create_subscription(Image, "image", lambda m: newest(self.images, m), 1)
        self.depth = self.create_publisher(Image, "depth", 1)
        self.classes = self.create_publisher(Image, "segmentation", 1)
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self) -> None:
        fx = float(self.cameras.get().k[0])
        run(self.model, self.frames(), fx, self.publish, stall=3600.0)
        rclpy.try_shutdown()  # also where it broke off: better no node than one that publishes nothing

    def frames(self) -> Iterator[np.ndarray]:
        """RGB; read ahead of the predictions, so that headers wait for theirs under a frame's number."""
        number = 0
        while (message := self.images.get()) is not None:
            self.headers[number] = message.header
            yield rgb(message)
            number += 1

    def publish(self, scene: Scene) -> None:
        number = int(scene.facts["frame"])
        header = self.headers[number]
        for old in [n for n in list(self.headers) if n <= number]:  # frames between were dropped
            del self.headers[old]
        depth = scene["depth"][0].astype(np.float32)
        self.depth.publish(message_of(depth, "32FC1", header))
        classes = scene["segmentation"].astype(np.uint8)
        self.classes.publish(message_of(classes, "mono8", header))


def rgb(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 of a message.

    Raises:
        ValueError: an encoding that is none of `COLOURS`.
    """
    if message.encoding not in COLOURS:
        known = ", ".join(COLOURS)
        raise ValueError(f"images are {message.encoding}; expected {known}; convert them first")
    order = COLOURS[message.encoding]
    values = {"mono8": 1, "rgb8": 3, "bgr8": 3}.get(message.encoding, 4)
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : values * message.width].reshape(message.height, message.width, values)
    return np.ascontiguousarray(pixels[..., order])


def message_of(array: np.ndarray, encoding: str, header: object) -> Image:
    height, width = array.shape
    found = Image(height=height, width=width, encoding=encoding, step=array.strides[0])
    found.header, found.data = header, array.tobytes()
    return found


def newest(place: queue.Queue, message: object) -> None:
    """Puts a message into a queue of one, in place of an older one."""
    while True:
        try:
            return place.put_nowait(message)
        except queue.Full:
            with contextlib.suppress(queue.Empty):
                place.get_nowait()


def main() -> None:
    rclpy.init()
    node = SceneNode()
    try:
        rclpy.spin(node)
    finally:
        newest(node.images, None)
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
