"""One whole network per task behind the contract of a single one."""

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from crosstask.models.encoders.encoder import Encoder
from crosstask.models.networks.network import Network


class SeparateEncoders(nn.Module):
    """One encoder per task; their maps one after the other: all of the first task's, then the next's.

    ``channels``, ``strides`` and ``multiple`` are those of one encoder.
    """

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        super().__init__()
        first = next(iter(encoders.values()))
        self.tasks = nn.ModuleDict(dict(encoders))
        self.channels, self.strides = first.channels, first.strides
        self.multiple, self.normalization = first.multiple, first.normalization
        self.in_channels = first.in_channels

    def forward(self, image: Tensor) -> list[Tensor]:
        return [feature for encoder in self.tasks.values() for feature in encoder(image)]

    def pretrained_maps(self, image: Tensor) -> list[Tensor]:
        """See `Encoder.pretrained_maps`."""
        return [x for encoder in self._encoders() for x in encoder.pretrained_maps(image)]

    def from_pretrained(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """See `Encoder.from_pretrained`."""
        each = len(maps) // len(self.tasks)
        parts = [maps[start : start + each] for start in range(0, len(maps), each)]
        pairs = zip(self._encoders(), parts, strict=True)
        return [x for encoder, part in pairs for x in encoder.from_pretrained(part)]

    def _encoders(self) -> list[Encoder]:
        return [cast(Encoder, encoder) for encoder in self.tasks.values()]


class SeparateNetworks(Network):
    """Single-task networks side by side, trained and used like one: nothing is shared.

    The losses add up and the parameters are disjoint, so training them together gives each task the
    gradients it would have alone (clip by group, not over all, to keep even the clipping apart).

    Args:
        encoders: one for each task.
        decoders: one for each task.
    """

    def __init__(self, encoders: Mapping[str, Encoder], decoders: Mapping[str, nn.Module]) -> None:
        super().__init__(SeparateEncoders(encoders), decoders)

    def _features_of(self, task: str, features: Sequence[Tensor]) -> list[Tensor]:
        maps = len(cast(SeparateEncoders, self.encoder).strides)
        start = self.tasks.index(task) * maps
        return list(features[start : start + maps])
