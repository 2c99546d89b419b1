"""Which samples stand for a whole dataset."""


def evenly(size: int, samples: int) -> list[int]:
    """Up to `samples` different indices from 0 on, spread evenly over all `size` of a dataset."""
    samples = min(size, samples)
    return [place * size // samples for place in range(samples)]
