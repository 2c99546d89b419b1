"""Every recipe trains two steps, resumes after an interruption and evaluates, from the command line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fakes.bsds500
import fakes.camvid
import fakes.cityscapes
import fakes.folder
import fakes.nyudv2
import fakes.pascal_context
import fakes.rows
import fakes.sequences
import fakes.sevenscenes
import fakes.synthia
import fakes.vkitti2
from crosstask.cli.parsing import recipe_parser
from crosstask.recipes.building import build_network
from crosstask.recipes.catalogue import RECIPES, find_recipe
from crosstask.recipes.procedural import supervised as procedural
from crosstask.recipes.settings import NetworkSettings
from crosstask.tasks import Depth, Normals

TINY = ["--encoder", "resnet10t", "--no-pretrained", "--width", "0.0625", "--size", "32x64"]
STREETS = ["--train-length", "4", "--val-length", "2"]


def real3(root: Path) -> Path:
    fakes.camvid.write(root / "camvid")
    fakes.sevenscenes.write(root / "sevenscenes")
    fakes.bsds500.write(root / "bsds500")
    return root


def under(name: str, write: Callable[[Path], Any]) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        return ["--root", str(write(folder / name))]

    return arguments


CASES: dict[str, Callable[[Path], list[str]]] = {
    "procedural.supervised": lambda _: STREETS,
    "procedural.partial": lambda _: STREETS,
    "procedural.randomized": lambda _: [
        "--train-length",
        "6",
        "--val-length",
        "3",
        "--rendered",
        "48x96",
    ],
    "bsds500.supervised": under("bsds500", fakes.bsds500.write),
    "camvid.supervised": under("camvid", fakes.camvid.write),
    "cityscapes.supervised": under("cityscapes", fakes.cityscapes.write),
    "nyudv2.supervised": under("nyudv2", fakes.nyudv2.write),
    "pascal_context.supervised": under("pascal", fakes.pascal_context.write),
    "synthia.supervised": under("synthia", fakes.synthia.write),
    "vkitti2.supervised": under("vkitti2", fakes.vkitti2.write),
    "folder.supervised": under("folder", fakes.folder.write),
    "hub.supervised": under("hub", fakes.rows.write),
    "real3.supervised": under("real3", real3),
}


# What every recipe takes on the command line.
SHARED_OPTIONS = (
    "architecture",
    "tasks",
    "encoder",
    "width",
    "size",
    "steps",
    "batch_size",
    "seed",
    "balancing",
    "optimizer",
    "init_from",
)


def test_every_supervised_recipe_is_tested() -> None:
    """Recipes of the other regimes stand in the tests of their regime."""
    supervised = [n for n in RECIPES if n.endswith((".supervised", ".partial", ".randomized"))]
    assert sorted(CASES) == sorted(supervised)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_the_shared_options(name: str) -> None:
    _, parser, options = recipe_parser(name, "train")
    assert [option for option in SHARED_OPTIONS if option not in options] == []
    assert "and scenes" not in " ".join(parser.format_help().split())


def test_another_seed_sees_the_same_scenes() -> None:
    options = {"tasks": "segmentation,depth", "size": "32x64", "width": 0.0625, "train_length": 2}
    first, second = (procedural(seed=seed, **options) for seed in (0, 5))
    assert torch.equal(first.train_data()[1]["image"], second.train_data()[1]["image"])
    a, b = (next(made.regime.network.encoder.parameters()) for made in (first, second))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("name", CASES)
def test_train_resume_evaluate(name: str, tmp_path: Path, round_trip: Any) -> None:
    run = tmp_path / "run"
    round_trip([name, *TINY, *CASES[name](tmp_path)], run)
    assert (run / "panel.png").stat().st_size > 1000


def test_the_family_trains_with_its_own_losses_and_weights() -> None:
    from crosstask.recipes.nyudv2 import supervised

    options = {
        "tasks": "segmentation,depth,normals,edges",
        "encoder": "resnet10t",
        "pretrained": False,
    }
    made = supervised(architecture="sca_mtl", width=0.34, **options)
    assert [t.channels for t in made.tasks] == [40, 1, 3, 1]
    assert made.tasks[1].objective == made.tasks[2].objective == "l1"
    assert made.regime.balancer.weights == {
        "segmentation": 1,
        "depth": 1,
        "normals": 10,
        "edges": 50,
    }
    assert made.regime.levels == "sum"
    dense = supervised(architecture="densemtl", width=0.0625, **options)
    assert dense.regime.balancer.weights == {
        "segmentation": 100,
        "depth": 1,
        "normals": 100,
        "edges": 50,
    }
    assert dense.tasks[1].objective == "berhu_inverse" and dense.regime.levels == "mean"


def test_depth_labels_of_atrc_span_what_the_task_does() -> None:
    atrc = NetworkSettings(architecture="atrc", encoder="resnet10t", pretrained=False, width=0.25)
    outdoors = build_network((Depth(near=1e-3, far=80.0), Normals()), atrc)
    assert outdoors.auxiliary.near == 0.7 and outdoors.auxiliary.far == 80.0
    nearer = replace(atrc, options={"far": 20.0})
    chosen = build_network((Depth(far=80.0), Normals()), nearer)
    assert chosen.auxiliary.far == 20.0


def test_stored_features_views_and_chosen_losses_on_partly_labelled_sets(
    tmp_path: Path, round_trip: Any
) -> None:
    """Three sets, each with one label; stopped, resumed and evaluated like any run."""
    data, run = real3(tmp_path / "real3"), tmp_path / "run"
    stored = [
        "--freeze",
        "encoder",
        "--cache-features",
        str(tmp_path / "features"),
        "--cache-views",
        "2",
    ]
    losses = ["--segmentation-loss", "focal", "--class-weights", "balanced", "--edge-weight", "0.8"]
    sampling = ["--sampling", "sets", "--zoom-min", "0.8", "--zoom-max", "1.2"]
    round_trip(["real3.supervised", *TINY, "--root", str(data), *stored, *losses, *sampling], run)
    assert len(list((tmp_path / "features").glob("*/*.npz"))) >= 2
    tasks = {t["name"]: t for t in json.loads((run / "model.json").read_text())["tasks"]}
    assert tasks["segmentation"]["objective"] == "focal"
    assert len(tasks["segmentation"]["class_weights"]) == 11
    assert tasks["edges"]["positive_weight"] == 0.8
    parts = json.loads((run / "env.json").read_text())["data"]["train"]["parts"]
    assert [part["share"] for part in parts] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("recipe", "task", "rule"),
    [
        ("camvid.supervised", "segmentation", "balanced"),
        ("camvid.supervised", "edges", "none"),
        ("real3.supervised", "segmentation", "balanced"),
        ("real3.supervised", "depth", "none"),
        ("real3.supervised", "normals", "none"),
        ("real3.supervised", "edges", "none"),
        ("bsds500.supervised", "edges", "none"),
    ],
)
def test_each_task_alone_trains_by_default(
    recipe: str, task: str, rule: str, tmp_path: Path
) -> None:
    """Classes are weighed only where there are classes."""
    tiny: dict[str, Any] = {"encoder": "test_resnet", "pretrained": False, "width": 0.1}
    made = find_recipe(recipe)(root=str(tmp_path), tasks=task, architecture="fast", **tiny)
    assert made.class_weights == rule
    unweighted = find_recipe(recipe)(
        root=str(tmp_path), tasks=task, architecture="fast", class_weights="none", **tiny
    )
    assert unweighted.class_weights == "none"


def test_options_that_cannot_apply_are_refused(tmp_path: Path) -> None:
    """Said when the recipe is made, before any data is read."""
    root = {"root": str(tmp_path), "encoder": "resnet10t", "pretrained": False}
    for name, value in (("segmentation_loss", "dice"), ("class_weights", "balanced")):
        with pytest.raises(ValueError, match=f"`{name}` is '{value}', but none of the tasks"):
            find_recipe("camvid.supervised")(tasks="edges", **{name: value}, **root)
    with pytest.raises(ValueError, match=r"`edge_weight` is 0\.5, but none of the tasks"):
        find_recipe("camvid.supervised")(tasks="segmentation", edge_weight=0.5, **root)
    with pytest.raises(ValueError, match="`objective` is 'focl'; expected cross_entropy, focal"):
        find_recipe("camvid.supervised")(segmentation_loss="focl", **root)
    stored = {"freeze": "encoder", "cache_features": str(tmp_path / "features")}
    tiny: dict[str, Any] = {"encoder": "test_resnet", "pretrained": False, "width": 0.1}
    moving = {**tiny, "pose_encoder": "test_resnet"}
    for recipe, options in (
        ("procedural.self_supervised", moving),
        ("procedural.adaptation", tiny),
    ):
        with pytest.raises(ValueError, match="`cache_features` cannot be used here"):
            find_recipe(recipe)(**stored, **options)
    assert not (tmp_path / "features").exists()
