"""Promises of every declared target, and the rule under which a key is found."""

import pickle
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch

from crosstask.tasks import (
    Depth,
    HumanParts,
    Normals,
    Segmentation,
    Target,
    Task,
    declare,
    declared,
)
from crosstask.tasks.target import declared_by, mirror_vectors
from fakes.own_tasks import ALBEDO, FLOW, Height

KEYS = (
    "segmentation",
    "human_parts",
    "depth",
    "normals",
    "edges",
    "saliency",
    "own_albedo",
    "own_flow",
    "own_height",
)


def example(target: Target, size: tuple[int, int] = (6, 10)) -> torch.Tensor:
    """A legal map with holes, or at least one of the right type."""
    shape = target.void_map(size).shape
    value = torch.rand(shape)
    if target == Normals.target:
        value = torch.nn.functional.normalize(value - 0.5, dim=0)
    elif target.check is not None and target.check(value.to(target.dtype)) is not None:
        value = value.round()
    hole = torch.rand(size) < 0.3
    return torch.where(hole, target.void, value).to(target.dtype)


@pytest.mark.parametrize("key", KEYS)
class TestEveryTarget:
    def test_a_void_map_is_legal_and_void(self, key: str) -> None:
        target = declared()[key]
        void = target.void_map((4, 6))
        assert target.fits(tuple(void.shape))
        assert void.dtype == target.dtype
        assert bool(target.void_mask(void).all())
        assert target.check is None or target.check(void) is None

    @pytest.mark.parametrize("axis", [-1, -2])
    def test_mirroring_twice_is_the_identity_and_holes_move_along(
        self, key: str, axis: int
    ) -> None:
        target = declared()[key]
        value = example(target)
        mirrored = target.mirror(value, axis)
        assert target.mirror(mirrored, axis).equal(value)
        assert target.void_mask(mirrored).equal(target.void_mask(value).flip(axis))
        assert target.check is None or target.check(mirrored) is None

    def test_a_mirror_takes_batches_too(self, key: str) -> None:
        target = declared()[key]
        one, two = example(target), example(target)
        both = target.mirror(torch.stack([one, two]), -1)
        assert both.equal(torch.stack([target.mirror(one, -1), target.mirror(two, -1)]))

    @pytest.mark.parametrize("size", [(3, 5), (12, 20), (7, 4)])
    def test_resizing_keeps_type_and_holes(self, key: str, size: tuple[int, int]) -> None:
        target = declared()[key]
        small = target.resize(example(target), size)
        assert small.shape == target.void_map(size).shape
        assert small.dtype == target.dtype
        assert target.check is None or target.check(small) is None
        void = target.resize(target.void_map((6, 10)), size)
        assert bool(target.void_mask(void).all())

    def test_is_a_value(self, key: str) -> None:
        target = declared()[key]
        assert pickle.loads(pickle.dumps(target)) == target
        assert len({target, replace(target)}) == 1

    def test_bytes_stay_bytes_only_where_nothing_is_lost(self, key: str) -> None:
        target = declared()[key]
        stored = torch.zeros(target.void_map((4, 6)).shape, dtype=torch.uint8)
        kept = target.prepared(stored).dtype
        assert kept == (torch.uint8 if key in ("segmentation", "human_parts") else target.dtype)


def test_mirrors_by_hand() -> None:
    vector = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    assert mirror_vectors(vector, -1).flatten().tolist() == [-1, 2, 3]
    assert mirror_vectors(vector, -2).flatten().tolist() == [1, -2, 3]
    assert vector.flatten().tolist() == [1, 2, 3]
    flow = torch.tensor([[[4.0, 1000]], [[6.0, 1000]]])  # one vector, one hole
    assert FLOW.mirror(flow, -1).tolist() == [[[1000, -4.0]], [[1000, 6.0]]]
    assert FLOW.resize(flow, (2, 1))[:, 0].tolist() in ([[2.0], [12.0]], [[1000.0], [1000.0]])


def test_a_class_declares_its_target_under_its_name() -> None:
    assert declared()["own_height"] is Depth.target
    assert declared()["human_parts"] == HumanParts.target != Segmentation.target
    assert declared_by("depth") is Depth and declared_by("own_height") is Height
    assert declared_by("own_albedo") is None

    @dataclass(frozen=True, kw_only=True)
    class Warmth(Depth):
        name: str = field(default="warmth")
        target: ClassVar[Target] = Target(channels=2, void=-300, unit="degrees Celsius")

    assert declared()["warmth"].channels == 2
    assert Warmth.__new__(Warmth).void == -300

    class Quiet(Depth):
        """Neither a name nor a target of its own: nothing to declare."""

    assert declared_by("depth") is Depth and Quiet.target is Depth.target


def make(unit: str) -> type:
    class Anew(Depth):
        name: str = "anew"
        target: ClassVar[Target] = Target(channels=1, void=0, unit=unit)

    return Anew


def test_a_notebook_cell_may_run_again() -> None:
    make("one")
    make("two")
    assert declared()["anew"].unit == "two"
    declare("anew", declared()["anew"])
    assert isinstance(declared_by("anew"), type)


def test_a_key_means_one_kind() -> None:
    with pytest.raises(ValueError, match=r"'depth'.*tasks.depth.Depth declared"):
        declare("depth", ALBEDO)
    with pytest.raises(ValueError, match=r"'own_albedo'.*another call declared"):
        declare("own_albedo", FLOW)
    with pytest.raises(ValueError, match=r"'normals'.*another `name`"):

        class Mine(Depth):
            name: str = "normals"

    with pytest.raises(ValueError, match="`name` is 'depth', the key of another kind"):
        Segmentation(5, name="depth")
    declare("own_albedo", ALBEDO)  # the same again is no news
    for key in ("image", "poses", "source", "two words"):
        with pytest.raises(ValueError, match=f"`key` is '{key}'"):
            declare(key, ALBEDO)
    assert declared()["depth"] is Depth.target and declared()["normals"] is Normals.target


def test_a_copy_of_a_file_declares_the_same() -> None:
    """Two runs may bring their copies of one own file into one process."""
    text = (
        "from crosstask.tasks import Depth, Target\n"
        "class Copied(Depth):\n"
        "    name: str = 'copied'\n"
        "    def mirror(value, axis): return value.flip(axis) {sign} 0\n"
        "    target = Target(channels=1, void=0, unit='x', mirror=mirror)\n"
    )
    for place in ("first", "second"):
        exec(compile(text.format(sign="+"), place, "exec"), {"__name__": place})
    with pytest.raises(ValueError, match=r"'copied', which first\.Copied declared"):
        exec(compile(text.format(sign="-"), "third", "exec"), {"__name__": "third"})


def test_declarations_are_read_only() -> None:
    with pytest.raises(TypeError):
        declared()["own_albedo"] = FLOW  # type: ignore[index]


def test_a_task_without_a_target_says_so() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Bare(Task):
        name: str = "bare"

    Bare.__abstractmethods__ = frozenset()
    with pytest.raises(ValueError, match="`Bare` has no `target`"):
        Bare()
    with pytest.raises(ValueError, match=r"`Old\.void` is set; say it in `target"):

        class Old(Depth):
            void: ClassVar[float] = -1


@pytest.mark.parametrize(
    ("rule", "function"),
    [
        ("mirror", mirror_vectors),
        ("resize", lambda value, size: torch.zeros(2, *size)),
    ],
)
def test_a_rule_that_makes_labels_of_holes_is_refused(rule: str, function: object) -> None:
    with pytest.raises(ValueError, match=f"`{rule}` of the target 'careless' changes pixels"):
        declare("careless", replace(FLOW, **{rule: function}))
    assert "careless" not in declared()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": -1}, "`channels` is -1"),
        ({"void": float("nan")}, "`void` is nan"),
        ({"void": float("inf")}, "`void` is inf"),
        ({"void": 0.5, "dtype": torch.int64}, "`void` is 0.5; expected a whole number"),
        ({"void": -1, "dtype": torch.uint8}, "`void` is -1; expected a whole number"),
    ],
)
def test_wrong_declarations(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Target(**({"channels": 1, "void": 0, "unit": "x"} | change))
