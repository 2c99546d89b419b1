"""Tables over made-up runs: the paper's printed gains, spreads, controls, refusals."""

import csv
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.formats import (
    cells,
    section_cells,
    to_csv,
    to_latex,
    to_markdown,
)
from crosstask.experiments.comparison.plot import plot
from crosstask.experiments.comparison.records import find_runs
from crosstask.experiments.comparison.sections import against, gap_closed, per_class
from crosstask.experiments.comparison.statistics import Interval, adjusted, holm, paired, summarise
from crosstask.experiments.comparison.table import ComparisonTable, ConflictError, make_table
from crosstask.tasks import Depth, Segmentation
from experiments.comparison.made_up_runs import DATA, make_run

S, D, N = "segmentation", "depth", "normals"
# DenseMTL, Table 1: (mIoU, RMSE, mean angle or None) and the printed gains (S-D, S-D-N or None).
PRINTED = {
    "synthia": (
        (67.43, 5.379, 19.61),
        {
            "multi_task": [((69.83, 5.166), 3.76), ((71.27, 5.108, 18.51), 5.37, 5.45)],
            "padnet": [((70.87, 4.917), 6.85), ((72.27, 4.949, 19.28), 7.58, 5.62)],
            "threeways_padnet": [((77.50, 4.289), 17.60), ((79.93, 4.218, 15.54), 20.06, 20.29)],
            "densemtl": [((80.53, 4.161), 21.04), ((82.99, 4.056, 14.30), 23.83, 24.92)],
        },
    ),
    "vkitti2": (
        (84.53, 5.720, 23.14),
        {
            "multi_task": [((87.73, 5.720), 1.89)],
            "padnet": [((88.43, 5.571), 3.63)],
            "threeways_padnet": [((96.13, 4.013), 21.78)],
            "densemtl": [((97.00, 3.423), 27.47), ((97.53, 3.089, 14.44), 30.70, 33.00)],
        },
    ),
    "cityscapes": (
        (67.93, 6.622, 44.10),
        {
            "multi_task": [((70.43, 6.797), 0.52)],
            "padnet": [((70.23, 6.777), 0.52)],
            "threeways_padnet": [((75.00, 6.528), 5.91)],
            "densemtl": [((74.95, 6.649), 4.96)],
        },
    ),
}


def values(numbers: tuple[float, ...]) -> dict[str, float]:
    return dict(zip((S, D, N), (numbers[0] / 100, *numbers[1:]), strict=False))


def single_tasks(
    folder: Path, numbers: dict[str, float], seed: int = 0, **config: Any
) -> list[Path]:
    return [
        make_run(folder / f"stl-{task}-{seed}", "single_task", {task: value}, seed=seed, **config)
        for task, value in numbers.items()
    ]


def read(table: ComparisonTable) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_the_printed_gains_of_table_1(tmp_path: Path) -> None:
    checked = 0
    for dataset, (baseline, methods) in PRINTED.items():
        folder = tmp_path / dataset
        single_tasks(folder, values(baseline))
        expected: dict[tuple[str, str], list[float]] = {}
        for method, entries in methods.items():
            for numbers, *gains in entries:
                letters = "S-D-N" if len(numbers) == 3 else "S-D"
                make_run(folder / f"{method}-{letters}", method, values(numbers))
                expected[method, letters] = gains
        for line in read(make_table([folder], cost=False)):
            gains = expected.get((line["method"], line["tasks"]), [])
            for column, gain in zip(("delta S-D", "delta S-D-N"), gains, strict=False):
                assert float(line[column]) == pytest.approx(gain, abs=0.025), (dataset, line)
                checked += 1
    assert checked == 22


def test_spread_controls_and_paired_intervals(tmp_path: Path) -> None:
    for seed in range(3):
        single_tasks(tmp_path, {S: 0.5, D: 2.0}, seed)
        make_run(
            tmp_path / f"plain-{seed}",
            "multi_task_matched",
            {S: 0.5 + 0.01 * seed, D: 2.0},
            seed=seed,
            trivial={S: 0.1, D: 4.0},
        )
        wide = {"match": "densemtl", "match_size": [32, 64]}
        make_run(
            tmp_path / f"wide-{seed}",
            "multi_task_matched",
            {S: 0.52, D: 2.0},
            seed=seed,
            options=wide,
        )
        make_run(
            tmp_path / f"talk-{seed}",
            "densemtl",
            {S: 0.52 + 0.01 * seed + 0.002 * (seed - 1), D: 1.9},
            seed=seed,
        )
    table = make_table([tmp_path], cost=False)
    lines = {line["method"]: line for line in read(table)}
    names = [
        "trivial predictor",
        "single_task",
        "densemtl",
        "multi_task_matched",
        "compute_matched",
    ]
    assert sorted(lines) == sorted(names)
    # (0.1-0.5)/0.5 = -0.8 and -(4-2)/2 = -1
    assert float(lines["trivial predictor"]["delta S-D"]) == pytest.approx(-90.0)
    # mIoU 0.50, 0.51, 0.52: gains 0, 1, 2 percent over two tasks
    plain = lines["multi_task_matched"]
    assert float(plain["delta S-D"]) == pytest.approx(1.0)
    assert float(plain["delta S-D std"]) == pytest.approx(1.0)
    # densemtl minus plain: mIoU 0.018, 0.020, 0.022 -> 1.8, 2.0, 2.2 and 2.5 for depth
    talk = lines["densemtl"]
    assert float(talk["vs multi_task_matched mean"]) == pytest.approx(4.5)
    half = 4.30265 * 0.2 / math.sqrt(3)
    assert float(talk["vs multi_task_matched low"]) == pytest.approx(4.5 - half, abs=1e-4)
    assert float(talk["vs multi_task_matched high"]) == pytest.approx(4.5 + half, abs=1e-4)
    assert float(talk["vs compute_matched mean"]) == pytest.approx(4.5 + 1.0 - 2.0)
    shown = to_markdown(table)
    assert "+4.50 [+4.00, +5.00]" in shown
    assert "53.00 ± 1.20" in next(x for x in shown.splitlines() if x.startswith("| densemtl"))


def test_one_seed_prints_no_spread(tmp_path: Path) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0})
    make_run(tmp_path / "b", "multi_task_matched", {S: 0.55, D: 2.0})
    table = make_table([tmp_path], cost=False)
    text = to_markdown(table)
    assert "±" not in text and "[" not in text
    assert "+5.00 (1 pair)" in text


def test_statistics() -> None:
    assert summarise([]) is None
    one = summarise([3.0])
    assert one is not None and one.spread is None
    three = summarise([1.0, 2.0, 3.0])
    assert three is not None and three.spread == pytest.approx(1.0)
    pair = paired({0: 1.0, 1: 2.0, 7: 9.0}, {0: 0.0, 1: 3.0, 8: 1.0})
    assert pair is not None and pair.pairs == 2 and pair.mean == 0.0
    assert pair.half_width == pytest.approx(12.7062 * math.sqrt(2) / math.sqrt(2), abs=1e-3)
    assert paired({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"protocol": "released"}, "protocol"),
        ({"commit": "decade"}, "code version"),
        ({"data": DATA | {"hash": "xyz"}}, "validation split"),
        ({"recipe": "camvid.supervised"}, "dataset"),
        ({"rule": "best"}, "scored checkpoint"),
        ({"rule": None}, "best on the reported split"),
        ({"scene_seed": "seed"}, "scenes"),
    ],
)
def test_refuses_runs_of_another_kind(tmp_path: Path, change: dict, word: str) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    make_run(tmp_path / "odd", "densemtl", {S: 0.6, D: 2.0}, **change)
    with pytest.raises(ConflictError, match=rf"(?s){word}.*odd.*--force"):
        make_table([tmp_path], cost=False)
    forced = make_table([tmp_path], cost=False, force=True)
    assert any(word in note for note in forced.notes)


def test_scenes_of_its_own_belong_to_a_seed(tmp_path: Path) -> None:
    """Every seed has other scenes; within a seed they must be the same."""
    for seed in (0, 1):
        for name in ("single_task", "densemtl"):
            options = {"seed": seed, "scene_seed": "seed", "data": DATA | {"seed": seed}}
            path = tmp_path / f"{name}{seed}"
            make_run(path, name, {S: 0.5 + 0.1 * (name == "densemtl"), D: 2.0}, **options)
    table = make_table([tmp_path], cost=False)
    text = "n: 2 seeds, each with training and test scenes of its own, 4 scored samples each; "
    assert text + "scored checkpoint: last." in table.notes
    odd = {"seed": 2, "scene_seed": "seed"}
    make_run(tmp_path / "a", "single_task", {S: 0.5, D: 2.0}, data=DATA | {"seed": 2}, **odd)
    make_run(tmp_path / "b", "densemtl", {S: 0.5, D: 2.0}, data=DATA | {"seed": 9}, **odd)
    with pytest.raises(ConflictError, match="validation split of seed 2"):
        make_table([tmp_path], cost=False)


def test_several_comparisons_share_the_error_rate() -> None:
    """Holm (1979) by hand: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 but not below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    # differences 1, 2, 3: t = 2 / (1 / sqrt 3) = 3.4641 with 2 degrees of freedom, p = 0.0742
    pair = paired({0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.0, 1: 0.0, 2: 0.0})
    assert pair is not None and pair.p == pytest.approx(0.07418, abs=1e-5)
    both = adjusted({"a": pair, "b": Interval(1.0, None, 1), "c": pair})
    assert both["a"].adjusted == pytest.approx(0.14836, abs=1e-5)
    assert both["b"].adjusted is None


def test_other_modalities_are_no_other_split(tmp_path: Path) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    data = DATA | {"modalities": ["segmentation", "depth"]}
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0}, data=data)
    assert len(make_table([tmp_path], cost=False).rows) == 2


def test_missing_baseline_says_what_to_train(tmp_path: Path) -> None:
    single_tasks(tmp_path, {S: 0.5})
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0})
    with pytest.raises(
        RunError, match=r"baseline of densemtl is missing.*depth on resnet10t.*`--baseline ROW`"
    ):
        make_table([tmp_path], cost=False)
    assert not make_table([tmp_path], cost=False, baseline="none").rows[-1].deltas
    other = tmp_path / "other"
    make_run(other / "stl", "single_task", {D: 2.0}, encoder="resnet18")
    with pytest.raises(RunError, match="depth on resnet10t"):
        make_table([tmp_path], cost=False)


def test_damaged_and_unfinished_runs_are_named(tmp_path: Path) -> None:
    good = make_run(tmp_path / "good", "densemtl", {S: 0.6, D: 2.0})
    (good / "metrics.json").write_text('{"segmentation/miou": 0.')
    with pytest.raises(RunError, match=r"metrics\.json is damaged"):
        make_table([good], cost=False)
    (good / "metrics.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        make_table([good], cost=False)
    with pytest.raises(RunError, match="no finished run"):
        make_table([tmp_path], cost=False)
    with pytest.raises(RunError, match="no run directory"):
        find_runs([tmp_path / "nowhere"])
    cut = make_run(tmp_path / "cut", "densemtl", {S: 0.6, D: 2.0})
    (cut / "env.json").unlink()
    with pytest.raises(RunError, match=r"no env\.json"):
        make_table([cut], cost=False)


def test_the_same_seed_twice_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0})
    make_run(tmp_path / "b", "densemtl", {S: 0.7, D: 2.0})
    with pytest.raises(RunError, match=r"same seed \(0\)"):
        make_table([tmp_path], cost=False)


def test_the_same_seed_with_its_tasks_in_another_order_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0})
    make_run(tmp_path / "b", "densemtl", {D: 1.0, S: 0.9})
    with pytest.raises(RunError, match=r"same seed \(0\)"):
        make_table([tmp_path], cost=False)


def test_networks_of_one_task_each_are_no_control_of_an_exchange(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path / f"s{seed}", "multi_task_matched", {S: 0.5}, seed=seed)
        make_run(tmp_path / f"d{seed}", "multi_task_matched", {D: 2.0}, seed=seed)
        make_run(tmp_path / f"x{seed}", "densemtl", {S: 0.6, D: 1.0}, seed=seed)
    table = make_table([tmp_path], cost=False, baseline="multi_task_matched")
    assert [row.control for row in table.rows] == [None] * len(table.rows)
    assert "multi_task_matched" not in table.paired


def test_rows_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0}, balancing="paper")
    make_run(tmp_path / "b", "densemtl", {S: 0.6, D: 2.0}, balancing="mgda")
    make_run(tmp_path / "c", "densemtl", {S: 0.6, D: 2.0}, options={"fusion": "concat"})
    names = [row.name for row in make_table([tmp_path], cost=False).rows]
    assert len(set(names)) == 4
    assert "densemtl, balancing mgda" in names


def test_cost_latex_and_plot(tmp_path: Path) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0}, row="dense_mtl")
    make_run(tmp_path / "b", "multi_task_matched", {S: 0.55, D: 2.0})
    table = make_table([tmp_path])
    lines = {line["method"]: line for line in read(table)}
    alone = int(lines["single_task"]["parameters"])
    assert 0 < int(lines["multi_task_matched"]["macs"]) < int(lines["dense_mtl"]["macs"])
    assert alone > 2 * 4_900_000  # two encoders: one network per task
    header, body = cells(table)
    assert all(len(line) == len(header) for line in body)
    latex = to_latex(table)
    assert r"dense\_mtl" in latex and r"$\Delta$ S-D \%" in latex
    assert latex.count(r"\\") == len(body) + 1 + 2  # the header; and the differences to the control
    png, svg = plot(table, tmp_path / "plot.pdf")
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    for name in ("dense_mtl", "multi_task_matched"):  # glyphs are drawn, their text is beside them
        assert f"<!-- {name} -->" in svg.read_text()
    with pytest.raises(RunError, match="S-D-N-E"):
        plot(table, tmp_path / "plot", "S-D-N-E")


def test_class_sets_and_ranges_are_not_mixed(tmp_path: Path, monkeypatch: Any) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    coarse = {S: Segmentation(2), D: Depth(far=10.0, objective="l1")}
    monkeypatch.setattr("experiments.comparison.made_up_runs.TASKS", coarse)
    make_run(tmp_path / "a", "densemtl", {S: 0.8, D: 1.0})
    with pytest.raises(ConflictError) as error:
        make_table([tmp_path], cost=False)
    assert "what segmentation measures" in str(error.value)
    assert '"far": 10.0' in str(error.value)
    # another loss measures the same
    monkeypatch.setattr(
        "experiments.comparison.made_up_runs.TASKS", {S: Segmentation(3), D: Depth(objective="l1")}
    )
    shutil.rmtree(tmp_path / "a")
    make_run(tmp_path / "a", "densemtl", {S: 0.8, D: 1.0})
    assert make_table([tmp_path], cost=False).rows[-1].deltas


def test_a_control_shares_all_settings_and_rows_are_named_by_what_differs(tmp_path: Path) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    for lr, miou in ((1e-5, 0.4), (2e-3, 0.6)):
        make_run(tmp_path / f"plain{lr}", "multi_task_matched", {S: miou, D: 2.0}, lr=lr)
    make_run(tmp_path / "ours", "densemtl", {S: 0.7, D: 2.0}, lr=2e-3)
    table = make_table([tmp_path], cost=False)
    names = [row.name for row in table.rows]
    assert {"multi_task_matched, lr 1e-05", "multi_task_matched, lr 0.002"} < set(names)
    ours = names.index("densemtl, lr 0.002")
    assert table.paired["multi_task_matched"][ours].mean == pytest.approx(10.0)  # 0.1 of 0.5, half
    assert len(table.paired["multi_task_matched"]) == 1
    make_run(tmp_path / "twin", "multi_task_matched", {S: 0.1, D: 2.0}, lr=2e-3, options={"x": 1})
    table = make_table([tmp_path], cost=False)
    assert "multi_task_matched" not in table.paired
    assert any("compared with none" in note for note in table.notes)


def test_differing_settings_are_noted(tmp_path: Path) -> None:
    single_tasks(tmp_path, {S: 0.5, D: 2.0}, ema=0.0)
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0}, ema=0.99)
    assert "Mind: runs differ in ema (0.0, 0.99)." in make_table([tmp_path], cost=False).notes


def test_the_baseline_is_the_row_that_is_shown(tmp_path: Path) -> None:
    for seed, miou in enumerate((0.3, 0.4, 0.5)):
        make_run(tmp_path / f"s{seed}", "single_task", {S: miou}, seed=seed)
    make_run(tmp_path / "d0", "single_task", {D: 4.0}, seed=0)
    make_run(tmp_path / "m0", "densemtl", {S: 0.3, D: 4.0}, seed=0)
    table = make_table([tmp_path], cost=False)
    baseline, row = table.rows
    assert baseline.baseline and baseline.metrics == {
        0: {"segmentation/miou": 0.3, "depth/rmse": 4}
    }
    assert row.deltas["S-D"][0] == pytest.approx(0.0)  # not against the mean mIoU of three seeds
    assert any("left out: 1, 2" in note for note in table.notes)


def test_a_baseline_of_zero_has_no_gain_and_does_not_end_the_table(tmp_path: Path) -> None:
    """As after two steps of a quick try: no right prediction at all."""
    single_tasks(tmp_path, {S: 0.0, D: 2.0})
    make_run(tmp_path / "a", "densemtl", {S: 0.1, D: 1.0})
    *_, row = make_table([tmp_path], cost=False).rows
    assert "S-D" not in row.deltas and row.metrics[0]["segmentation/miou"] == 0.1


def test_any_row_may_be_the_baseline(tmp_path: Path) -> None:
    for row, miou in (("source", 0.2), ("ours", 0.3)):
        make_run(tmp_path / row, "densemtl", {S: miou, D: 2.0}, row=row, method=row)
    table = make_table([tmp_path], baseline="source", cost=False)
    assert {row.name: row.deltas["S-D"][0] for row in table.rows} == pytest.approx(
        {"source": 0.0, "ours": 25.0}
    )
    with pytest.raises(RunError, match="did you mean source"):
        make_table([tmp_path], baseline="sorce", cost=False)
    (tmp_path / "list.json").write_text(
        json.dumps({"runs": ["source", "ours"], "baseline": "source"})
    )
    listed = make_table([tmp_path / "list.json"], cost=False)
    assert [row.name for row in listed.rows if row.baseline] == ["source"]


def test_a_row_on_two_task_sets_is_compared_on_each(tmp_path: Path) -> None:
    """As table 3 has them: neither the baseline nor a pair may come from the other set."""
    for tasks, plain, ours in (((S, D), 0.2, 0.3), ((S, D, N), 0.4, 0.5)):
        for seed in range(2):
            for name, miou in (("plain", plain + 0.01 * seed), ("ours", ours + 0.01 * seed)):
                numbers = {S: miou, D: 2.0, N: 20.0}
                make_run(
                    tmp_path / f"{name}-{len(tasks)}-{seed}",
                    "densemtl",
                    {task: numbers[task] for task in tasks},
                    seed=seed,
                    row=name,
                    method=name,
                )
    table = make_table([tmp_path], baseline="plain", cost=False)
    gains = {
        (row.name, table.set_of(row)): list(row.deltas[table.set_of(row)].values())
        for row in table.rows
    }
    assert gains["plain", "S-D"] == pytest.approx([-1.2195, 1.2195], abs=1e-3)
    assert gains["plain", "S-D-N"] == pytest.approx([-0.4115, 0.4115], abs=1e-3)
    assert gains["ours", "S-D"] == pytest.approx([23.1707, 25.6098], abs=1e-3)
    section = against(table.rows, table.metrics, "plain")
    pairs = {name: cells[0].mean for name, cells in section.lines if cells[0]}
    assert pairs == pytest.approx({"ours S-D": 10.0, "ours S-D-N": 10.0})
    assert "over 2 rows" in section.title
    gap = gap_closed(table.rows, table.metrics, "plain", "ours")
    assert gap.lines == ()


def test_the_csv_has_the_spreads_and_intervals_of_every_section(tmp_path: Path) -> None:
    for seed, (plain, ours) in enumerate(((0.3, 0.4), (0.4, 0.6))):
        make_run(tmp_path / f"a{seed}", "multi_task_matched", {S: plain, D: 2.0}, seed=seed)
        make_run(tmp_path / f"b{seed}", "densemtl", {S: ours, D: 2.0}, seed=seed)
    table = make_table([tmp_path], baseline="none", cost=False)
    table.sections.append(against(table.rows, table.metrics, "multi_task_matched"))
    header, line = to_csv(table).splitlines()[-2:]
    found = dict(zip(header.split(","), line.split(","), strict=True))
    assert float(found["segmentation/miou"]) == pytest.approx(15.0)
    half = 12.7062 * 10.0 / math.sqrt(2) / math.sqrt(2)  # t(0.975, 1), differences 10 and 20
    assert float(found["segmentation/miou low"]) == pytest.approx(15.0 - half, abs=1e-2)
    assert float(found["segmentation/miou high"]) == pytest.approx(15.0 + half, abs=1e-2)


def test_classes_pairs_and_the_gap_by_hand(tmp_path: Path) -> None:
    values = {  # mIoU, depth RMSE of two seeds
        "source_only": ((0.2, 10.0), (0.3, 8.0)),
        "self_training": ((0.3, 9.0), (0.4, 9.0)),
        "oracle": ((0.6, 5.0), (0.5, 4.0)),
    }
    for method, seeds in values.items():
        for seed, (miou, rmse) in enumerate(seeds):
            run = make_run(
                tmp_path / f"{method}-{seed}",
                "densemtl",
                {S: miou, D: rmse},
                seed=seed,
                method=method,
                row=method,
            )
            metrics = json.loads((run / "metrics.json").read_text())
            metrics |= {"segmentation/iou/road": miou + 0.3, "segmentation/iou/sky": math.nan}
            (run / "metrics.json").write_text(json.dumps(metrics))
    table = make_table([tmp_path], baseline="none", cost=False)
    classes = per_class(table.rows)
    assert classes.columns == ("road", "sky")
    # no image shows sky
    assert ["oracle", "85.0 ± 7.1", "-"] in section_cells(classes)[1]
    pairs = dict(against(table.rows, table.metrics, "source_only").lines)
    assert set(pairs) == {"self_training", "oracle"}
    gained, metres, relative = pairs["self_training"]
    assert gained is not None and gained.mean == pytest.approx(10.0)  # points, both seeds
    assert gained.half_width == pytest.approx(0.0, abs=1e-6)
    assert metres is not None and metres.mean == pytest.approx(0.0)
    assert relative is not None  # (50 + 10) / 2 and (33.3 - 12.5) / 2
    assert relative.mean == pytest.approx((30 + 10.4166667) / 2)
    gap = gap_closed(table.rows, table.metrics, "source_only", "oracle")
    # 0.1 of 0.4 and 0.1 of 0.2; 1 m of 5 m and -1 m of 4 m
    # all tasks: 30 of 125 and 10.4 of 58.3
    assert section_cells(gap)[1][0][:3] == ["self_training", "37.5 ± 17.7", "-2.5 ± 31.8"]
    assert section_cells(gap)[1][0][3].startswith("+20.93 [-18.")
    table.sections += [classes, gap]
    for text in (to_markdown(table), to_latex(table), to_csv(table)):
        assert "37.5" in text and "share of the gap" in text
    with pytest.raises(RunError, match="did you mean oracle"):
        gap_closed(table.rows, table.metrics, "source_only", "orcale")
    only_depth = make_run(tmp_path / "other" / "d", "densemtl", {D: 2.0})
    with pytest.raises(RunError, match="needs runs with segmentation"):
        per_class(make_table([only_depth], baseline="none", cost=False).rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.json", "null"),
        ("metrics.json", "{}"),
        ("env.json", '{"data": null}'),
        ("model.json", "[]"),
        ("config.yaml", ""),
        ("config.yaml", "recipe: procedural.supervised\ntasks: depth\n"),  # the seed is lost
    ],
)
def test_damaged_runs_are_named(tmp_path: Path, name: str, text: str) -> None:
    run = make_run(tmp_path / "a", "densemtl", {S: 0.5, D: 2.0})
    (run / name).write_text(text)
    with pytest.raises(RunError, match=name):
        make_table([run], baseline="none", cost=False)


def test_rows_that_cost_more_than_the_control_are_named(tmp_path: Path) -> None:
    matched = {"match": "densemtl", "match_size": [32, 64]}
    make_run(tmp_path / "c", "multi_task_matched", {S: 0.5, D: 2.0}, options=matched)
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 2.0})
    make_run(tmp_path / "b", "densemtl", {S: 0.6, D: 2.0}, options={"levels": [1, 0]})
    single_tasks(tmp_path, {S: 0.5, D: 2.0})
    notes = make_table([tmp_path]).notes
    assert "More arithmetic than their compute_matched: densemtl levels=[1, 0]." in notes


def test_networks_of_one_task_each_are_one_row_whatever_their_architecture(tmp_path: Path) -> None:
    make_run(tmp_path / "four", "fast", {"segmentation": 0.5, "depth": 2.0})
    make_run(tmp_path / "s", "fast", {"segmentation": 0.6}, row="apart")
    make_run(tmp_path / "d", "fast", {"depth": 1.5}, row="apart")
    table = make_table([tmp_path], cost=False, baseline="none")
    found = {row.name: row.tasks for row in table.rows if row.encoder != "-"}
    assert sorted(found) == ["apart", "fast"] and found["apart"] == found["fast"]
