"""What an evaluation computes on demand, without a run."""

import multiprocessing
from pathlib import Path

import pytest
import torch

import fakes.bsds500
from crosstask.data import BSDS500, Mixture, ProceduralStreets
from crosstask.evaluation.extras import Boundaries, Extras, HeightScaledDepth
from crosstask.geometry import scale_intrinsics
from crosstask.metrics.thinning import thin
from crosstask.tasks import Depth, Edges, Segmentation


def test_boundaries_of_several_annotators(tmp_path: Path) -> None:
    """One person's map is right everywhere, though the agreed target calls parts of it disputed."""
    dataset = BSDS500(fakes.bsds500.write(tmp_path), consensus=0.9)
    sample, maps = dataset[0], dataset.load_annotations(dataset.frames[0])
    assert len(maps) == 3 and bool((sample["edges"] == 255).any())  # not drawn by all three
    lines = int(thin(maps.numpy() == 1).sum())
    batch = {"source": [sample["source"]], "name": [sample["name"]], "edges": sample["edges"][None]}
    for opened in (dataset, Mixture([(dataset, 1.0)])):
        extra = Boundaries((Edges(),), opened, 0.01)
        extra({"edges": maps[:1][None] * 0.9}, batch)
        found = extra.compute()
        assert found["edges/ods_precision"] == pytest.approx(1.0)
        assert 0.8 < found["edges/ods_recall"] <= 1
        assert int(extra.metric.counts[0, 1]) == lines


def test_boundaries_in_two_processes_are_those_of_one() -> None:
    """More images than wait at once, one without a label, in the order of the images."""
    generator = torch.Generator().manual_seed(0)
    guess = torch.rand(6, 1, 12, 16, generator=generator)
    truth = (torch.rand(6, 1, 12, 16, generator=generator) > 0.9).float()
    truth[2] = 255
    batch = {"source": ["x"] * 6, "name": ["y"] * 6, "edges": truth}
    found = []
    streets = ProceduralStreets("val", ("edges",), size=(32, 64), length=1)
    for processes in (0, 1):
        extra = Boundaries((Edges(),), streets, 0.05, processes=processes)
        extra({"edges": guess}, batch)
        assert len(extra.waiting) == 2 * processes  # what is beyond has been taken in
        found.append((extra.compute(), extra.metric.counts, extra.metric.best))
        assert extra.pool is None
    assert found[0][0] == found[1][0] and found[0][0]["edges/ods_f"] > 0
    assert torch.equal(found[0][1], found[1][1]) and torch.equal(found[0][2], found[1][2])


def test_annotations_lie_where_their_own_image_does(tmp_path: Path) -> None:
    """A portrait and a landscape of one batch, each with a margin of its own."""
    extra = Boundaries((Edges(),), BSDS500(fakes.bsds500.write(tmp_path)), 0.01)
    batch = {"image": torch.zeros(2, 3, 8, 8), "placed": torch.tensor([[8, 4], [4, 8]])}
    for place, beside in enumerate(((slice(0, 8), slice(4, 8)), (slice(4, 8), slice(0, 8)))):
        moved = extra._moved(torch.zeros(1, 16, 16), (8, 8), batch, place)
        void = torch.zeros(8, 8, dtype=torch.bool)
        void[beside] = True
        assert torch.equal(moved[0] == 255, void)


def test_an_evaluation_that_ends_early_ends_the_processes() -> None:
    streets = ProceduralStreets("val", ("edges",), size=(32, 64), length=1)
    batch = {"source": ["x"], "name": ["y"], "edges": torch.zeros(1, 1, 12, 16)}
    before = set(multiprocessing.active_children())
    with (
        pytest.raises(KeyboardInterrupt),
        Extras((Edges(),), streets, boundaries=0.05, processes=1) as extras,
    ):
        extras({"edges": torch.rand(1, 1, 12, 16)}, batch)
        assert set(multiprocessing.active_children()) - before
        raise KeyboardInterrupt
    assert not set(multiprocessing.active_children()) - before


@pytest.mark.parametrize("seen", [1.0, 0.5])
def test_depth_is_scaled_to_a_known_height_by_hand(seen: float) -> None:
    """A level ground seen from 2 m, predicted at half its distance: implied 1 m, scaled exact.

    The camera is that of the network's input, which may be smaller than labels as stored.
    """
    rows, focal = torch.arange(64.0), 60.0
    down = (rows - 20.0).clamp_min(1e-6) / focal
    truth = torch.where(rows > 24, 2.0 / down, 0.0)[:, None].expand(64, 64)[None, None].contiguous()
    camera = torch.tensor([[[focal, 0.0, 32.0], [0.0, focal, 20.0], [0.0, 0.0, 1.0]]])
    extra = HeightScaledDepth((Depth(),), 2.0)
    predicted = torch.where(truth > 0, truth / 2, 50.0)
    image, camera = torch.rand(1, 3, int(64 * seen), 64), scale_intrinsics(camera, 1.0, seen)
    extra({"depth": predicted}, {"image": image, "intrinsics": camera, "depth": truth})
    found = extra.compute()
    assert found["depth/ground/mean"] == pytest.approx(1.0, rel=0.02)
    assert found["depth/height_scaled/abs_rel"] < 0.02


def test_a_task_that_is_missing_is_told() -> None:
    tasks = (Segmentation(3),)
    for option, value in (("boundaries", 0.01), ("camera_height", 1.5)):
        with pytest.raises(ValueError, match=f"`--{option.replace('_', '-')}` needs the task"):
            Extras(tasks, None, **{option: value})
    with pytest.raises(ValueError, match="needs the task segmentation"):
        Extras((Edges(),), None, submission="folder")
    with pytest.raises(ValueError, match="protocol is released"):
        Extras((Depth(protocol="released"),), None, camera_height=1.5)
    assert Extras(tasks, None).compute() == {}


def test_thinning_without_boundaries_is_refused() -> None:
    with pytest.raises(ValueError, match="give `boundaries`"):
        Extras((Edges(),), ProceduralStreets("val", length=1), nms=True)
