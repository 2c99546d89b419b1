"""Joint transforms: image, targets, camera, neighbours and poses move together.

    transform = training((256, 512), scale=(0.75, 1.5), jitter=0.5)
    dataset = Cityscapes(root, transform=transform)

Everything builds on `torchvision.transforms.v2` with the tensor types of `tensor_types.py`; any transform
of v2 may join in. A label map moves as its kind declares (`crosstask.tasks.target`); a map that is not
declared is an error. Random numbers come from torch's global generator, which the loader seeds for every
sample.
"""

from crosstask.data.transforms import kernels as kernels  # registers them with torchvision
from crosstask.data.transforms.fit_inside import FitInside
from crosstask.data.transforms.fixed_views import FixedViews
from crosstask.data.transforms.joint import JointTransform
from crosstask.data.transforms.pipelines import OnColours, evaluation, training
from crosstask.data.transforms.scale_crop import RandomScaleCrop

__all__ = [
    "FitInside",
    "FixedViews",
    "JointTransform",
    "OnColours",
    "RandomScaleCrop",
    "evaluation",
    "training",
]
