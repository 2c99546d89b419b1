"""Types of options that several commands share, as argparse wants them."""

import argparse
import math


def metres(text: str) -> float:
    """A length above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}; expected metres above 0, for example 1.6")
    return value
