"""A study is an object: its fields decide recipe, optimiser and baseline; a file of one's own can hold one."""

import json
from pathlib import Path
from typing import Any

import pytest

from crosstask.cli import main
from crosstask.experiments.studies import STUDIES, Row, Setting, Study, find_study

TASKS = ("segmentation", "depth")


def rows(setting: Setting) -> list[Row]:
    """One line.

    And more.
    """
    return [
        Row(name="alone", architecture="single_task_matched", tasks=TASKS, apart=True),
        Row(name="both", architecture="densemtl", tasks=TASKS, options={"levels": [2]}),
    ]


def test_fields_decide() -> None:
    study = Study(name="mine", rows=rows, regime="adaptation", baseline="alone")
    assert study.description == "One line." and study.recipe("synthia") == "synthia.adaptation"
    assert Study(name="mine", rows=rows, regime="mine.py:run").recipe("x") == "mine.py:run"
    runs = study(Setting(dataset="synthia", seeds=(4, 5)))
    assert [(r.row, r.tasks, r.seed) for r in runs[:3]] == [
        ("alone", ("segmentation",), 4),
        ("alone", ("depth",), 4),
        ("both", TASKS, 4),
    ]
    assert len(runs) == 6 and runs[2].options["options"] == {"levels": [2]}
    assert find_study(study) is study


def test_rows_that_are_about_their_own_tasks_fall_away() -> None:
    """Two of `phase`'s cells change the number of tasks; a grid of weights belongs to its tasks."""
    on = Setting(seeds=(0,), tasks=("depth", "edges"))
    runs = STUDIES["phase"](on)
    assert {run.tasks for run in runs} == {on.tasks} and len(runs) == 40
    assert not [run.row for run in runs if "tasks=" in run.row]
    with pytest.raises(ValueError, match="about tasks of its own"):
        STUDIES["task_weights"](on)


def test_two_rows_of_one_folder_are_refused() -> None:
    """Names that become the same folder, or options under one name; the same row twice is one."""

    def lines(*names: str) -> Study:
        made = [
            Row(name=name, architecture="densemtl", tasks=TASKS, options={"levels": [index // 2]})
            for index, name in enumerate(names)
        ]
        return Study(name="mine", rows=lambda setting: made)

    assert len(lines("a", "a")(Setting(seeds=(0,)))) == 1
    for names in (("a b", "c", "a-b"), ("a", "b", "a")):
        with pytest.raises(ValueError, match=r"two rows for the folder a.*name of its own"):
            lines(*names)(Setting(seeds=(0,)))


def test_the_studies_of_the_package_declare_what_lists_said() -> None:
    matched = [name for name, study in STUDIES.items() if study.optimizer == "matched"]
    first = ["balancing", "sca_ablation", "architectures", "linear_designs"]
    assert matched == [*first, "exchange", "phase", "fast"]
    ours = ("attention_parts", *first, "exchange")
    assert {n: s.baseline for n, s in STUDIES.items() if s.baseline} == {
        "table5": "none",
        "table6": "single_task-adversarial",
        "phase": "multi_task_matched-images=1600",
        "fast": "single_task",
        **dict.fromkeys(ours, "single_task_matched"),  # the paper's tables keep the paper's
    }
    for name, study in STUDIES.items():
        rows = {run.row for run in study(Setting())}
        assert ("single_task_matched" in rows) == (name in ours)
    assert STUDIES["table5"].recipe("cityscapes") == "cityscapes.self_supervised"
    assert STUDIES["table5"].optimizer == "paper_self_supervised"
    assert STUDIES["table6"].recipe("procedural") == "procedural.adaptation"
    assert all(study.description.endswith(".") for study in STUDIES.values())


def test_the_linear_probe_is_in_every_study_of_ours_and_in_the_papers_by_option() -> None:
    ours = {name for name, study in STUDIES.items() if study.probe}
    first = {"attention_parts", "balancing", "sca_ablation", "architectures", "linear_designs"}
    assert ours == first | {"exchange", "phase", "fast"}
    for name, study in STUDIES.items():
        plain, asked = (study(Setting(seeds=(0,), probe=probe)) for probe in (False, True))
        for runs, there in ((plain, name in ours), (asked, True)):
            probes = [run for run in runs if run.options["architecture"] == "linear_probe"]
            assert bool(probes) == there, name
            larger = {r.tasks for r in runs if len(r.tasks) > 1}
            assert not there or {run.tasks for run in probes} == larger
        assert [r for r in asked if r in plain] == plain, "the other rows stay"
        assert len(asked) == len(plain) or name not in ours


def test_a_study_of_ones_own_gets_a_probe_too() -> None:
    runs = Study(name="mine", rows=rows)(Setting(seeds=(0,), probe=True))
    assert [run.name for run in runs[-2:]] == ["both.S-D.seed0", "linear_probe.S-D.seed0"]


def test_a_study_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from crosstask.experiments.studies import Row, Study\n"
        "from crosstask.models.architectures.matched import multi_task_matched\n"
        "def net(encoder, tasks, width=1.0):\n"
        "    return multi_task_matched(encoder, tasks, width)\n"
        "def rows(setting):\n"
        "    'Mine.'\n"
        "    return [Row(name='net', architecture='mine.py:net', tasks=('segmentation', 'depth'))]\n"
        "NETS = Study(name='nets', rows=rows, optimizer='matched', baseline='none')\n"
    )
    tiny = [
        "--seeds",
        "0",
        "--size",
        "32x64",
        "--steps",
        "1",
        "--width",
        "0.0625",
        "--train-length",
        "2",
        "--val-length",
        "2",
    ]
    quick = [*tiny, "--workers", "0", "--output", "out", "--quiet", "--accelerator", "cpu"]
    assert main(["study", "mine.py:NETS", *quick]) == 0
    listed = json.loads(Path("out/nets.json").read_text())
    assert listed == {"study": "nets", "runs": ["net.S-D.seed0"], "baseline": "none"}
    assert main(["study", "mine.py:NETS", *quick, "--list"]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["study", "mine.py:rows", "--list"]) == 2
    assert "expected a Study" in capsys.readouterr().err
    assert main(["table", "out/nets.json"]) == 2 and "--trust" in capsys.readouterr().err
    assert main(["table", "out/nets.json", "--trust"]) == 0


@pytest.mark.parametrize(("seeds", "words"), [("", "`seeds` names none"), ("0,a", "names 'a'")])
def test_seeds_that_are_none(seeds: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "table1", "--list", "--seeds", seeds]) == 2
    assert words in capsys.readouterr().err
