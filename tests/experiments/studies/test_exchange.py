"""The studies of what an exchange is worth: their cells, and that they run."""

import json
from pathlib import Path

import pytest

from crosstask.cli import main
from crosstask.experiments.comparison.records import allowed_to_vary
from crosstask.experiments.comparison.table import ConflictError, make_table
from crosstask.experiments.studies import Setting, find_study
from crosstask.media.files import write_json
from crosstask.recipes.catalogue import find_recipe
from experiments.comparison.made_up_runs import make_run


def test_one_thing_changes_at_a_time_and_every_cell_has_its_controls() -> None:
    runs = find_study("phase")(Setting(seeds=(0,)))
    cells = {run.row.partition("-")[2] for run in runs}
    assert len(runs) == 4 * len(cells) == 4 * (4 + 3 + 3 + 2)
    base = {"train_length": 1600, "labelled": None, "label_shift": 0, "tasks": "S-D-N-E"}
    for cell in cells:
        rows = [run for run in runs if run.row.partition("-")[2] == cell]
        names = [run.row.partition("-")[0] for run in rows]
        assert names == ["multi_task_matched", "compute_matched", "densemtl", "linear_probe"]
        kept = [{k: v for k, v in r.options.items() if k in (*base, "tasks")} for r in rows]
        assert kept[0] == kept[1] == kept[2] == kept[3]
        asked = base | kept[0] | {"tasks": rows[0].name.split(".")[-2]}
        changed = [key for key in base if asked[key] != base[key]]
        assert len(changed) == (cell != "images=1600"), cell


@pytest.mark.parametrize("name", ["exchange", "phase"])
def test_scenes_are_new_for_each_seed_and_scored_on_five_hundred(name: str) -> None:
    study = find_study(name)
    assert study.defaults["scene_seed"] == "seed" and study.defaults["test_length"] == 500
    assert study.defaults["freeze"] == "encoder" and study.defaults["pretrained"]
    runs = study(Setting(seeds=(0,)))
    find_recipe(runs[0].recipe)  # every default is an option of it
    assert {run.row for run in runs} >= {study.baseline}


def test_the_probe_of_a_frozen_encoder_is_trained_and_compared(tmp_path: Path) -> None:
    rows = "linear_probe,multi_task_matched"
    command = ["study", "exchange", "--quick", "--rows", rows, "--seeds", "1", "--steps", "1"]
    command += ["--output", str(tmp_path), "--quiet", "--accelerator", "cpu"]
    assert main(command) == 0
    table = make_table([tmp_path / "exchange.json"], cost=False, baseline="none")
    settings = {row.name: row.probed for row in table.rows if row.encoder != "-"}
    assert settings["linear_probe"] == settings["multi_task_matched"]


def test_a_quick_run_of_the_phase_is_made_of_its_cell(tmp_path: Path) -> None:
    command = ["study", "phase", "--quick", "--rows", "densemtl-images=100", "--seeds", "1"]
    command += ["--steps", "1", "--output", str(tmp_path), "--quiet", "--accelerator", "cpu"]
    assert main(command) == 0
    assert allowed_to_vary([tmp_path / "phase.json"]) == ("training split",)
    env = json.loads((tmp_path / "densemtl-images=100.S-D-N-E.seed1/env.json").read_text())
    assert env["data"]["train"]["size"] == 100 and env["data"]["train"]["seed"] == 1
    assert env["data"]["val"]["split"] == "test" and env["data"]["val"]["seed"] == 1


def test_a_table_of_the_phase_compares_within_cells(tmp_path: Path) -> None:
    """The cells differ in their training images on purpose; other tables refuse that."""
    gains = {100: 0.06, 1600: 0.02}
    for seed in (0, 1, 2):
        for images, gain in gains.items():
            data = {"source": "procedural", "size": images, "seed": seed}
            more = {"seed": seed, "scene_seed": "seed", "train_length": images}
            for row, architecture, options, extra in (
                ("multi_task_matched", "multi_task_matched", None, 0.0),
                ("compute_matched", "multi_task_matched", {"match": "densemtl"}, 0.01),
                ("densemtl", "densemtl", None, gain + 0.001 * seed),
            ):
                name = f"{row}-images={images}"
                make_run(
                    tmp_path / f"{name}.S-D.seed{seed}",
                    architecture,
                    {"segmentation": 0.5 + extra, "depth": 2.0},
                    options=options,
                    row=name,
                    data=data,
                    **more,
                )
    names = sorted(path.name for path in tmp_path.iterdir())
    listed = {"runs": names, "baseline": "multi_task_matched-images=1600"}
    write_json(tmp_path / "plain.json", listed)
    with pytest.raises(ConflictError, match="training split of seed 0"):
        make_table([tmp_path / "plain.json"], cost=False)
    write_json(
        tmp_path / "phase.json", {**listed, "varies": ["training split", "validation split"]}
    )
    table = make_table([tmp_path / "phase.json"], cost=False)
    found = {table.rows[i].name: v for i, v in table.paired["compute_matched"].items()}
    # half of (0.06 - 0.01) / 0.5 and of (0.02 - 0.01) / 0.5, and 0.1 for the seeds' mean of 0.001
    assert found["densemtl-images=100"].mean == pytest.approx(5.1)
    assert found["densemtl-images=1600"].mean == pytest.approx(1.1)
    assert all(v.adjusted is not None for v in found.values())
