"""Boundary scores: matching against maximum flow, thinning, and maps worked out by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from crosstask.metrics import BoundaryMetric, EdgesMetric
from crosstask.metrics.matching import match
from crosstask.metrics.thinning import suppress, thin
from crosstask.tasks import Edges


def largest(predicted, truth, distance):
    """Size of the largest matching by maximum flow on the whole proximity graph."""
    p, t = np.argwhere(predicted), np.argwhere(truth)
    near = ((p[:, None] - t[None]) ** 2).sum(-1) <= distance**2
    row, column = np.nonzero(near)
    source, sink = len(p) + len(t), len(p) + len(t) + 1
    tails = np.concatenate([row, np.full(len(p), source), np.arange(len(t)) + len(p)])
    heads = np.concatenate([column + len(p), np.arange(len(p)), np.full(len(t), sink)])
    ones = np.ones(len(tails), dtype=np.int32)
    graph = csr_array((ones, (tails, heads)), shape=(sink + 1, sink + 1))
    return maximum_flow(graph, source, sink, method="dinic").flow_value


@pytest.mark.parametrize("distance", [0.0, 1.0, 1.5, 2.3, 4.3])
@pytest.mark.parametrize("density", [0.03, 0.15, 0.5])
def test_matching_is_as_large_as_the_maximum_flow(distance, density):
    rng = np.random.default_rng(int(100 * density + distance))
    truth = rng.random((23, 31)) < density
    predicted = rng.random((4, 23, 31)) < density * np.array([0.3, 0.8, 1.2, 1.8])[:, None, None]
    matched, found = match(predicted, truth, distance)
    assert not (matched & ~predicted).any()
    assert not (found & ~truth).any()
    for k in range(4):
        size = largest(predicted[k], truth, distance)
        assert matched[k].sum() == found[k].sum() == size


def test_matching_needs_long_augmenting_paths():
    """A shifted line: pairing nearest first strands both ends, which only a long path can join."""
    truth = np.zeros((1, 60), dtype=bool)
    predicted = np.zeros((1, 1, 60), dtype=bool)
    truth[0, 1:51] = True
    predicted[0, 0, 0:50] = True
    matched, found = match(predicted, truth, 1.0)
    assert matched.sum() == found.sum() == 50


def test_matching_of_nothing():
    empty, full = np.zeros((2, 4, 5), dtype=bool), np.ones((4, 5), dtype=bool)
    matched, found = match(empty, full, 3.0)
    assert not matched.any()
    assert not found.any()
    assert not match(np.ones((1, 4, 5), dtype=bool), ~full, 3.0)[0].any()


def test_thinning_a_bar_by_hand():
    bar = np.zeros((1, 7, 12), dtype=bool)
    bar[0, 2:5, 2:10] = True
    line = thin(bar)[0]
    assert line[3].sum() >= 5
    assert line.sum() == line[3].sum()


def test_thinning_leaves_thin_lines_alone_and_is_idempotent():
    lines = np.zeros((1, 9, 9), dtype=bool)
    lines[0, 1, 1:8] = True
    lines[0, range(2, 8), range(2, 8)] = True
    lines[0, 5, 5] = False
    thinned = thin(lines)
    assert thin(thinned).tolist() == thinned.tolist()
    single = np.zeros((1, 5, 5), dtype=bool)
    single[0, 2, 2] = True
    assert thin(single).sum() == 1


def test_thinning_keeps_connectedness_and_leaves_no_blocks():
    rng = np.random.default_rng(0)
    blobs = np.stack(
        [ndimage.gaussian_filter(rng.random((60, 70)), 2) > level for level in (0.48, 0.5, 0.53)]
    )
    thinned = thin(blobs)
    eight = np.ones((3, 3))
    for blob, line in zip(blobs, thinned, strict=True):
        assert not (line & ~blob).any()
        assert line.sum() < 0.3 * blob.sum()
        assert ndimage.label(line, eight)[1] == ndimage.label(blob, eight)[1]
        holes = [ndimage.label(~np.pad(m, 1))[1] for m in (line, blob)]
        assert holes[0] == holes[1]
        blocks = line[:-1, :-1] & line[1:, :-1] & line[:-1, 1:] & line[1:, 1:]
        assert blocks.sum() <= 2


def test_thinning_treats_each_map_on_its_own():
    rng = np.random.default_rng(0)
    maps = rng.random((3, 20, 20)) < 0.5
    assert (thin(maps) == np.concatenate([thin(maps[k : k + 1]) for k in range(3)])).all()


@pytest.mark.parametrize("turn", [0, 1])
def test_suppression_keeps_the_ridge(turn):
    probability = np.zeros((30, 40))
    probability[:, 18:23] = [0.3, 0.6, 0.9, 0.6, 0.3]
    kept = suppress(np.rot90(probability, turn).copy())
    inside = np.rot90(kept, -turn)[6:-6]
    assert np.allclose(inside[:, 20], 0.9)
    assert (np.delete(inside, 20, axis=1) == 0).all()


def test_suppression_keeps_a_slanted_ridge():
    y, x = np.mgrid[:60, :60].astype(float)
    distance = np.abs(0.8 * (x - 30) - 0.6 * (y - 30))
    kept = suppress(np.clip(1 - distance / 4, 0, 1))[10:-10, 10:-10]
    assert (kept[distance[10:-10, 10:-10] < 0.3] > 0).all()
    assert (kept[distance[10:-10, 10:-10] > 1.2] == 0).all()


def maps(rows):
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def compute(metric, prediction, target):
    metric.update(prediction, target)
    return {key: float(value) for key, value in metric.compute().items()}


def test_scores_by_hand():
    """A 3-4-5 image with tolerance 0.25: 1.25 pixels, so only direct neighbours match."""
    target = maps([[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    guess = maps([[0, 0, 0, 0], [0.9, 0.9, 0.4, 0], [0, 0, 0.4, 0.4]])
    metric = BoundaryMetric(tolerance=0.25, thresholds=1, thinning=False)
    values = compute(metric, guess, target)
    # at 0.5: both predicted pixels are right, two of three true ones are found
    assert metric.counts.tolist() == [[2, 3, 2, 2]]
    assert values["ods_precision"] == 1
    assert values["ods_recall"] == pytest.approx(2 / 3)
    assert values["ods_f"] == values["ois_f"] == pytest.approx(0.8)


def test_one_true_pixel_cannot_be_found_twice():
    target = maps([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    guess = maps([[0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]])
    metric = BoundaryMetric(tolerance=0.25, thresholds=1, thinning=False)
    metric.update(guess, target)
    assert metric.counts.tolist() == [[1, 1, 1, 3]]


def test_several_annotators_by_hand():
    """Right if any annotator has it; found pixels add up over annotators."""
    first = [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    second = [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    void = [[255] * 4] * 3
    guess = maps([[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]])
    metric = BoundaryMetric(tolerance=0.15, thresholds=1, thinning=False)
    metric.update(guess, torch.tensor([[first, second, void]], dtype=torch.float32))
    # tolerance 0.75 pixels: exact hits only. First: 2 of 2, second: 1 of 2; right: 2 of 3
    assert metric.counts.tolist() == [[3, 4, 2, 3]]


def test_ods_ois_and_ap_by_hand():
    """Two images whose best thresholds differ."""
    target = maps([[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    low = maps([[0.3, 0.3, 0.3, 0.3], [0, 0, 0, 0], [0, 0, 0, 0]])
    high = maps([[0.7, 0.7, 0.7, 0.7], [0.3] * 4, [0.3] * 4])
    metric = BoundaryMetric(tolerance=0.01, thresholds=3, thinning=False)
    metric.update(low, target)
    metric.update(high, target)
    # thresholds 1/4, 1/2, 3/4
    assert metric.counts.tolist() == [[8, 8, 8, 16], [4, 8, 4, 4], [0, 8, 0, 0]]
    values = {key: float(value) for key, value in metric.compute().items()}
    assert values["ois_f"] == 1
    # recall 1 -> 1/2 while precision 1/2 -> 1: best in the middle, F = 3/4
    assert values["ods_f"] == pytest.approx(0.75, abs=1e-4)
    assert values["ods_threshold"] == pytest.approx(0.375, abs=2e-3)
    # precision 2 r up to recall 1/2 (from 0 at recall 0), then 1 down to 1/2, at 0, .01, ..., 1
    rising = sum(2 * k / 100 for k in range(51))
    falling = sum(1 - (k - 50) / 100 for k in range(51, 101))
    assert values["ap"] == pytest.approx((rising + falling) / 100)


def test_thick_truth_is_thinned_on_request():
    target = torch.zeros(1, 1, 20, 30)
    target[..., 9:11, 2:28] = 1
    guess = target.clone()
    guess[..., 8:12, 2:28] = 1
    thick = compute(BoundaryMetric(tolerance=0.06), guess, target)
    thinned = compute(BoundaryMetric(tolerance=0.06, thin_target=True), guess, target)
    assert thick["ods_recall"] < 0.6
    assert thinned["ods_f"] > 0.95


def test_void_pixels_do_not_count():
    target = maps([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 255, 255]])
    guess = maps([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]])
    metric = BoundaryMetric(tolerance=0.01, thresholds=1, thinning=False)
    metric.update(guess, target)
    metric.update(guess, torch.full_like(target, 255))
    assert metric.counts.tolist() == [[1, 1, 1, 1]]


def test_independent_of_batching_and_of_how_many_levels_fit_at_once(monkeypatch):
    rng = np.random.default_rng(3)
    guess = torch.from_numpy(ndimage.gaussian_filter(rng.random((4, 1, 24, 30)), (0, 0, 1, 1)))
    guess = ((guess - guess.min()) / (guess.max() - guess.min())).float()
    target = (torch.from_numpy(rng.random((4, 2, 24, 30))) < 0.1).float()
    whole, parts = BoundaryMetric(thresholds=9), BoundaryMetric(thresholds=9)
    whole.update(guess, target)
    monkeypatch.setattr("crosstask.metrics.boundaries._LAYER_PIXELS", 1)
    for k in range(4):
        parts.update(guess[k : k + 1], target[k : k + 1])
    assert whole.counts.equal(parts.counts)
    assert whole.best.equal(parts.best)
    for key, value in whole.compute().items():
        assert value == parts.compute()[key]


def test_without_labels_all_is_nan():
    metric = BoundaryMetric(thresholds=2)
    metric.update(torch.rand(1, 1, 5, 5), torch.full((1, 1, 5, 5), 255.0))
    assert all(value != value for value in metric.compute().values())


def test_edges_metric_carries_boundaries_on_request():
    metric = Edges().metric(boundaries=True, thresholds=3)
    assert isinstance(metric, EdgesMetric)
    target = torch.zeros(1, 1, 16, 16)
    target[..., 8, 2:14] = 1
    metric.update(target.clone(), target)
    values = metric.compute()
    assert values["f1"] == 1
    assert values["ods_f"] == pytest.approx(1)
    assert "ods_f" not in Edges().metric().compute()
    metric.reset()
    assert metric.boundary.counts.sum() == 0


def test_wrong_options():
    with pytest.raises(ValueError, match="`tolerance` is 3"):
        BoundaryMetric(tolerance=3.0)
    with pytest.raises(ValueError, match="`thresholds` is 0"):
        BoundaryMetric(thresholds=0)
