"""Exported crosstask models on numpy and onnxruntime: image in, named quantities with units out."""

from crosstask_runtime.images import ImageError
from crosstask_runtime.live import SourceLost, watch
from crosstask_runtime.model import Model, ModelFileError, load
from crosstask_runtime.scene import Scene

__all__ = ["ImageError", "Model", "ModelFileError", "Scene", "SourceLost", "load", "watch"]
