"""Depth against numbers worked out by hand."""

import math

import pytest
import torch

from crosstask.tasks import Depth
from crosstask.tasks.depth import depth_from_inverse, inverse_depth


def field(*values):
    return torch.tensor(values).view(1, 1, 1, -1)


def camera(*focals):
    return torch.tensor([[[f, 0, 3.0], [0, f, 2.0], [0, 0, 1]] for f in map(float, focals)])


def test_inverse_depth_by_hand():
    metres = torch.tensor([10.0, 1.0, 80.0, 655.35])
    expected = torch.tensor([65.4705, 648.871, 8.19098, 1.0])
    assert torch.allclose(inverse_depth(metres), expected, rtol=1e-4)
    assert torch.allclose(depth_from_inverse(inverse_depth(metres)), metres, rtol=1e-6)


def test_berhu_by_hand():
    task = Depth(activation="identity", far=1000)
    target = field(10.0, 5.0, 3.0, 2.0)
    output = inverse_depth(target) - field(1.0, -2.0, 3.0, -10.0)
    # c = 0.2 * 10: 1, 2, (9 + 4) / 4, (100 + 4) / 4; mean 8.0625
    assert task.loss(output, target).item() == pytest.approx(8.0625, abs=1e-3)
    target[..., 2:] = 0
    # only 1 and 2 count: c = 0.4, (1 + 0.16) / 0.8 and (4 + 0.16) / 0.8
    assert task.loss(output, target).item() == pytest.approx((1.45 + 5.2) / 2, abs=1e-3)
    fixed = Depth(activation="identity", far=1000, berhu_threshold=4.0)
    assert fixed.loss(output, target).item() == pytest.approx(1.5, abs=1e-4)


def test_perfect_inverse_depth_has_a_finite_gradient():
    target = field(10.0, 5.0)
    output = inverse_depth(target).requires_grad_()
    loss = Depth(activation="identity").loss(output, target)
    loss.backward()
    assert loss == 0
    assert (output.grad == 0).all()


def test_l1_by_hand():
    task = Depth("l1", activation="identity")
    assert task.loss(field(2.0, 5.0, 9.0), field(3.0, 2.0, 0.0)).item() == 2.0


def test_range():
    task = Depth(near=0.5, far=20)
    target = field(0.0, 0.4, 0.5, 20.0, 20.1, math.inf, math.nan)
    assert task.valid(target).flatten().tolist() == [False, False, True, True] + [False] * 3
    decoded = task.decode(field(-50.0, 50.0))
    assert decoded.flatten().tolist() == [20.0, 0.5]
    untamed = Depth(activation="identity").decode(field(-3.0, 0.0, 65.47046))
    assert untamed.flatten().tolist() == pytest.approx([80.0, 80.0, 10.0], rel=1e-5)
    released = Depth(protocol="released").with_raw_output().decode(field(0.0, 1e-38, -1e-38))
    assert released.flatten().tolist() == pytest.approx([80.0, 80.0, 1e-3])  # no NaN


def test_the_raw_output_is_the_inverse_depth():
    """At 10 m the gradient through softplus is 65.536 sigmoid(r) = 41.4 times that of y = r."""
    plain = Depth(berhu_threshold=1e6).with_raw_output()
    target, found = field(10.0), []
    for task in (plain, Depth(berhu_threshold=1e6)):
        start = torch.tensor(task.initial_bias()).view(1, 1, 1, 1).requires_grad_()
        task.loss(start, target).backward()
        found.append(abs(start.grad.item()))
    assert plain.quantity(field(65.47)).item() == pytest.approx(65.47)
    assert found[0] == 1.0 and found[1] == pytest.approx(
        65.536 * (1 - math.exp(-655.36 / (math.sqrt(80) + 0.01) / 65.536)), rel=1e-4
    )


def test_far_labels_count_under_the_released_protocol_only():
    target = field(655.35)
    assert Depth(protocol="released").valid(target).all()
    assert not Depth().valid(target).any()


def test_released_decoding_is_99_centimetres_short():
    task = Depth(protocol="released", activation="identity")
    assert task.decode(inverse_depth(field(10.0))).item() == pytest.approx(9.01, abs=1e-4)
    # a negative inverse depth, which means far, becomes one millimetre
    assert task.decode(field(-5.0)).item() == pytest.approx(0.001)


@pytest.mark.parametrize("options", [{}, {"loss": "l1"}, {"far": 10.0}, {"start": 3.0}])
def test_an_untrained_network_predicts_a_sensible_depth(options):
    task = Depth(**options)
    decoded = task.decode(torch.tensor(task.initial_bias()).view(1, 1, 1, 1)).item()
    assert decoded == pytest.approx(
        options.get("start", math.sqrt(options.get("far", 80))), rel=1e-4
    )


@pytest.mark.parametrize("loss", ["berhu_inverse", "l1"])
def test_canonical_focal_is_exact(loss):
    """A scene at f and one twice as far at 2f look the same: equal targets, doubled metres."""
    task = Depth(loss, canonical_focal=100, berhu_threshold=1.0, far=1000)
    near, far = field(3.0, 4.0, 7.0), field(6.0, 8.0, 14.0)
    output = torch.randn(1, 1, 1, 3)
    assert task.loss(output, near, camera(50)) == task.loss(output, far, camera(100))
    assert torch.allclose(
        2 * task.decode(output, camera(50)), task.decode(output, camera(100)), rtol=1e-6
    )
    assert task.decode(output, camera(100)).equal(task.decode(output))
    assert task.kind_of(camera(50)) == "metric"
    assert task.kind_of(None) == task.kind_of(camera(0)) == "up to scale"
    with pytest.raises(ValueError, match="`camera` is missing"):
        task.loss(output, near)


def test_focal_length_is_that_of_each_image_and_of_both_axes():
    task = Depth(canonical_focal=100)
    intrinsics = torch.cat([camera(50), camera(200), camera(0)])
    assert task.focal_factor(intrinsics).flatten().tolist() == [0.5, 2.0, 1.0]
    wide = torch.tensor([[[50.0, 0, 0], [0, 200.0, 0], [0, 0, 1]]])
    assert task.focal_factor(wide).item() == 1.0


def test_alignment_map_spans_the_labelled_range():
    task = Depth(activation="identity")
    reference = task.alignment_reference(field(1.0, 10.0, 0.0))
    seen = task.alignment_map(inverse_depth(field(1.0, 10.0)), **reference)
    assert seen.flatten().tolist() == pytest.approx([1.0, 0.0], abs=1e-5)


def test_mean_depth_map():
    constant = Depth().constant()
    constant.update(field(2.0, 0.0, 0.0))
    constant.update(field(4.0, 6.0, 0.0))
    # pixel means 3 and 6; the third was never labelled: overall mean (2 + 4 + 6) / 3
    assert constant.predict(field(0.0, 0.0, 0.0)).flatten().tolist() == [3.0, 6.0, 4.0]


def test_colour_scale_is_shared_when_given():
    task = Depth()
    a = task.colorize(field(2.0, 9.0)[0], low=1.0, high=80.0)
    b = task.colorize(field(2.0, 70.0)[0], low=1.0, high=80.0)
    assert a[:, 0, 0].equal(b[:, 0, 0])
    near, far = task.colorize(field(1.0, 80.0)[0], low=1.0, high=80.0)[:, 0].float().sum(0)
    assert near > far


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "l2"}, "`loss` is 'l2'"),
        ({"near": 5, "far": 2}, "0 < near < far"),
        ({"canonical_focal": -1}, "`canonical_focal` is -1"),
        ({"activation": "exp"}, "`activation` is 'exp'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(Exception, match=message):
        Depth(**options)


def test_the_range_is_that_of_the_camera_not_of_the_canonical_focal():
    """120 m at focal 100 are 60 m at focal 50, which a far of 80 allows; 0.5 m are 2 m at 400."""
    task = Depth(canonical_focal=100, near=1, far=80).with_raw_output()
    assert task.decode(inverse_depth(field(120.0)), camera(50)).item() == pytest.approx(60.0)
    assert task.decode(inverse_depth(field(0.5)), camera(400)).item() == pytest.approx(2.0)
    assert task.decode(inverse_depth(field(60.0)), camera(400)).item() == 80.0
