"""The linear probe: what is below it has a sign, and is told in a footnote."""

from pathlib import Path

from crosstask.experiments.comparison.cells import cells
from crosstask.experiments.comparison.formats import to_latex, to_markdown
from crosstask.experiments.comparison.table import make_table
from experiments.comparison.made_up_runs import make_run

S, D = "segmentation", "depth"


def shown(*places: Path) -> dict[str, list[str]]:
    table = make_table(places, cost=False, baseline="none")
    return {line[0]: line for line in cells(table)[1]}


def test_what_is_below_the_probe_has_a_sign(tmp_path: Path) -> None:
    make_run(tmp_path / "p", "linear_probe", {S: 0.5, D: 4.0}, trivial={S: 0.1, D: 9.0})
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 3.0})
    make_run(tmp_path / "b", "padnet", {S: 0.6, D: 4.1})  # depth: lower is better
    make_run(tmp_path / "c", "single_task", {S: 0.4})
    lines = shown(tmp_path)
    assert {"densemtl", "padnet†", "single_task†", "linear_probe"} < set(lines)
    assert lines["padnet†"][3:5] == ["60.00", "4.100†"]
    assert lines["single_task†"][3:5] == ["40.00†", "-"]
    table = make_table([tmp_path], cost=False, baseline="none")
    for text in (to_markdown(table), to_latex(table)):
        assert "† below the linear probe" in text
    assert r"padnet$^\dagger$" in to_latex(table)


def test_the_mean_over_seeds_counts(tmp_path: Path) -> None:
    for seed, (probe, ours) in enumerate(((0.5, 0.45), (0.5, 0.56))):
        make_run(tmp_path / f"p{seed}", "linear_probe", {S: probe, D: 4.0}, seed=seed)
        make_run(tmp_path / f"a{seed}", "densemtl", {S: ours, D: 3.0}, seed=seed)
    assert "densemtl" in shown(tmp_path)
    assert "†" not in to_markdown(make_table([tmp_path], cost=False, baseline="none"))


def test_a_probe_of_another_encoder_or_length_says_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "p", "linear_probe", {S: 0.9, D: 1.0}, encoder="resnet18")
    make_run(tmp_path / "q", "linear_probe", {S: 0.9, D: 1.0}, steps=7)
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 3.0})
    assert not any("†" in name for name in shown(tmp_path))


def test_the_balancing_of_losses_is_no_other_setting(tmp_path: Path) -> None:
    make_run(tmp_path / "p", "linear_probe", {S: 0.9, D: 1.0}, balancing="paper")
    make_run(tmp_path / "a", "densemtl", {S: 0.6, D: 3.0}, balancing="mgda")
    assert any(name.startswith("densemtl") and name.endswith("†") for name in shown(tmp_path))


def test_the_probe_is_no_further_comparison(tmp_path: Path) -> None:
    """It does not change the p values of the others, which are adjusted for their number."""
    make_run(tmp_path / "p", "linear_probe", {S: 0.5, D: 4.0})
    for name in ("multi_task_matched", "densemtl"):
        make_run(tmp_path / name, name, {S: 0.6, D: 3.0})
    for task, value in {S: 0.5, D: 4.0}.items():
        make_run(tmp_path / task, "single_task", {task: value})
    table = make_table([tmp_path], cost=False)
    compared = [table.rows[index].name for index in table.paired["multi_task_matched"]]
    assert compared == ["densemtl"]
