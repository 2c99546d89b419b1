"""Datasets, transforms and samples: from files to tensors in SI units with holes."""

from crosstask.data.bsds500 import BSDS500
from crosstask.data.camvid import CamVid
from crosstask.data.cityscapes import Cityscapes
from crosstask.data.dataset import Frame, SceneDataset
from crosstask.data.folder import FolderDataset
from crosstask.data.frames import FrameFolder
from crosstask.data.mixture import Mixture
from crosstask.data.nyudv2 import NYUDv2
from crosstask.data.pascal_context import PascalContext
from crosstask.data.procedural import ProceduralStreets
from crosstask.data.sample import KEYS, DataError, check_sample, void_target
from crosstask.data.sevenscenes import SevenScenes
from crosstask.data.skip import SkipBad
from crosstask.data.synthia import Synthia
from crosstask.data.vkitti2 import VirtualKITTI2

__all__ = [
    "BSDS500",
    "KEYS",
    "CamVid",
    "Cityscapes",
    "DataError",
    "FolderDataset",
    "Frame",
    "FrameFolder",
    "Mixture",
    "NYUDv2",
    "PascalContext",
    "ProceduralStreets",
    "SceneDataset",
    "SevenScenes",
    "SkipBad",
    "Synthia",
    "VirtualKITTI2",
    "check_sample",
    "void_target",
]
