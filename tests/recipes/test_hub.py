"""The recipe on data sets of the library `datasets`; training and resuming are in test_recipes.py."""

from pathlib import Path

import pytest

import fakes.rows
from crosstask.data import DataError
from crosstask.recipes.hub import supervised

TINY = {"encoder": "resnet10t", "pretrained": False, "width": 0.0625, "size": "32x64"}


def test_the_tasks_are_those_of_the_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(fakes.rows.write(tmp_path / "set"))
    made = supervised(root=root, **TINY)
    assert [task.name for task in made.tasks] == ["segmentation", "depth"]
    told = "columns by their names: image=image,segmentation=label,depth=depth,intrinsics=camera"
    assert told in capsys.readouterr().err
    named = supervised(
        root=root, columns="image=image,segmentation=label", classes="a,b,c,d,e,f", **TINY
    )
    assert [task.name for task in named.tasks] == ["segmentation"]
    assert list(named.train_data().columns) == ["image", "segmentation"]
    assert capsys.readouterr().err == ""


def test_a_set_without_labels_or_class_names_says_what_to_do(tmp_path: Path) -> None:
    root = fakes.rows.write(tmp_path / "set")
    with pytest.raises(DataError, match=r"no label of a usual name.*`columns` segmentation=NAME"):
        supervised(root=str(root), columns="image=image", **TINY)
    (root / "classes.txt").unlink()
    for tasks in ("auto", "segmentation"):
        with pytest.raises(DataError, match="names of the classes: give `classes`"):
            supervised(root=str(root), tasks=tasks, **TINY)
