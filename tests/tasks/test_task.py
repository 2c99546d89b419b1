"""Promises that every task keeps."""

import copy
import json
import pickle
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from crosstask.tasks import (
    ClassTable,
    Depth,
    Edges,
    HumanParts,
    Normals,
    Saliency,
    Segmentation,
    Task,
    from_spec,
    paper_weights,
)

STREETS = ClassTable(("road", "car", "sky"), ((128, 64, 128), (0, 0, 142), (70, 130, 180)))
TASKS = [
    Segmentation(5),
    Segmentation(STREETS, name="second"),
    Depth(),
    Depth("l1", far=10),
    Depth(canonical_focal=100, berhu_threshold=5.0, activation="identity"),
    Depth(protocol="released"),
    Normals(),
    Normals(protocol="released"),
    Edges(),
    Edges(logits=1, positive_weight=0.8),
    HumanParts(),
    Saliency(),
    Saliency(logits=2, positive_weight=0.7),
]
CORRECT = [task for task in TASKS if task.protocol == "correct"]


def ids(tasks):
    return [f"{type(t).__name__}-{i}" for i, t in enumerate(tasks)]


def example(task: Task, batch=2, height=9, width=14, void=0.3, seed=0):
    """A target with holes, and the intrinsics of its camera."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, height, width) if task.target.channels == 0 else (batch, 1, height, width)
    hole = torch.rand(shape, generator=generator) < void
    noise = torch.rand(shape, generator=generator)
    if isinstance(task, Segmentation):
        target = (noise * task.channels).long()
    elif isinstance(task, Depth):
        target = 1 + noise * 8
    elif isinstance(task, Normals):
        vector = torch.randn(batch, 3, height, width, generator=generator)
        target = vector / vector.norm(dim=1, keepdim=True)
    else:
        target = (noise < 0.3).float()
    target = torch.where(hole, torch.tensor(task.void).to(target.dtype), target)
    camera = torch.tensor([[120.0, 0, 7], [0, 130.0, 4], [0, 0, 1]]).expand(batch, 3, 3)
    return target, camera


def output_like(task, target, scale=1.0):
    height, width = target.shape[-2:]
    return (scale * torch.randn(len(target), task.channels, height, width)).requires_grad_()


def perfect_output(task, target, camera):
    """The raw output of a network that knows the truth (anything at void pixels)."""
    if isinstance(task, Segmentation):
        hot = torch.nn.functional.one_hot(target.clamp(0, task.channels - 1), task.channels)
        return 20.0 * hot.permute(0, 3, 1, 2)
    if isinstance(task, Depth):
        depth = torch.where(task.valid(target), target, 1.0) / task.focal_factor(camera)
        quantity = 655.36 / (depth + 0.01) if task.objective == "berhu_inverse" else depth
        if task.activation == "identity":
            return quantity
        quantity = quantity / (65.536 if task.objective == "berhu_inverse" else 1)
        return quantity + torch.log(-torch.expm1(-quantity))
    if isinstance(task, Normals):
        return 3 * target
    logit = 40 * (target == 1).float() - 20
    return logit if task.channels == 1 else torch.cat([-logit, logit], 1)


@pytest.mark.parametrize("task", TASKS, ids=ids(TASKS))
class TestEveryTask:
    def test_loss_and_gradient_are_finite_even_for_wild_outputs(self, task):
        target, camera = example(task)
        for scale in (0.0, 1.0, 1e3):
            output = output_like(task, target, scale)
            loss = task.loss(output, target, camera)
            loss.backward()
            assert loss.dtype == torch.float32
            assert loss > 0
            assert torch.isfinite(output.grad).all()

    def test_void_pixels_never_count(self, task):
        target, camera = example(task)
        valid = task.valid(target)
        valid = valid if valid.ndim == 4 else valid[:, None]
        output = output_like(task, target)
        loss = task.loss(output, target, camera)
        loss.backward()
        hidden = ~valid.expand_as(output)
        assert hidden.any()
        assert (output.grad[hidden] == 0).all()
        changed = torch.where(hidden, output + 100, output)
        assert task.loss(changed, target, camera) == loss

    def test_no_label_at_all_gives_zero_with_a_gradient(self, task):
        target, camera = example(task, void=1.1)
        output = output_like(task, target)
        loss = task.loss(output, target, camera)
        loss.backward()
        assert loss == 0
        assert (output.grad == 0).all()
        assert task.normalizer(target) == 0

    def test_terms_are_the_loss_and_its_normalizer(self, task):
        target, camera = example(task)
        output = output_like(task, target)
        total, weight = task.loss_terms(output, target, camera)
        assert torch.allclose(total / weight, task.loss(output, target, camera))
        assert torch.allclose(weight, task.normalizer(target), rtol=1e-5)
        assert weight.shape == total.shape == ()

    def test_loss_adds_up_over_samples(self, task):
        if isinstance(task, Depth) and task.objective == "berhu_inverse":
            task = replace(task, berhu_threshold=3.0)
        if isinstance(task, Saliency):
            task = replace(task, positive_weight=0.6)
        target, camera = example(task, batch=3)
        output = output_like(task, target)
        whole = task.loss_terms(output, target, camera)
        parts = [
            task.loss_terms(output[i : i + 1], target[i : i + 1], camera[i : i + 1])
            for i in range(3)
        ]
        for k in range(2):
            assert torch.allclose(whole[k], sum(part[k] for part in parts), rtol=1e-5)

    def test_coarse_and_half_precision_outputs_give_a_float32_loss(self, task):
        target, camera = example(task)
        output = torch.randn(2, task.channels, 5, 7, dtype=torch.bfloat16, requires_grad=True)
        loss = task.loss(output, target, camera)
        loss.backward()
        assert loss.dtype == torch.float32
        assert output.grad.abs().sum() > 0

    def test_flipping_twice_is_the_identity(self, task):
        target, _ = example(task)
        flipped = task.hflip(target)
        assert not flipped.equal(target)
        assert task.hflip(flipped).equal(target)
        assert task.hflip(task.hflip(target[0])).equal(target[0])

    def test_spec_is_json_and_rebuilds_the_task(self, task):
        spec = json.loads(json.dumps(task.to_spec()))
        assert spec["type"] == type(task).__name__
        assert from_spec(spec) == task

    def test_is_a_value(self, task):
        assert pickle.loads(pickle.dumps(task)) == task == copy.deepcopy(task) == replace(task)
        assert len({task, replace(task)}) == 1
        renamed = replace(task, name="other")
        assert renamed != task
        assert renamed.name == "other"

    def test_alignment_map_is_finite_and_has_the_announced_channels(self, task):
        target, camera = example(task)
        reference = task.alignment_reference(target, camera)
        output = output_like(task, target, 10.0)
        seen = task.alignment_map(output, **reference)
        assert seen.shape == (2, task.alignment_channels, 9, 14)
        assert torch.isfinite(seen).all()
        seen.square().sum().backward()
        assert torch.isfinite(output.grad).all()
        empty = task.alignment_reference(example(task, void=1.1)[0], camera)
        assert torch.isfinite(task.alignment_map(output, **empty)).all()

    def test_colours(self, task):
        target, camera = example(task)
        decoded = task.decode(output_like(task, target), camera)
        for value in (target[0], decoded[0]):
            image = task.colorize(value)
            assert image.shape == (3, 9, 14)
            assert image.dtype == torch.uint8
        valid = task.valid(target)[0].reshape(9, 14)
        grey = torch.tensor([52, 52, 58], dtype=torch.uint8).view(3, 1, 1)
        void = (task.colorize(target[0]) == grey).all(0)
        assert void.equal(~valid)

    def test_initial_bias_fits_the_output(self, task):
        bias = task.initial_bias()
        assert bias is None or len(bias) == task.channels

    def test_metric_does_not_depend_on_the_batching(self, task):
        target, camera = example(task, batch=6)
        output = output_like(task, target).detach()
        whole, parts = task.metric(), task.metric()
        prediction = task.decode(output, camera)
        whole.update(prediction, target)
        for chunk in (slice(0, 1), slice(1, 4), slice(4, 6)):
            parts.update(prediction[chunk], target[chunk])
        first, second = whole.compute(), parts.compute()
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.allclose(value, second[key], rtol=1e-12, equal_nan=True), key

    def test_metric_details_are_json(self, task):
        metric = task.metric()
        target, camera = example(task)
        metric.update(task.decode(output_like(task, target).detach(), camera), target)
        json.dumps(metric.details(), allow_nan=False)

    def test_metrics_without_labels_are_nan_and_no_error(self, task):
        target, camera = example(task, void=1.1)
        if isinstance(task, Normals) and task.protocol == "released":
            return  # the released code counts void pixels
        metric = task.metric()
        metric.update(task.decode(output_like(task, target).detach(), camera), target)
        values = {key: float(value) for key, value in metric.compute().items()}
        assert values[task.headline] != values[task.headline]
        score = task.score(values)
        assert score != score

    def test_constant_predictor_is_scored(self, task):
        target, _ = example(task, batch=4)
        constant = task.constant()
        constant.update(target[:2])
        constant.update(target[2:])
        prediction = constant.predict(target)
        metric = task.metric()
        metric.update(prediction, target)
        values = {key: float(value) for key, value in metric.compute().items()}
        assert 0 <= task.score(values) <= 1
        assert prediction[0].equal(prediction[3])
        other = example(task, height=5, width=21)[0]
        assert constant.predict(other).shape == other.shape
        constant.update(other)
        assert torch.isfinite(task.constant().predict(other).float()).all()


@pytest.mark.parametrize("task", CORRECT, ids=ids(CORRECT))
class TestEveryCorrectTask:
    def test_decode_inverts_the_target(self, task):
        target, camera = example(task)
        decoded = task.decode(perfect_output(task, target, camera), camera)
        valid = task.valid(target).expand_as(target)
        assert torch.allclose(decoded[valid].float(), target[valid].float(), rtol=1e-4, atol=1e-5)

    def test_a_perfect_prediction_scores_perfectly(self, task):
        target, camera = example(task)
        metric = task.metric()
        metric.update(task.decode(perfect_output(task, target, camera), camera), target)
        values = {key: float(value) for key, value in metric.compute().items()}
        assert task.score(values) == pytest.approx(1, abs=1e-5)
        perfect = 1 if task.higher_is_better else 0
        assert values[task.headline] == pytest.approx(perfect, abs=1e-3)

    def test_a_perfect_output_has_almost_no_loss(self, task):
        target, camera = example(task)
        output = perfect_output(task, target, camera).requires_grad_()
        loss = task.loss(output, target, camera)
        loss.backward()
        assert loss < 1e-3
        assert torch.isfinite(output.grad).all()


def test_paper_weights():
    s, d, n, e = Segmentation(3), Depth(), Normals(), Edges()
    assert paper_weights([d]) == {"depth": 1}
    assert paper_weights([s]) == {"segmentation": 1}
    assert paper_weights([s, d]) == {"segmentation": 50, "depth": 1}
    assert paper_weights([s, d, n]) == {"segmentation": 100, "depth": 1, "normals": 100}
    assert paper_weights([e, s, d, n]) == {
        "edges": 50,
        "segmentation": 100,
        "depth": 1,
        "normals": 100,
    }


def test_weights_of_the_wider_family():
    tasks = [Segmentation(21), HumanParts(), Saliency(), Normals(), Edges()]
    weights = {"segmentation": 1, "human_parts": 2, "saliency": 5, "normals": 10, "edges": 50}
    assert paper_weights(tasks) == weights


def test_unknown_specs_say_what_is_known():
    with pytest.raises(ValueError, match="Segmentation"):
        from_spec({"type": "Segmentatoin"})
    with pytest.raises(ValueError, match="`farr` is not an option of Depth"):
        from_spec({"type": "Depth", "farr": 3})


def test_wrong_names_and_protocols():
    with pytest.raises(ValueError, match="`protocol` is 'old'"):
        Normals(protocol="old")
    with pytest.raises(ValueError, match="`name` is 'my depth'"):
        Depth(name="my depth")
    with pytest.raises(ValueError, match="`name` is ''"):
        Edges(name="")


def test_class_tables():
    table = ClassTable.numbered(40)
    assert len(set(table.colors)) == 40
    assert (52, 52, 58) not in table.colors
    with pytest.raises(ValueError, match="'car' twice"):
        ClassTable(("car", "car"))
    with pytest.raises(ValueError, match="2 entries for 1 classes"):
        ClassTable(("car",), ((0, 0, 0), (1, 1, 1)))
    with pytest.raises(ValueError, match="expected 1 to 65534"):
        Segmentation(65_535)
    many = ClassTable.numbered(2000)
    assert len(set(many.colors)) == 2000 and many.colors[:40] == table.colors
    with pytest.raises(ValueError, match="positive number"):
        Segmentation(0)


def test_a_task_of_ones_own_is_found():
    @dataclass(frozen=True, kw_only=True)
    class Curvature(Depth):
        name: str = "curvature"
        headline: ClassVar[str] = "abs_rel"

        def __init__(self, **options):
            super().__init__(**({"name": "curvature"} | options))

    task = Curvature(far=20)
    assert from_spec(task.to_spec()) == task
    assert isinstance(from_spec(task.to_spec()), Curvature)


@pytest.mark.parametrize(
    ("classes", "kind"), [(254, torch.uint8), (255, torch.uint16), (300, torch.uint16)]
)
def test_an_exported_class_index_has_the_bits_that_it_needs(
    classes: int, kind: torch.dtype
) -> None:
    names = tuple(f"c{i}" for i in range(classes))
    colors = tuple((i % 256, i // 256, 0) for i in range(classes))
    task = Segmentation(classes=ClassTable(names=names, colors=colors))
    output = torch.zeros(1, classes, 2, 2)
    output[:, -1] = 9.0
    index = task.decode_in_graph(output)[""]
    assert index.dtype == kind and index.int().unique().tolist() == [classes - 1]
