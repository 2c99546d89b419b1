"""Datasets, transforms and samples: from files to tensors in SI units with holes."""

from crosstask.data.camvid import CamVid
from crosstask.data.dataset import Frame, SceneDataset
from crosstask.data.procedural import ProceduralStreets
from crosstask.data.sample import KEYS, DataError, check_sample, void_target

__all__ = [
    "KEYS",
    "CamVid",
    "DataError",
    "Frame",
    "ProceduralStreets",
    "SceneDataset",
    "check_sample",
    "void_target",
]
