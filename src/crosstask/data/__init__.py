"""Datasets, transforms and samples: from files to tensors in SI units with holes."""

from crosstask.data.combine.mixture import Mixture
from crosstask.data.combine.skip import SkipBad
from crosstask.data.dataset import SceneDataset
from crosstask.data.datasets.bsds500 import BSDS500
from crosstask.data.datasets.camvid import CamVid
from crosstask.data.datasets.cityscapes import Cityscapes
from crosstask.data.datasets.folder import FolderDataset
from crosstask.data.datasets.frames import FrameFolder
from crosstask.data.datasets.hub import HubDataset
from crosstask.data.datasets.nyudv2 import NYUDv2
from crosstask.data.datasets.pascal_context import PascalContext
from crosstask.data.datasets.procedural import ProceduralStreets
from crosstask.data.datasets.sevenscenes import SevenScenes
from crosstask.data.datasets.synthia import Synthia
from crosstask.data.datasets.vkitti2 import VirtualKITTI2
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, check_sample, void_target
from crosstask.data.samples import Samples

__all__ = [
    "BSDS500",
    "CamVid",
    "Cityscapes",
    "DataError",
    "FolderDataset",
    "Frame",
    "FrameFolder",
    "HubDataset",
    "Mixture",
    "NYUDv2",
    "PascalContext",
    "ProceduralStreets",
    "Samples",
    "SceneDataset",
    "SevenScenes",
    "SkipBad",
    "Synthia",
    "VirtualKITTI2",
    "check_sample",
    "void_target",
]
