"""Grids of runs: what is in them, and how they are carried out."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.cli import main
from crosstask.engine.runs import Run, RunError, read_json
from crosstask.experiments.studies import STUDIES, Setting, find_study
from crosstask.experiments.studies.planning import (
    ELSEWHERE,
    FINISHED,
    OPEN,
    PARTLY,
    PlannedRun,
    listing,
    plan,
    write_list,
)
from crosstask.experiments.studies.running import run_study
from crosstask.experiments.studies.study import StudyRun, letters
from crosstask.media.files import write_json
from crosstask.models import create_model, list_models

CHANNELS = {"segmentation": 5, "depth": 1, "normals": 3, "edges": 1}
SETTING = Setting(seeds=(0, 1), size=(32, 64))


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_has_a_place_of_its_own_and_every_seed(name: str) -> None:
    runs = find_study(name)(SETTING)
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    assert [r.seed for r in runs] == sorted(r.seed for r in runs)  # seed by seed
    half = len(runs) // 2
    assert [r.row for r in runs[:half]] == [r.row for r in runs[half:]]
    if name in ("table5", "phase"):  # IoU per class, no gains; gains over no exchange
        return
    for task in {task for run in runs for task in run.tasks}:
        alone = [r for r in runs if r.options["architecture"] == "single_task"]
        assert any(r.tasks == (task,) for r in alone), "delta needs its baseline"


def test_every_network_of_every_study_can_be_built() -> None:
    largest: dict[str, StudyRun] = {}
    for study in STUDIES.values():
        for run in study(Setting(seeds=(0,), size=(32, 64))):
            key = f"{run.options['architecture']} {run.options.get('options')}"
            if key not in largest or len(run.tasks) > len(largest[key].tasks):
                largest[key] = run
    assert len(largest) > 30
    for run in largest.values():
        architecture = str(run.options["architecture"])
        assert architecture in list_models()
        options: dict[str, Any] = dict(run.options.get("options", {}))
        tasks = {task: CHANNELS[task] for task in run.tasks}
        with torch.device("meta"):
            model = create_model(
                architecture, tasks, "resnet10t", pretrained=False, width=0.125, **options
            )
        assert [name for name, _ in model.spec["tasks"]] == list(run.tasks)


def test_table3_has_every_position_and_the_row_without_a_block() -> None:
    rows = [r for r in find_study("table3")(Setting(seeds=(0,))) if len(r.tasks) == 3]
    levels = [r.options.get("options", {}).get("levels") for r in rows]
    assert [x for x in levels if x] == [[4], [3], [2], [2, 1], [3, 2, 1], [4, 3, 2, 1]]
    assert [r.row for r in rows if r.row in ("densemtl", "multi_task_matched", "compute_matched")]


def test_the_compute_matched_control_is_fitted_to_the_size_of_the_study() -> None:
    run = next(r for r in find_study("architectures")(SETTING) if r.row == "compute_matched")
    assert run.options["options"] == {"match": "densemtl", "match_size": [32, 64]}


def test_unknown_study_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean table1"):
        find_study("tabel1")


def test_letters() -> None:
    assert letters(("segmentation", "depth", "normals", "edges")) == "S-D-N-E"


def planned(folder: Path, seeds: tuple[int, ...] = (0, 1), **defaults: Any) -> list[PlannedRun]:
    runs = [
        StudyRun(
            row="densemtl",
            recipe="r",
            options={"architecture": "densemtl", "tasks": "segmentation,depth"},
            seed=seed,
        )
        for seed in seeds
    ]
    options = {"architecture": "", "tasks": "", "seed": 0, "steps": 5, "workers": 1, **defaults}
    return plan(runs, folder, lambda recipe: options)


def finish(item: PlannedRun, resume: bool = False) -> None:
    with item.place.lock():
        item.place.write_config(item.config)
        write_json(item.place.path / "metrics.json", {"score": 0.5})


def test_finished_runs_are_not_run_again(tmp_path: Path) -> None:
    done: list[str] = []

    def train(item: PlannedRun, resume: bool) -> None:
        done.append(item.run.name)
        finish(item)

    result = run_study(planned(tmp_path), train, say=lambda text: None)
    assert done == ["densemtl.S-D.seed0", "densemtl.S-D.seed1"] == result[FINISHED]
    run_study(planned(tmp_path, (0, 1, 2), workers=4), train, say=lambda text: None)
    assert done[2:] == ["densemtl.S-D.seed2"]


def test_a_run_with_other_settings_is_not_taken_for_finished(tmp_path: Path) -> None:
    (item,) = planned(tmp_path, (0,))
    finish(item)
    with pytest.raises(RunError, match=r"steps: 5 there, 6 asked"):
        planned(tmp_path, (0,), steps=6)[0].status()


def test_runs_of_another_process_are_left_to_it(tmp_path: Path) -> None:
    first, second = planned(tmp_path)
    seen: list[str] = []

    def train(item: PlannedRun, resume: bool) -> None:
        seen.append(item.run.name)
        finish(item)

    with first.place.lock():
        assert first.status() == ELSEWHERE
        result = run_study([first, second], train, say=lambda text: None)
    assert seen == [second.run.name]
    assert result[ELSEWHERE] == [first.run.name]
    assert first.status() == OPEN


def test_a_run_given_up_elsewhere_is_taken_over(tmp_path: Path) -> None:
    first, second = planned(tmp_path)
    lock = first.place.lock()
    lock.__enter__()

    def train(item: PlannedRun, resume: bool) -> None:
        if item is second:
            lock.__exit__(None, None, None)  # the other process dies meanwhile
        finish(item)

    result = run_study([first, second], train, say=lambda text: None)
    assert len(result[FINISHED]) == 2


def test_a_cut_off_run_is_resumed_or_started_again(tmp_path: Path) -> None:
    first, second = planned(tmp_path)
    for item in (first, second):
        with item.place.lock():
            item.place.write_config(item.config)
        item.place.metrics_file.write_text("step,name,value\n1,train/loss,2")
    first.place.last.parent.mkdir()
    first.place.last.write_bytes(b"checkpoint")
    assert first.status() == second.status() == PARTLY
    how: dict[str, tuple[bool, bool]] = {}

    def train(item: PlannedRun, resume: bool) -> None:
        how[item.run.name] = (resume, item.place.metrics_file.is_file())
        finish(item)

    run_study([first, second], train, say=lambda text: None)
    assert how == {first.run.name: (True, True), second.run.name: (False, False)}


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, TypeError, KeyError, AssertionError])
def test_one_failure_does_not_stop_the_others(tmp_path: Path, kind: type[Exception]) -> None:
    first, second = planned(tmp_path)
    said: list[str] = []

    def train(item: PlannedRun, resume: bool) -> None:
        if item is first:
            raise kind("the encoder has no stride 4")
        finish(item)

    result = run_study([first, second], train, say=said.append)
    assert result["failed"] == [first.run.name] and result[FINISHED] == [second.run.name]
    assert any("no stride 4" in line for line in said)
    assert "no stride 4" in (first.place.path / "error.txt").read_text()


def test_a_keyboard_interrupt_stops_the_study(tmp_path: Path) -> None:
    def train(item: PlannedRun, resume: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(planned(tmp_path), train, say=lambda text: None)


def test_nothing_is_trained_beside_a_damaged_or_different_run(tmp_path: Path) -> None:
    first, second = planned(tmp_path)

    def train(item: PlannedRun, resume: bool) -> None:
        raise AssertionError("trained")

    finish(second)
    (second.place.path / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match=r"metrics\.json is damaged"):
        run_study([first, second], train)
    second.place.write_config({**second.config, "steps": 6})
    with pytest.raises(RunError, match="other settings"):
        run_study([first, second], train)


def test_a_run_damaged_by_another_process_does_not_stop_the_others(tmp_path: Path) -> None:
    first, second = planned(tmp_path)

    def train(item: PlannedRun, resume: bool) -> None:
        finish(item)
        if item is first:
            second.place.path.mkdir()
            second.place.config_file.write_text("")

    said: list[str] = []
    result = run_study([first, second], train, say=said.append)
    assert result[FINISHED] == [first.run.name] and result["failed"] == [second.run.name]
    assert any("config.yaml is damaged" in line for line in said)


def test_a_run_that_another_process_takes_meanwhile_keeps_its_curves(tmp_path: Path) -> None:
    (item,) = planned(tmp_path, (0,))
    lock = item.place.lock()

    def say(text: str) -> None:
        """Between the look at the directory and its preparation."""
        if text.startswith("[1/1]"):
            lock.__enter__()
            item.place.metrics_file.write_text("step,name,value\n")

    def train(item: PlannedRun, resume: bool) -> None:
        raise AssertionError("trained")

    result = run_study([item], train, say=say)
    assert result[ELSEWHERE] == [item.run.name] and not result["failed"]
    assert item.place.metrics_file.is_file()
    lock.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("study", "dataset"), [("table1", "camvid"), ("table4a", "pascal_context")]
)
def test_tasks_that_a_dataset_lacks_are_named_when_planning(
    tmp_path: Path, study: str, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", study, "--dataset", dataset, "--output", str(tmp_path / "o"), "--list"]
    assert main(command) == 2
    told = capsys.readouterr()
    assert "unknown task 'depth'" in told.err and "densemtl" in told.err and not told.out
    assert not (tmp_path / "o").exists()


def test_tasks_in_place_of_the_studys_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["--rows", "fast-s,fast-s-apart,linear_probe", "--seeds", "0", "--list"]
    command = ["study", "fast", "--dataset", "camvid", *rows, "--output", str(tmp_path)]
    assert main([*command, "--tasks", "edges,segmentation"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [
        "fast-s-apart.E.seed0",
        "fast-s-apart.S.seed0",
        "fast-s.E-S.seed0",
        "linear_probe.E-S.seed0",
    ]
    file = tmp_path / "options.yaml"
    file.write_text("tasks: segmentation\n")
    assert main([*command, "--config", str(file)]) == 0
    assert "fast-s.S.seed0" in capsys.readouterr().out
    for tasks, told in {"": "names none", "edges,edges": "twice", "depth": "--tasks a,b"}.items():
        assert main([*command, "--tasks", tasks]) == 2
        assert told in capsys.readouterr().err
    assert main([*command[:-1], "x", "--tasks", "edges", "--seeds", "1,1"]) == 2
    assert "`seeds` names 1 twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("study", "dataset"),
    [*((name, "procedural") for name in STUDIES), ("table2", "nyudv2"), ("table5", "cityscapes")],
)
def test_every_study_can_be_planned_without_the_data(
    study: str, dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", study, "--dataset", dataset, "--output", str(tmp_path), "--list"]
    assert main(command) == 0, capsys.readouterr().err
    assert "not started" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("study", "options", "refused"),
    [
        ("table4a", ["--architecture", "padnet"], "architecture"),
        ("table4a", ["--seed", "0"], "seed"),  # the default, but three seeds would run
        ("table6", ["--method", "oracle"], "method"),
    ],
)
def test_options_that_a_study_sets_are_refused(
    study: str, options: list[str], refused: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", study, *options, "--list"]) == 2
    told = capsys.readouterr().err
    assert f"`--{refused}` is set by every row" in told and "--rows" in told and "--seeds" in told


def test_options_of_a_file_that_a_study_sets_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("steps: 7\n")
    command = ["study", "table4a", "--config", str(file), "--list", "--output", str(tmp_path)]
    assert main(command) == 0
    file.write_text("architecture: padnet\n")
    assert main(command) == 2
    assert "`--architecture` is set by every row" in capsys.readouterr().err


def test_options_of_a_study_that_the_recipe_lacks_are_an_error(tmp_path: Path) -> None:
    run = StudyRun(row="a", recipe="r", options={"tasks": "depth", "balancing": "mgda"})
    with pytest.raises(ValueError, match="recipe r has no option 'balancing'"):
        plan([run], tmp_path, lambda recipe: {"tasks": "", "seed": 0})


def test_the_list_of_a_study_is_what_table_reads(tmp_path: Path) -> None:
    from crosstask.experiments.comparison.records import find_runs

    items = planned(tmp_path)
    for item in items:
        finish(item)
    (tmp_path / "other").mkdir()
    Run(tmp_path / "other").write_config({})
    write_json(tmp_path / "other" / "metrics.json", {})
    write_list(tmp_path / "table1.json", "table1", items)
    assert find_runs([tmp_path / "table1.json"]) == [item.place.path for item in items]


def test_two_calls_at_once_with_other_rows_list_the_runs_of_both(tmp_path: Path) -> None:
    items = planned(tmp_path)
    path = tmp_path / "table1.json"
    with listing(path, "table1", items[:1]):
        write_list(path, "table1", items[1:])  # by the other: the first's folders are not there yet
        for item in items:
            item.place.path.mkdir(parents=True, exist_ok=True)
    assert set(read_json(path)["runs"]) == {item.place.path.name for item in items}


def test_a_later_call_with_other_rows_or_seeds_adds_to_the_list(tmp_path: Path) -> None:
    from crosstask.experiments.comparison.records import find_runs

    items = planned(tmp_path)
    for item in items:
        finish(item)
    write_list(tmp_path / "table1.json", "table1", items[:1], "none")
    write_list(tmp_path / "table1.json", "table1", items[1:], "none")
    assert find_runs([tmp_path / "table1.json"]) == [item.place.path for item in items]
    shutil.rmtree(items[0].place.path)  # a run that was thrown away is not missed
    write_list(tmp_path / "table1.json", "table1", items[1:], "none")
    assert read_json(tmp_path / "table1.json")["runs"] == [i.place.path.name for i in items[1:]]
