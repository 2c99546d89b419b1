"""Procedural streets as a dataset: what they contain, that they never change, and their options."""

from typing import Any

import pytest
import torch

from crosstask.data import DataError, ProceduralStreets, check_sample
from crosstask.data.datasets.procedural import LENGTHS
from crosstask.data.streets import STREET_CLASSES, Renderer, style_of
from crosstask.data.streets.scene import draw_scenes
from crosstask.data.streets.style import EASY, HARD, Style
from crosstask.data.streets.texture import Atlas, pulse, step

SMALL: dict[str, Any] = {"size": (32, 64), "length": 12}
FOUR = ("segmentation", "depth", "normals", "edges")


def _equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(
        torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key]
        for key, value in a.items()
    )


@pytest.mark.parametrize(
    ("difficulty", "domain"), [("easy", "source"), ("hard", "source"), ("easy", "target")]
)
def test_every_class_is_common_enough(difficulty: Any, domain: Any) -> None:
    renderer = Renderer(style_of(difficulty, domain), (80, 160), antialias=False)
    labels = torch.cat([renderer(torch.arange(20) + first)["segmentation"] for first in (0, 1000)])
    counts = torch.stack(
        [torch.bincount(label.flatten(), minlength=len(STREET_CLASSES)) for label in labels]
    )
    assert len(STREET_CLASSES) >= 12 and counts.shape[1] == len(STREET_CLASSES)
    for name, scenes, share in zip(
        STREET_CLASSES.names,
        (counts > 0).float().mean(0),
        counts.sum(0) / counts.sum(),
        strict=True,
    ):
        assert scenes >= 0.2 and share >= 0.002, (
            f"{name}: in {scenes:.2f} of scenes, {share:.4f} of pixels"
        )


@pytest.mark.parametrize("size", [(16, 16), (33, 70), (64, 48)])
def test_any_size_follows_the_contract(size: tuple[int, int]) -> None:
    data = ProceduralStreets("val", (*FOUR, "neighbours", "poses"), size=size, length=2)
    sample = data[1]
    check_sample(sample, (*FOUR, "neighbours", "poses"))
    assert sample["image"].shape == (3, *size) and sample["neighbours"].shape == (2, 3, *size)
    assert sample["name"] == "val/00000001" and sample["source"] == "procedural"
    assert torch.equal((sample["image"] * 255).round() / 255, sample["image"])


def test_a_frame_depends_on_seed_and_index_alone() -> None:
    data = ProceduralStreets("train", **SMALL)
    first = data[7]
    torch.manual_seed(99)
    torch.rand(3)
    state = torch.get_rng_state()
    again = ProceduralStreets("train", size=(32, 64), length=8)[7]
    assert torch.equal(torch.get_rng_state(), state)
    assert _equal(first, again)
    batch = data.render_batch([2, 7, 11, 0, 5])
    for key in ("image", *FOUR, "intrinsics"):
        assert torch.equal(batch[key][1], first[key]), key
    assert batch["name"][1] == first["name"]
    assert not torch.equal(ProceduralStreets("train", seed=1, **SMALL)[7]["image"], first["image"])


def test_a_big_batch_is_worked_off_in_parts() -> None:
    renderer = Renderer(style_of("easy"), (128, 256), antialias=False)
    seeds = torch.arange(5)  # more than fits into one part on a CPU
    whole, last = renderer(seeds), renderer(seeds[4:])
    assert torch.equal(whole["image"][4:], last["image"])
    assert torch.equal(whole["depth"][4:], last["depth"])


def test_splits_seeds_and_domains_never_share_a_scene() -> None:
    assert dict(LENGTHS) == {"train": 2000, "val": 64, "test": 100}
    keys: list[int] = []
    for seed in (0, 1):
        for split in ("train", "val", "test"):
            for domain in ("source", "target"):
                data = ProceduralStreets(split, seed=seed, domain=domain, size=(32, 64))
                keys += data.scene_seeds([0, 1, len(data) - 1]).tolist()
    assert len(set(keys)) == len(keys) == 36
    train = ProceduralStreets("train", size=(32, 64)).scene_seeds([2**32 - 1])
    val = ProceduralStreets("val", size=(32, 64)).scene_seeds([0])
    assert train.item() < val.item()


def _intrinsics(style: Style, scenes: int = 300) -> torch.Tensor:
    scene = draw_scenes(torch.arange(scenes), style, (32, 64), torch.zeros(scenes))
    return scene.camera.intrinsics


def test_the_camera_is_off_centre_and_varies_as_the_difficulty_says() -> None:
    easy, hard = _intrinsics(EASY), _intrinsics(HARD)
    middle = 0.9 * 64
    assert ((easy[:, 0, 0] - middle).abs() <= 0.08 * middle).all()
    assert easy[:, 0, 0].std() > 0.02 * middle and torch.equal(easy[:, 0, 0], easy[:, 1, 1])
    assert (easy[:, 0, 2] - 31.5).abs().max() > 1.0 and (easy[:, 1, 2] - 15.5).abs().max() > 1.0
    assert hard[:, 0, 0].std() > 2 * easy[:, 0, 0].std()


def test_the_gap_is_a_dial() -> None:
    source = ProceduralStreets("val", domain="source", **SMALL)
    none = ProceduralStreets("val", domain="target", gap=0.0, **SMALL)
    assert _equal(source[3], none[3])
    # the target's field of view is wider: its focal lengths are 0.72 of the source's
    source_focal = _intrinsics(EASY)[:, 0, 0]
    for gap, ratio in ((0.5, 0.86), (1.0, 0.72)):
        target = style_of("easy", "target", gap)
        focal = _intrinsics(target)[:, 0, 0]
        assert torch.allclose(focal / source_focal, torch.tensor(ratio).double(), atol=1e-3)
        data = ProceduralStreets("val", domain="target", gap=gap, **SMALL)
        assert (data[3]["image"] - source[3]["image"]).abs().mean() > 0.05


def test_labels_can_be_hidden_for_any_share_of_the_frames() -> None:
    options: dict[str, Any] = {"size": (16, 32), "length": 200}
    data = ProceduralStreets("train", hide={"depth": 0.5, "edges": 1.0}, **options)
    full = ProceduralStreets("train", **options)
    batch = data.render_batch(range(24))
    shown = [bool((depth > 0).any()) for depth in batch["depth"]]
    assert 4 <= sum(shown) <= 20 and (batch["edges"] == 255).all()
    index = shown.index(True)
    whole, part, none = full[index], data[index], data[shown.index(False)]
    assert torch.equal(part["depth"], whole["depth"]) and torch.equal(
        part["normals"], whole["normals"]
    )
    assert (none["depth"] == 0).all() and (none["normals"] != 0).any()
    assert 70 <= len(data._unlabelled["depth"]) <= 130


def test_one_label_a_image() -> None:
    data = ProceduralStreets("train", labels_per_image=1, size=(16, 32), length=400)
    voids = {"segmentation": 255, "depth": 0, "normals": 0, "edges": 255}
    for index in range(4):
        sample = data[index]
        assert sum(bool((sample[name] != voids[name]).any()) for name in FOUR) == 1
    kept = [400 - len(data._unlabelled[name]) for name in FOUR]
    assert sum(kept) == 400 and min(kept) > 60  # each of the four about 100 times


def test_batches_are_an_endless_stream_that_can_be_entered_anywhere() -> None:
    data = ProceduralStreets("train", ("depth",), size=(16, 32), length=6)
    stream = data.batches(4, seed=3)
    first, second, third = (next(stream) for _ in range(3))
    assert sorted(first["name"] + second["name"][:2]) == sorted(frame.name for frame in data.frames)
    late = next(data.batches(4, seed=3, start=2))
    assert late["name"] == third["name"] and torch.equal(late["image"], third["image"])


def test_the_record_names_version_and_options() -> None:
    record = ProceduralStreets("val", difficulty="hard", hide={"depth": 0.25}, **SMALL).describe()
    assert record["source"] == "procedural" and record["split"] == "val" and record["size"] == 12
    assert (
        record["version"] and record["difficulty"] == "hard" and record["hide"] == {"depth": 0.25}
    )
    assert record["image_size"] == [32, 64] and record["seed"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "training"}, "train, val, test"),
        ({"modalities": ("saliency",)}, "can never have"),
        ({"difficulty": "medium"}, "expected 'easy' or 'hard'"),
        ({"domain": "real"}, "expected 'source' or 'target'"),
        ({"gap": 2.0}, "`gap` is 2.0"),
        ({"size": (8, 64)}, "at least 16"),
        ({"length": 0}, "`length` is 0"),
        ({"seed": -1}, "`seed` is -1"),
        ({"hide": {"depth": 1.5}}, "`hide` has 'depth': 1.5"),
        ({"hide": {"saliency": 0.5}}, "`hide` has 'saliency'"),
        ({"labels_per_image": 5}, "`labels_per_image` is 5"),
    ],
)
def test_wrong_options_say_what_to_do(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ProceduralStreets(**({"split": "val", "size": (32, 64)} | options))
    assert issubclass(DataError, ValueError)


def test_stripes_are_averaged_over_the_footprint() -> None:
    position, duty = torch.tensor([0.1, 0.3, 0.6, 7.25]), torch.tensor(0.25)
    sharp = pulse(position, duty, torch.tensor(1e-3))
    assert torch.allclose(sharp, torch.tensor([1.0, 0.0, 0.0, 0.5]), atol=1e-2)
    assert torch.allclose(pulse(position, duty, torch.tensor(2.0)), duty.expand(4), atol=1e-5)
    # half a period wide around 0.25: [0, 0.5) holds a quarter of a period of paint, half of it
    assert pulse(torch.tensor([0.25]), duty, torch.tensor(0.5)).item() == pytest.approx(
        0.5, abs=1e-5
    )
    assert step(torch.tensor([-1.0, 0.0, 0.1, 1.0]), torch.tensor(0.4)).tolist() == pytest.approx(
        [0, 0.5, 0.75, 1]
    )


def test_texture_fades_with_the_footprint() -> None:
    atlas = Atlas("cpu")
    u, v = torch.rand(2, 4000)
    spread = [
        atlas.sample(u, v, torch.full_like(u, width)).std(0) for width in (1 / 512, 1 / 16, 1.0)
    ]
    assert (spread[0][:3] > 0.6).all()  # about unit spread where it is sharp
    assert (spread[1][0] < 0.5 * spread[0][0]) and (spread[2] < 0.05).all()
    assert atlas.sample(u, v, torch.full_like(u, 1.0)).mean(0).abs().max() < 0.1


def test_shifted_labels_are_the_true_ones_somewhere_near() -> None:
    """Every target by itself, void where nothing is left; images and other frames' draws differ."""
    options: dict[str, Any] = {"size": (32, 64), "length": 6}
    plain, moved = (ProceduralStreets("train", label_shift=n, **options) for n in (0, 3))
    moves = set()
    for index in range(6):
        truth, found = plain[index], moved[index]
        assert torch.equal(truth["image"], found["image"])
        for name in ("segmentation", "depth"):
            a, b, void = truth[name], found[name], moved.targets[name].void
            fits = [
                (y, x)
                for y in range(-3, 4)
                for x in range(-3, 4)
                if torch.equal(
                    a[..., max(-y, 0) : 32 - max(y, 0), max(-x, 0) : 64 - max(x, 0)],
                    b[..., max(y, 0) : 32 - max(-y, 0), max(x, 0) : 64 - max(-x, 0)],
                )
            ]
            assert fits, name
            y, x = fits[0]
            if y > 0:
                assert (b[..., :y, :] == void).all()
            moves.add((name, y, x))
    assert len(moves) > 6
    batch = moved.render_batch([2, 4])
    assert torch.equal(batch["depth"][1], moved[4]["depth"])
    with pytest.raises(DataError, match="`label_shift` is 32"):
        ProceduralStreets("train", label_shift=32, **options)
