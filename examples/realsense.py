"""Intel RealSense: python examples/realsense.py model.onnx  (pip install pyrealsense2)"""

import sys
from collections.abc import Iterator

import numpy as np
import pyrealsense2 as rs
from loop import run, show


def frames(pipeline: rs.pipeline) -> Iterator[np.ndarray]:
    while True:
        color = pipeline.wait_for_frames().get_color_frame()
        yield np.asanyarray(color.get_data()).copy()


def main(model: str, width: int = 640, height: int = 480, rate: int = 30) -> int:
    config, pipeline = rs.config(), rs.pipeline()
    config.enable_stream(rs.stream.color, width, height, rs.format.rgb8, rate)
    stream = pipeline.start(config).get_stream(rs.stream.color).as_video_stream_profile()
    try:
        return run(model, frames(pipeline), stream.get_intrinsics().fx, show)
    finally:
        pipeline.stop()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
