"""Best and second numbers, and the LaTeX table that shows them as the papers do."""

from pathlib import Path

from crosstask.experiments.comparison.cells import best, cells
from crosstask.experiments.comparison.latex import to_latex
from crosstask.experiments.comparison.table import ComparisonTable, make_table
from experiments.comparison.made_up_runs import make_run

S, D, N = "segmentation", "depth", "normals"
# method: (mIoU, RMSE) on S-D, (mIoU, RMSE, angle) on S-D-N
METHODS = {
    "multi_task": ((0.60, 5.2), (0.62, 5.1, 18.0)),
    "padnet": ((0.70, 4.9), (0.71, 4.0, 19.0)),
    "densemtl": ((0.80, 4.9), (0.82, 4.1, 14.0)),
}


def table1(folder: Path) -> ComparisonTable:
    for task, value in {S: 0.5, D: 5.5, N: 20.0}.items():
        constant = {task: 0.1 if task == S else 40.0}
        make_run(folder / f"s-{task}", "single_task", {task: value}, trivial=constant)
    for name, both in METHODS.items():
        for numbers in both:
            values = dict(zip((S, D, N), numbers, strict=False))
            make_run(folder / f"{name}{len(numbers)}", name, values)
    return make_table([folder], cost=False)


def test_best_and_second_are_of_the_rows_with_the_same_tasks(tmp_path: Path) -> None:
    table = table1(tmp_path)
    header, lines = cells(table)
    found = {(lines[i][0], lines[i][1], header[k]): place for (i, k), place in best(table).items()}
    miou, rmse = "mIoU % ↑", "RMSE m ↓"
    assert found["densemtl", "S-D", miou] == 1 and found["padnet", "S-D", miou] == 2
    # lower is better; what prints the same shares the place
    assert found["densemtl", "S-D", rmse] == found["padnet", "S-D", rmse] == 1
    assert found["multi_task", "S-D", rmse] == 2
    assert found["padnet", "S-D-N", rmse] == 1 and found["densemtl", "S-D-N", rmse] == 2
    assert not any(name == "trivial predictor" for name, _, _ in found)
    gains = {name for name, _, title in found if title.startswith("Δ")}
    assert gains == {"densemtl", "padnet"}  # the baseline's 0 is no gain


def test_the_second_of_two_is_not_marked(tmp_path: Path) -> None:
    for name, miou in (("padnet", 0.5), ("densemtl", 0.6)):
        make_run(tmp_path / name, name, {S: miou, D: 5.0})
    table = make_table([tmp_path], cost=False, baseline="none")
    assert set(best(table).values()) == {1}


def test_latex_has_a_line_a_method_and_the_task_sets_side_by_side(tmp_path: Path) -> None:
    text = to_latex(table1(tmp_path))
    assert r"\usepackage{booktabs}" in text and r"\hline" not in text
    assert [text.count(rule) for rule in (r"\toprule", r"\bottomrule")] == [1, 1]
    assert r"\multicolumn{3}{c}{S-D} & \multicolumn{5}{c}{S-D-N}" in text
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-9}" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(line.count(" & ") == (2 if "multicolumn" in line else 8) for line in lines)
    (ours,) = [line for line in lines if line.startswith("densemtl")]
    assert ours.startswith(
        r"densemtl & \textbf{80.00} & \textbf{4.900} & \textbf{+35.45} & \textbf{82.00} & "
        r"\underline{4.100} & \textbf{14.00}"
    )
    (alone,) = [line for line in lines if line.startswith(r"single\_task")]
    assert alone.count("50.00") == 2  # the same networks in both groups
    (constant,) = [line for line in lines if line.startswith("trivial")]
    assert "$-$" in constant and "textbf" not in constant
    assert (
        text.index("trivial")
        < text.index(r"\midrule", text.index("trivial"))
        < text.index("padnet")
    )
