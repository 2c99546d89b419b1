"""Sums over all but one, in a number of additions that grows linearly."""

from jaxtyping import Float
from torch import Tensor


def sums_of_others(maps: list[Float[Tensor, "*shape"]]) -> list[Float[Tensor, "*shape"]]:
    """For each of n maps the sum of the n - 1 others, in about 3n additions.

    Sums from the left and from the right are combined, so that nothing is subtracted and nothing
    cancels. The list is emptied on the way: a map is let go as soon as nothing needs it.
    """
    from_right: list[Tensor] = []
    for x in maps[:0:-1]:
        from_right.append(from_right[-1] + x if from_right else x)
    sums: list[Tensor] = []
    left: Tensor | None = None
    while maps:
        right = from_right.pop() if from_right else None
        if left is not None and right is not None:
            sums.append(left + right)
        else:
            only = left if left is not None else right
            assert only is not None
            sums.append(only)
        x = maps.pop(0)
        left = x if left is None else left + x
    return sums
