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


class SceneNode(Node):
    """Callbacks put the newest image into a queue of one; the loop takes it in a thread of its own."""

    def __init__(self) -> None:
        super().__init__("crosstask")
        self.model = self.declare_parameter("model", "model.onnx").value
        self.cameras: queue.Queue[CameraInfo] = queue.Queue(1)
        self.images: queue.Queue[Image | None] = queue.Queue(1)
        self.header = None
        self.create_subscription(CameraInfo, "camera_info", lambda m: newest(self.cameras, m), 1)
        self.create_subscription(Image, "image", lambda m: newest(self.images, m), 1)
        self.depth = self.create_publisher(Image, "depth", 1)
        self.classes = self.create_publisher(Image, "segmentation", 1)
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self) -> None:
        fx = float(self.cameras.get().k[0])
        run(self.model, self.frames(), fx, self.publish, stall=3600.0)

    def frames(self) -> Iterator[np.ndarray]:
        while (message := self.images.get()) is not None:
            rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
            frame = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
            self.header = message.header
            yield frame[..., ::-1].copy() if message.encoding == "bgr8" else frame.copy()

    def publish(self, scene: Scene) -> None:
        self.depth.publish(self.message(scene["depth"][0].astype(np.float32), "32FC1"))
        self.classes.publish(self.message(scene["segmentation"].astype(np.uint8), "mono8"))

    def message(self, array: np.ndarray, encoding: str) -> Image:
        height, width = array.shape
        found = Image(height=height, width=width, encoding=encoding, step=array.strides[0])
        found.header, found.data = self.header, array.tobytes()
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
        rclpy.shutdown()


if __name__ == "__main__":
    main()
