"""Luxonis OAK: python examples/oak.py model.onnx  (pip install "depthai>=3")"""

import sys
from collections.abc import Iterator

import depthai as dai
import numpy as np
from loop import run, show


def frames(pipeline: dai.Pipeline, queue: dai.MessageQueue) -> Iterator[np.ndarray]:
    while pipeline.isRunning():
        yield np.ascontiguousarray(queue.get().getCvFrame()[..., ::-1])  # BGR to RGB


def main(model: str, width: int = 640, height: int = 400) -> int:
    socket = dai.CameraBoardSocket.CAM_A
    with dai.Pipeline() as pipeline:
        camera = pipeline.create(dai.node.Camera).build(socket)
        queue = camera.requestOutput((width, height)).createOutputQueue(maxSize=1, blocking=False)
        calibration = pipeline.getDefaultDevice().readCalibration()
        fx = calibration.getCameraIntrinsics(socket, width, height)[0][0]
        pipeline.start()
        return run(model, frames(pipeline, queue), fx, show)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
