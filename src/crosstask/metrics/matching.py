"""One-to-one matching of boundary pixels within a distance.

A largest matching of the bipartite graph "predicted pixel near true pixel", the unit-capacity
maximum flow between both sides, is found on all thresholds of an image at once: a greedy start
that pairs nearest pixels, then augmenting paths from a breadth-first forest until none is left
(Berge's theorem: the matching is then a largest one). Every step works on whole arrays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def match(predicted: Bools, truth: Bools, distance: float) -> tuple[Bools, Bools]:
    """A largest one-to-one matching of predicted to true pixels at most `distance` apart.

    Several predictions of one image are matched at once, each on its own. The cost grows with
    the number of set pixels times the number of pixels within the distance.

    Args:
        predicted: (T,H,W), one map per threshold.
        truth: (H,W), the same for each.
        distance: in pixels, Euclidean, inclusive.

    Returns:
        Which predicted pixels have a partner, (T,H,W), and which true ones, (T,H,W).
    """
    left = _Pixels.of(predicted, int(distance))
    right = _Pixels.of(np.broadcast_to(truth, predicted.shape), int(distance))
    steps = right.steps(_offsets(distance))
    left_partner = np.full(len(left.flat), -1, dtype=np.int64)
    right_partner = np.full(len(right.flat), -1, dtype=np.int64)
    _greedy(left, right, left_partner, right_partner, steps)
    free = np.stack([side.free(p) for side, p in ((left, left_partner), (right, right_partner))])
    fewer_left = free[0] <= free[1]
    _complete(left, right, left_partner, right_partner, steps, fewer_left)
    _complete(right, left, right_partner, left_partner, steps, ~fewer_left)
    return left.paint(left_partner >= 0, predicted), right.paint(right_partner >= 0, predicted)


@dataclass(frozen=True)
class _Pixels:
    """The set pixels of a stack of maps: their places in the padded stack, and back."""

    flat: Ints
    index: NDArray[np.int32]
    margin: int

    @classmethod
    def of(cls, maps: Bools, margin: int) -> "_Pixels":
        layer, y, x = np.nonzero(maps)
        layers, height, width = maps.shape
        index = np.full((layers, height + 2 * margin, width + 2 * margin), -1, dtype=np.int32)
        index[layer, y + margin, x + margin] = np.arange(len(y))
        flat = np.ravel_multi_index((layer, y + margin, x + margin), index.shape)
        return cls(flat, index, margin)

    def layer(self, pixels: Ints) -> Ints:
        """Map that each of the pixels belongs to."""
        return self.flat[pixels] // (self.index.shape[1] * self.index.shape[2])

    def free(self, partner: Ints) -> Ints:
        """Number of pixels without a partner in each map."""
        return np.bincount(self.layer(np.nonzero(partner < 0)[0]), minlength=len(self.index))

    def steps(self, offsets: Ints) -> Ints:
        """Offsets (down, right) as distances in `flat`."""
        return offsets[:, 0] * self.index.shape[2] + offsets[:, 1]

    def paint(self, chosen: Bools, like: Bools) -> Bools:
        """Maps in which the chosen pixels are set."""
        maps = np.zeros(self.index.shape, dtype=bool)
        maps.ravel()[self.flat[chosen]] = True
        height, width = like.shape[1:]
        return maps[:, self.margin : self.margin + height, self.margin : self.margin + width]


def _offsets(distance: float) -> Ints:
    """(down, right) of all pixels within the distance, nearest first."""
    reach = int(distance)
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    square = down**2 + right**2
    inside = square <= distance * distance
    order = np.argsort(square[inside], kind="stable")
    return np.stack([down[inside], right[inside]], axis=1)[order]


def _greedy(
    left: _Pixels, right: _Pixels, left_partner: Ints, right_partner: Ints, steps: Ints
) -> None:
    """Pairs nearest pixels first, in place.

    At one offset the candidate pairs have no pixel in common, so all free ones are taken at once.
    """
    table = right.index.ravel()
    free = np.arange(len(left.flat))
    for step in steps:
        near = table[left.flat[free] + step]
        fits = near >= 0
        fits[fits] = right_partner[near[fits]] < 0
        left_partner[free[fits]] = near[fits]
        right_partner[near[fits]] = free[fits]
        free = free[~fits]


def _complete(
    start: _Pixels,
    goal: _Pixels,
    start_partner: Ints,
    goal_partner: Ints,
    steps: Ints,
    layers: Bools,
) -> None:
    """Adds pairs along augmenting paths until none is left in the chosen layers; in place."""
    while layers.any():
        roots = np.nonzero(start_partner < 0)[0]
        roots = roots[layers[start.layer(roots)]]
        ends, parent = _forest(roots, start, goal, goal_partner, steps)
        layers = np.zeros_like(layers)
        layers[goal.layer(ends)] = True
        while len(ends):  # turn every second pair of the path from its end to its root
            before = parent[ends]
            following = start_partner[before]
            start_partner[before] = ends
            goal_partner[ends] = before
            ends = following[following >= 0]


def _forest(
    roots: Ints, start: _Pixels, goal: _Pixels, goal_partner: Ints, steps: Ints
) -> tuple[Ints, Ints]:
    """Alternating breadth-first trees from all roots at once, with no pixel in two trees.

    Returns:
        One free goal pixel for each tree that reached any, and the pixel from which each goal
        pixel was reached (-1: not reached).
    """
    table = goal.index.ravel()
    parent = np.full(len(goal.flat), -1, dtype=np.int64)
    tree = np.full(len(start.flat), -1, dtype=np.int64)
    tree[roots] = roots
    end = np.full(len(start.flat), -1, dtype=np.int64)
    frontier = roots
    while len(frontier):
        near = table[start.flat[frontier][:, None] + steps]
        which, offset = np.nonzero(near >= 0)
        reached, origin = near[which, offset], frontier[which]
        new = parent[reached] < 0
        reached, origin = reached[new], origin[new]
        parent[reached] = origin  # where several reach one pixel, one of them stays
        stays = parent[reached] == origin
        reached, origin = reached[stays], origin[stays]
        mates = goal_partner[reached]
        is_end = mates < 0
        end[tree[origin[is_end]]] = reached[is_end]
        tree[mates[~is_end]] = tree[origin[~is_end]]
        frontier = mates[~is_end]
        frontier = frontier[end[tree[frontier]] < 0]
    return end[end >= 0], parent
