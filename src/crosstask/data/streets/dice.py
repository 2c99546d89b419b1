"""Random numbers that depend on a key and a position alone, on every device."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def mix(value: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """SplitMix64's finaliser: a bijection of 64-bit integers that looks random (Steele et al., 2014)."""
    value = (value ^ ((value >> 30) & (2**34 - 1))) * _FIRST
    value = (value ^ ((value >> 27) & (2**37 - 1))) * _SECOND
    return value ^ ((value >> 31) & (2**33 - 1))


class Dice:
    """A row of uniform numbers per key, handed out in the order of the calls.

    Neither the batch nor the global random state has a say: row b is a function of ``keys[b]``.

    Args:
        keys: (b,) int64, one per scene.
        capacity: how many numbers a scene may draw; more is an error of the scene's code.
    """

    def __init__(self, keys: Int64[Tensor, "b"], capacity: int = 3072) -> None:
        counter = torch.arange(1, capacity + 1, device=keys.device, dtype=torch.int64)
        bits = mix(mix(keys)[:, None] + counter * _GOLDEN)
        self._table = ((bits >> 40) & (2**24 - 1)).to(torch.float32) * 2.0**-24
        self._used = 0

    def unit(self, count: int) -> Float[Tensor, "b n"]:
        """``count`` fresh numbers in [0, 1) per scene."""
        start, self._used = self._used, self._used + count
        if self._used > self._table.shape[1]:
            raise RuntimeError(
                f"a scene draws {self._used} numbers; expected <= {self._table.shape[1]}; raise `capacity`"
            )
        return self._table[:, start : self._used]

    def uniform(self, count: int, low: float, high: float) -> Float[Tensor, "b n"]:
        """``count`` numbers in [low, high)."""
        return self.unit(count) * (high - low) + low

    def chance(self, count: int, probability: float) -> Bool[Tensor, "b n"]:
        """``count`` coins that show True with ``probability``."""
        return self.unit(count) < probability

    def sign(self, count: int) -> Float[Tensor, "b n"]:
        """``count`` numbers, -1 or +1."""
        return (self.unit(count) < 0.5).to(torch.float32) * 2 - 1

    def pick(self, count: int, options: int) -> Int64[Tensor, "b n"]:
        """``count`` indices in [0, options)."""
        return (self.unit(count) * options).to(torch.int64)
