"""A number is measured against what it is comparable with, or not at all."""

import math
from pathlib import Path
from typing import Any

import pytest

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.cells import cells
from crosstask.experiments.comparison.latex import to_latex
from crosstask.experiments.comparison.plot import plot
from crosstask.experiments.comparison.sections import against, gap_closed
from crosstask.experiments.comparison.statistics import Interval, adjusted, paired
from crosstask.experiments.comparison.table import ComparisonTable, make_table
from experiments.comparison.made_up_runs import make_run

S, D, N, E = "segmentation", "depth", "normals", "edges"


def run(path: Path, name: str, values: dict[str, float], **config: Any) -> Path:
    return make_run(path, name, values, **config)


def gains(table: ComparisonTable) -> dict[tuple[str, str], dict[str, list[float]]]:
    """{(row, its tasks): {column: percent of each seed}}."""
    return {
        (row.name, table.set_of(row)): {k: list(v.values()) for k, v in row.deltas.items()}
        for row in table.rows
    }


def test_networks_of_other_task_sets_are_never_joined_into_a_baseline(tmp_path: Path) -> None:
    """Whatever the order of the paths: no row of the baseline has all three tasks, so nor has a gain."""
    paths = [
        run(tmp_path / "a", "densemtl", {S: 0.5, D: 2.0}),
        run(tmp_path / "b", "densemtl", {S: 0.25, E: 0.5}),
        run(tmp_path / "c", "multi_task", {S: 0.5, D: 2.0, E: 0.5}),
    ]
    for order in (paths, [paths[1], paths[0], paths[2]]):
        found = gains(make_table(order, baseline="densemtl", cost=False))["multi_task", "S-D-E"]
        assert found == {"S-D": [0.0], "S-E": [pytest.approx(50.0)]}


def test_a_column_has_one_baseline(tmp_path: Path) -> None:
    """S-D of the larger network is measured against the baseline on S-D, as the row above it."""
    for letters, miou, rmse in (("sd", 0.5, 2.0), ("sdn", 0.4, 2.5)):
        more = {N: 20.0} if letters == "sdn" else {}
        run(tmp_path / f"b-{letters}", "densemtl", {S: miou, D: rmse, **more})
        run(tmp_path / f"r-{letters}", "multi_task", {S: 0.5, D: 2.0, **more})
    table = make_table([tmp_path], baseline="densemtl", cost=False)
    found = gains(table)
    assert found["multi_task", "S-D"]["S-D"] == found["multi_task", "S-D-N"]["S-D"] == [0.0]
    assert found["multi_task", "S-D-N"]["S-D-N"] == pytest.approx([15.0])  # (25 + 20 + 0) / 3
    header, lines = cells(table)
    column = header.index("Δ S-D % ↑")
    assert [line[column] for line in lines if line[0] == "densemtl"] == ["0 (baseline)", "-22.50"]


def test_seeds_that_name_their_tasks_in_another_order_are_one_row(tmp_path: Path) -> None:
    run(tmp_path / "a", "densemtl", {S: 0.5, D: 2.0})
    run(tmp_path / "b", "densemtl", {D: 2.5, S: 0.4}, seed=1)
    (row,) = make_table([tmp_path], baseline="none", cost=False).rows
    assert sorted(row.metrics) == [0, 1]


def test_rows_without_a_partner_are_named(tmp_path: Path) -> None:
    for seed in range(2):
        run(tmp_path / f"a{seed}", "densemtl", {S: 0.5, D: 2.0}, seed=seed)
        run(tmp_path / f"b{seed}", "densemtl", {S: 0.5, D: 2.0, N: 20.0}, seed=seed)
        run(tmp_path / f"c{seed}", "padnet", {S: 0.6, D: 2.0, N: 20.0, E: 0.5}, seed=seed)
    table = make_table([tmp_path], baseline="none", cost=False)
    section = against(table.rows, table.metrics, "densemtl")
    assert section.lines == () and "not of padnet" in section.title
    gap = gap_closed(table.rows, table.metrics, "densemtl", "densemtl")
    assert gap.lines == () and "not of padnet" in gap.title


def test_a_seed_without_a_gap_closes_none(tmp_path: Path) -> None:
    """The oracle is worse than the source in two of three seeds."""
    numbers = {"source": (2.0, 2.0, 2.0), "oracle": (2.2, 2.4, 1.9), "ours": (2.1, 2.2, 1.95)}
    for name, seeds in numbers.items():
        for seed, rmse in enumerate(seeds):
            run(tmp_path / f"{name}{seed}", "densemtl", {D: rmse}, seed=seed, row=name, method=name)
    table = make_table([tmp_path], baseline="none", cost=False)
    ((name, (_, every)),) = gap_closed(table.rows, table.metrics, "source", "oracle").lines
    assert name == "ours" and isinstance(every, Interval)
    assert every.pairs == 1 and every.mean == pytest.approx(50.0)


def test_the_gap_and_its_share_are_of_the_same_tasks(tmp_path: Path) -> None:
    """The oracle has no edges: 50 % of S and nothing of D is a fifth of (25 + 37.5) / 2."""
    values = {
        "source": {S: 0.4, D: 2.0, E: 0.5},
        "ours": {S: 0.45, D: 2.0, E: 0.5},
        "oracle": {S: 0.5, D: 1.25},
    }
    for name, metrics in values.items():
        run(tmp_path / name, "densemtl", metrics, row=name, method=name)
    table = make_table([tmp_path], baseline="none", cost=False)
    ((_, found),) = gap_closed(table.rows, table.metrics, "source", "oracle").lines
    assert isinstance(found[-1], Interval) and found[-1].mean == pytest.approx(20.0)


def test_latex_marks_the_best_of_those_below_each_other(tmp_path: Path) -> None:
    """Two numbers of S-D beat the single-task networks, whose row stands in both groups."""
    for task, value in ((S, 0.5), (D, 2.0), (N, 20.0)):
        run(tmp_path / f"stl-{task}", "single_task", {task: value})
    for name, miou in (("padnet", 0.6), ("densemtl", 0.55)):
        run(tmp_path / f"{name}-2", name, {S: miou, D: 2.0})
        run(tmp_path / f"{name}-3", name, {S: miou - 0.15, D: 2.0, N: 20.0})
    text = to_latex(make_table([tmp_path], cost=False))
    line = {row.split(" & ")[0].strip(): row.split(" & ")[1:] for row in text.splitlines()}
    small, large = 0, 3  # mIoU of S-D, behind it RMSE and the gain; of S-D-N
    assert line["padnet"][small] == r"\textbf{60.00}"
    assert line["densemtl"][small] == r"\underline{55.00}"
    assert line[r"single\_task"][small] == "50.00"
    assert line[r"single\_task"][large] == r"\textbf{50.00}"


def test_the_trivial_predictor_of_own_scenes_is_of_every_seed(tmp_path: Path) -> None:
    for seed, miou in enumerate((0.1, 0.15, 0.2)):
        for own in ("seed", "0"):
            place = tmp_path / own / f"{seed}"
            run(place, "densemtl", {S: 0.5}, trivial={S: miou}, seed=seed, scene_seed=own)
    own = make_table([tmp_path / "seed"], baseline="none", cost=False).rows[0]
    assert own.name == "trivial predictor" and len(own.metrics) == 3
    assert own.summary("segmentation/miou").mean == pytest.approx(0.15)  # type: ignore[union-attr]
    same = make_table([tmp_path / "0"], baseline="none", cost=False).rows[0]
    assert same.summary("segmentation/miou").spread is None  # type: ignore[union-attr]


def test_processes_make_another_row_and_precision_a_note(tmp_path: Path) -> None:
    settings: tuple[dict[str, Any], ...] = (
        {"devices": 1, "precision": "32"},
        {"devices": 1, "precision": "bf16"},
        {"devices": 4, "num_nodes": 2, "precision": "bf16"},
    )
    for seed, machine in enumerate(settings):
        run(tmp_path / str(seed), "densemtl", {S: 0.5}, seed=seed, **machine)
    table = make_table([tmp_path], baseline="none", cost=False)
    assert {row.name: len(row.metrics) for row in table.rows} == {
        "densemtl, processes 1": 2,
        "densemtl, processes 8": 1,
    }
    assert any("precision (32, bf16)" in note for note in table.notes)


def test_validations_are_a_setting_where_they_are_the_candidates(tmp_path: Path) -> None:
    for rule in ("best", "last"):
        for seed, every in enumerate((100, 1000)):
            place = tmp_path / rule / str(seed)
            run(place, "densemtl", {S: 0.5}, seed=seed, val_every=every, rule=rule)
    rows = make_table([tmp_path / "best"], baseline="none", cost=False).rows
    assert [row.name for row in rows] == ["densemtl, val_every 100", "densemtl, val_every 1000"]
    assert len(make_table([tmp_path / "last"], baseline="none", cost=False).rows) == 1


def test_a_baseline_on_another_encoder_is_told(tmp_path: Path) -> None:
    for encoder, miou in (("resnet10t", 0.5), ("resnet18", 0.55)):
        run(tmp_path / encoder, "multi_task", {S: miou, D: 2.0}, encoder=encoder)
    table = make_table([tmp_path], baseline="multi_task, encoder resnet10t", cost=False)
    told = next(note for note in table.notes if note.startswith("Δ"))
    assert "dataset and protocol" in told
    assert told.endswith("the encoder's too: multi_task, encoder resnet18.")
    assert table.kind == "multi_task, encoder resnet10t"


def test_the_plot_says_over_what(tmp_path: Path) -> None:
    run(tmp_path / "a", "multi_task_matched", {S: 0.5, D: 2.0})
    run(tmp_path / "b", "densemtl", {S: 0.6, D: 2.0})
    table = make_table([tmp_path], baseline="multi_task_matched")
    _, drawn = plot(table, tmp_path / "plot.png")
    assert "S-D over multi_task_matched" in drawn.read_text()


def test_a_row_of_different_seeds_is_told(tmp_path: Path) -> None:
    run(tmp_path / "s", "single_task", {S: 0.5}, seed=0)
    run(tmp_path / "d", "single_task", {D: 2.0}, seed=1)
    run(tmp_path / "m", "densemtl", {S: 0.6, D: 2.0}, seed=0)
    notes = make_table([tmp_path], cost=False).notes
    assert any("single_task: no seed has a run for every task" in note for note in notes)


def test_what_is_not_a_number_is_no_pair_and_counts_in_no_test() -> None:
    whole = paired({0: 1.0, 1: 2.0, 2: math.nan}, {0: 0.0, 1: 0.5, 2: 1.0})
    assert whole is not None and whole.pairs == 2 and whole.mean == pytest.approx(1.25)
    nothing = paired({0: math.nan}, {0: 1.0})
    assert nothing is None
    first, second = Interval(1.0, 1.0, 3, 0.03), Interval(1.0, 1.0, 3, 0.001)
    assert [found.adjusted for found in adjusted({0: first, 1: second}).values()] == [0.03, 0.002]


def test_a_baseline_that_does_not_exist(tmp_path: Path) -> None:
    run(tmp_path / "a", "densemtl", {S: 0.5, D: 2.0})
    with pytest.raises(RunError, match="did you mean densemtl"):
        make_table([tmp_path], baseline="dense_mtl", cost=False)
