"""What one scale tells the next finer one: MTI-Net's FPM and SCA-MTL's FPMA.

Sources: Vandenhende et al., MTI-Net, ECCV 2020; Kim, Choi and Min, SCA-MTL, ICIP 2022.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.exchanges.base import Exchange
from crosstask.models.layers.residual_block import ResidualBlock
from crosstask.models.layers.window_self_attention import WindowSelfAttention

GROUPINGS = ("released", "intended")


def group_softmax(
    logits: Float[Tensor, "b mc h w"], tasks: int, grouping: str
) -> Float[Tensor, "b mc h w"]:
    """Softmax over groups of ``tasks`` channels of a task-major stack of maps.

    ``"intended"`` groups channel c of every task, as the papers say. ``"released"`` groups
    ``tasks`` *neighbouring* channels, as both released codes do: the stack is task-major but is
    viewed with the task axis last, so a group nearly always lies inside one task.
    """
    b, stacked, h, w = logits.shape
    if grouping == "released":
        return logits.reshape(b, stacked // tasks, tasks, h, w).softmax(2).reshape(b, stacked, h, w)
    return logits.reshape(b, tasks, stacked // tasks, h, w).softmax(1).reshape(b, stacked, h, w)


class SqueezeExcitation(nn.Module):
    """Channel gate from the map's mean (Hu et al., CVPR 2018), ratio 16.

    The few hidden units read non-negative maps; each starts with weights of positive sum and a
    positive bias, so that none of them starts dead.
    """

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        inner = max(channels // ratio, 1)
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)
        with torch.no_grad():
            self.squeeze.weight.mul_(self.squeeze.weight.sum(1, keepdim=True).sign())
            self.squeeze.bias.abs_()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Scales every channel by a number in (0, 1)."""
        gate = self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()
        return x * gate[:, :, None, None]


def convolution_gate(channels: int) -> nn.Sequential:
    """MTI-Net's gate: two residual blocks at a quarter of the width, 1x1 back."""
    inner = max(channels // 4, 1)
    return nn.Sequential(
        ResidualBlock(channels, inner), ResidualBlock(inner, inner), nn.Conv2d(inner, channels, 1)
    )


def attention_gate(channels: int) -> WindowSelfAttention:
    """SCA-MTL's gate: one window self-attention block of 4 heads."""
    return WindowSelfAttention(channels, heads=4, blocks=1, drop_path=0.0)


class FeaturePropagation(Exchange):
    """FPM / FPMA: one shared message of all tasks, handed to each task through its own gate.

    ``message_t = SE_t(merge(softmax(gate(stack)) * stack)) + f_t``, the stack being all maps
    concatenated in task order. The caller upsamples the messages.

    The shared message is joint: no part of it belongs to one source. Into a task with a cut
    direction (see `Exchange.cut`) goes a message of its own, made by the same layers from a stack
    in which the maps of the cut sources are replaced; the others' messages stay as they are.

    Args:
        tasks: ordered task names; at least two.
        channels: width of every map.
        gate: ``"convolution"`` (MTI-Net) or ``"attention"`` (SCA-MTL).
        grouping: of the softmax, see :func:`group_softmax`.

    Raises:
        ValueError: an unknown gate or grouping, fewer than two tasks.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        channels: int,
        gate: str,
        grouping: str = "released",
    ) -> None:
        super().__init__(tasks)
        if gate not in ("convolution", "attention"):
            raise ValueError(f"`gate` is {gate!r}; expected 'convolution' or 'attention'.")
        if grouping not in GROUPINGS:
            raise ValueError(f"`grouping` is {grouping!r}; expected one of {GROUPINGS}.")
        self.grouping: str = grouping
        stacked = channels * len(self.tasks)
        self.gate = attention_gate(stacked) if gate == "attention" else convolution_gate(stacked)
        self.merge = ResidualBlock(stacked, channels)
        self.excite = nn.ModuleDict({task: SqueezeExcitation(channels) for task in self.tasks})

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        """Messages of the same shape as the features."""
        shared = self._mix([features[task] for task in self.tasks])
        own = {task: self._heard_by(task, features) for task in self.singled_out()}
        return {
            task: self.excite[task](own.get(task, shared)) + features[task] for task in self.tasks
        }

    def _mix(self, maps: list[Float[Tensor, "b c h w"]]) -> Float[Tensor, "b c h w"]:
        """The shared message of all maps, in task order."""
        stack = torch.cat(maps, 1)
        weights = group_softmax(self.gate(stack), len(self.tasks), self.grouping)
        return self.merge(weights * stack)

    def _heard_by(self, target: str, features: dict[str, Tensor]) -> Float[Tensor, "b c h w"]:
        """The shared message with the maps of the sources cut from `target` replaced."""
        maps = ((task, features[task]) for task in self.tasks)
        return self._mix([x if t == target else self.knock_out(x, t, target) for t, x in maps])
