"""The moving average of a network's weights (`--ema`)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


def moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """For `AveragedModel(multi_avg_fn=...)`: average = decay average + (1 - decay) value.

    Integer buffers (positions in tables, counts) are copied: an average of them would be rounded down.
    """
    average = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], number: Any) -> None:
        if averages[0].is_floating_point():  # torch hands over tensors of one type at a time
            average(averages, values, number)  # type: ignore[no-untyped-call]
            return
        for old, new in zip(averages, values, strict=True):
            old.copy_(new)

    return update
