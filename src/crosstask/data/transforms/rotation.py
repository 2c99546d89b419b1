"""Random rotation of a sample about the middle of its image: a camera that rolls.

Depth is measured along the optical axis, so a roll leaves it alone. Normals and poses turn with the camera; the
camera matrix follows exactly, with a skew where its focal lengths differ.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from crosstask.data.sample import DataError
from crosstask.data.transforms.tensor_types import Intrinsics, Poses, TargetMap
from crosstask.tasks.target import flip_map, mirror_vectors


class RandomRotation(v2.Transform):
    """Turn image, labels, camera, normals and poses by a random angle; what comes in is void, or black.

    Args:
        degrees: Largest angle, either way; drawn uniformly (SCA-MTL and MTI-Net on PASCAL: 20).
    """

    def __init__(self, degrees: float) -> None:
        super().__init__()
        if not 0 <= degrees <= 180:
            raise DataError(f"`rotation` is {degrees}; expected degrees from 0 to 180")
        self.degrees = float(degrees)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the angle; what the camera makes of it."""
        angle = float(torch.empty(()).uniform_(-self.degrees, self.degrees))
        cameras = [x for x in flat_inputs if isinstance(x, Intrinsics) and float(x[0, 0]) > 0]
        pixels, roll = in_plane(angle), in_plane(angle)
        if cameras:
            _, roll = rolled(cameras[0].as_subclass(Tensor), pixels, cameras[0].canvas_size)
        return {"angle": angle, "pixels": pixels, "roll": roll}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply the drawn angle to one tensor."""
        angle, pixels, roll = params["angle"], params["pixels"], params["roll"]
        if isinstance(inpt, TargetMap):
            turn = roll if inpt.declaration.channels == 3 else pixels  # in space, or in the image
            return TargetMap(_turned_map(inpt, angle, turn), inpt.declaration)
        if isinstance(inpt, Intrinsics):
            if float(inpt[0, 0]) <= 0:
                return inpt
            matrix, _ = rolled(inpt.as_subclass(Tensor), pixels, inpt.canvas_size)
            return Intrinsics(matrix, canvas_size=inpt.canvas_size)
        if isinstance(inpt, Poses):
            turn = torch.block_diag(roll, torch.eye(2)).to(inpt.dtype)
            return Poses(turn @ inpt.as_subclass(Tensor) @ turn.mT)
        if isinstance(inpt, tv_tensors.Image):
            return F.rotate(inpt, angle, InterpolationMode.BILINEAR, fill=0)
        return inpt


def in_plane(angle: float) -> Float[Tensor, "2 2"]:
    """Matrix that turns (right, down) counter-clockwise, as seen, by `angle` degrees."""
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    return torch.tensor([[cosine, sine], [-sine, cosine]])


def rolled(
    intrinsics: Float[Tensor, "3 3"], pixels: Float[Tensor, "2 2"], canvas: tuple[int, int]
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "2 2"]]:
    """Camera after its pixels were turned about the image's middle, and by how much its axes turn.

    The turned pixels R K are again an upper triangular matrix times a turn of the axes (RQ decomposition). With
    equal focal lengths that is R itself and the matrix keeps them.

    Returns:
        The new matrix, and the 2x2 turn of camera coordinates (x, y).
    """
    moved = pixels @ intrinsics[:2, :2]
    sine, cosine = -moved[1, 0], moved[1, 1]
    roll = torch.stack([cosine, sine, -sine, cosine]).view(2, 2) / torch.hypot(sine, cosine)
    result = intrinsics.clone()
    result[:2, :2] = moved @ roll.mT
    result[1, 0] = 0.0
    middle = intrinsics.new_tensor([(canvas[1] - 1) / 2, (canvas[0] - 1) / 2])
    result[:2, 2] = pixels @ (intrinsics[:2, 2] - middle) + middle
    return result, roll


def _turned_map(value: TargetMap, angle: float, turn: Float[Tensor, "2 2"]) -> Tensor:
    """The nearest pixel of a label map; vectors turn as well."""
    target = value.declaration
    plain = value.as_subclass(Tensor)
    maps = plain if target.channels else plain[None]
    turned = F.rotate(maps, angle, InterpolationMode.NEAREST, fill=target.void)
    if target.mirror is mirror_vectors:
        turned[:2] = torch.einsum("ij,jhw->ihw", turn.to(turned.dtype), turned[:2])
    elif target.mirror is not flip_map:
        raise DataError(
            f"a target in {target.unit} has a rule of its own for mirrors, so how its values turn is not "
            "known; expected `flip_map` or `mirror_vectors`; leave `rotation` out"
        )
    return turned if target.channels else turned[0]
