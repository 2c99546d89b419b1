"""The data of an experiment: what is trained on, what chooses the checkpoint, what is reported."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import fakes.bsds500
import fakes.camvid
import fakes.sevenscenes
from crosstask.data.combine.skip import SkipBad
from crosstask.recipes.catalogue import find_recipe

TINY = {"encoder": "resnet10t", "pretrained": False, "width": 0.0625, "workers": 0}


def names(data: Any) -> list[str]:
    return [data.frame_name(index) for index in range(len(data))]


def check_shares(recipe: str, **options: Any) -> Any:
    """The held-out frames are training frames, never trained on; what is reported stays."""
    whole = find_recipe(recipe)(**TINY, **options)
    held = find_recipe(recipe)(**TINY, **options, select="best")
    train, selection = names(held.train_data()), names(held.val_data())
    assert train and selection and not {*train} & {*selection}
    assert Counter(train + selection) == Counter(names(whole.train_data()))
    assert names(held.scored_data()) == names(whole.val_data()) == names(whole.scored_data())
    assert names(held.val_data()) == selection  # the same frames each time
    sample, validated = held.val_data()[0], held.scored_data()[0]
    assert sample["image"].shape == validated["image"].shape  # no random crop
    return held


def test_a_tenth_of_the_training_split_chooses(tmp_path: Path) -> None:
    root = fakes.camvid.write(tmp_path, train=12, val=2)
    held = check_shares("camvid.supervised", root=str(root), size="32x32")
    assert len(held.val_data()) == 2 and len(held.train_data()) == 10
    skipping = find_recipe("camvid.supervised")(
        **TINY, root=str(root), size="32x32", select="best", skip_bad=True
    )
    data = skipping.train_data()
    assert isinstance(data, SkipBad) and names(data) == names(held.train_data())
    assert len(data.skipped) == 0 and data[len(data) - 1]["image"].shape[-1] == 32


def test_of_a_mixture_every_part_gives(tmp_path: Path) -> None:
    fakes.camvid.write(tmp_path / "camvid", train=12)
    fakes.sevenscenes.write(tmp_path / "sevenscenes")
    fakes.bsds500.write(tmp_path / "bsds500")
    held = check_shares("real3.supervised", root=str(tmp_path), size="32x32")
    order = held.train_data().sampling_order(0, torch.Generator().manual_seed(0))
    assert len(order) == len(held.train_data()) and max(order) < len(held.train_data())


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    root = fakes.camvid.write(tmp_path, train=1)
    made = find_recipe("camvid.supervised")(**TINY, root=str(root), size="32x32", select="best")
    with pytest.raises(ValueError, match="has 1 frames, too few to hold a tenth"):
        made.train_data()


def test_streets_select_on_val_and_report_test() -> None:
    options = {**TINY, "size": "32x64", "train_length": 3, "val_length": 2}
    for given, reported in (
        ({}, ["val/00000000", "val/00000001"]),
        ({"test_length": 1}, ["test/00000000"]),
        ({"test_length": 1, "select": "best"}, ["test/00000000"]),
    ):
        made = find_recipe("procedural.supervised")(**options, **given)
        assert names(made.scored_data()) == reported
        assert [name[:3] for name in names(made.val_data())] == ["val"] * 2
        assert len(made.train_data()) == 3
    made = find_recipe("procedural.supervised")(**options, select="best")
    assert len(made.scored_data()) == 500
    with pytest.raises(ValueError, match="no labels of the target"):
        find_recipe("procedural.adaptation")(**options, select="best")


@pytest.mark.parametrize("recipe", ["procedural.supervised", "procedural.adaptation"])
def test_scenes_follow_the_seed_where_asked(recipe: str) -> None:
    options = {**TINY, "size": "32x64", "train_length": 1, "val_length": 1, "test_length": 1}
    options |= {"tasks": "segmentation", "architecture": "single_task_matched"}

    def images(seed: int, scenes: Any) -> list[Any]:
        made = find_recipe(recipe)(**options, seed=seed, scene_seed=scenes)
        data = (made.train_data(), made.val_data(), made.scored_data())
        return [d[0]["image"] for d in data]

    of = {key: images(*key) for key in ((0, 0), (1, 0), (0, "seed"), (1, "seed"), (0, 1))}
    for split in range(3):
        same = lambda a, b: bool((of[a][split] == of[b][split]).all())  # noqa: B023, E731
        assert same((0, 0), (1, 0)) and same((0, 0), (0, "seed")) and same((0, 1), (1, "seed"))
        assert not same((0, 0), (0, 1))


def test_training_labels_may_be_fewer_and_displaced_and_those_that_score_stay() -> None:
    options = {**TINY, "size": "32x64", "train_length": 60, "val_length": 60, "labelled": 0.25}
    made = find_recipe("procedural.supervised")(**options, label_shift=2)
    data, val = made.train_data(), made.val_data()
    hidden = [data._unlabelled[task.name] for task in made.tasks]
    assert all(30 < len(names) < 58 for names in hidden)  # 45 of 60, drawn for each task by itself
    assert len({*hidden}) == len(made.tasks) == 4
    assert data.label_shift == 2 and data.describe()["label_shift"] == 2
    assert not val._unlabelled and val.label_shift == 0
