"""What the numbers of a training may be, asked before anything is built. No torch: helps need it."""

import math
from typing import Any

# Least and most; None is allowed where a recipe leaves a number open, or an option is off.
WHOLE = {
    "steps": (1, 10**9),
    "batch_size": (1, 100_000),
    "accumulate": (1, 100_000),
    "val_every": (1, 10**9),
    "val_batch_size": (1, 100_000),
    "seed": (0, 2**63 - 1),
    "unfreeze_at": (1, 10**9),
    "cache_views": (1, 1000),
}
ABOVE_0 = ("clip", "lr")


def check_numbers(settings: Any) -> None:
    """Looks at those of these numbers that an object has as attributes.

    Raises:
        ValueError: a number out of its limits; names it and them.
    """
    values = vars(settings)
    for name, (least, most) in WHOLE.items():
        value = values.get(name)
        wrong = isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most
        if value is not None and wrong:
            raise ValueError(
                f"`{name}` is {value!r}; expected a whole number from {least} to {most}"
            )
    for name in ABOVE_0:
        value = values.get(name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"`{name}` is {value!r}; expected a finite number above 0")
    encoder_lr, ema = values.get("encoder_lr"), values.get("ema")
    if encoder_lr is not None and not 0 <= encoder_lr < math.inf:
        raise ValueError(f"`encoder_lr` is {encoder_lr!r}; expected a finite number from 0")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"`ema` is {ema!r}; expected a decay from 0 (off) to below 1")
