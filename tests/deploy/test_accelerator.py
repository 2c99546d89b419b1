"""`benchmarks/accelerator.py` at tiny sizes on a CPU: rows, budgets, resuming, and the study that it drives."""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from crosstask import cli
from crosstask.engine.hardware import Hardware
from crosstask.engine.runs import read_json

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CHOSEN = (
    "peak, matmul, float32",
    "peak, matmul, tf32",
    "training, densemtl, S-D, batch 1, float32",
    "inference, fast, float32",
    "inference, fast, compiled",
    "rendering, small",
)


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("accelerator", BENCHMARKS / "accelerator.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules["accelerator"] = made  # dataclasses look themselves up there
    spec.loader.exec_module(made)
    return made


def test_a_dry_run_measures_a_row_of_each_kind_and_goes_on_where_it_was_cut(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    whole = module.rows(module.TINY)
    few = [row for row in whole if row.key in CHOSEN]
    assert len(few) == len(CHOSEN)
    argv = ["--dry-run", "--output", str(tmp_path)]
    monkeypatch.setattr(module, "rows", lambda scale: few)
    assert module.main([*argv, "--only", "peak"]) == 0
    first = read_json(tmp_path / "accelerator.json")["rows"]
    assert [row["key"] for row in first] == list(CHOSEN[:2])
    assert module.main(argv) == 0
    result = read_json(tmp_path / "accelerator.json")
    assert result["rows"][:2] == first  # not measured again
    found = {row["key"]: row for row in result["rows"]}
    assert {row["key"] for row in result["rows"]} == set(CHOSEN) and len(result["rows"]) == 6
    left_out = [key for key, row in found.items() if "skipped" in row]
    assert left_out == ["peak, matmul, tf32", "inference, fast, compiled"]
    training = found["training, densemtl, S-D, batch 1, float32"]
    assert training["flops"] == 6 * training["macs"] and training["batch"] == 1
    assert training["step_seconds"] > 0 and training["memory_gb"] > 0
    assert training["tasks"] == ["segmentation", "depth"] and training["size"] == [32, 64]
    text = (tmp_path / "accelerator.md").read_text()
    assert "these numbers mean nothing" in text and "| densemtl, S-D, batch 1, float32 |" in text
    rate = training["flops"] / training["step_seconds"] / 1e12
    share = 100 * rate / found["peak, matmul, float32"]["tflops"]
    assert f"| {share:.0f} % | - |" in text  # no convolution was measured

    broken = [module.Row(row.key, row.kind, 1.0, lambda *_: 1 / 0) for row in few]
    monkeypatch.setattr(module, "rows", lambda scale: broken)
    assert module.main(argv) == 0  # nothing left to do
    assert read_json(tmp_path / "accelerator.json") == result
    result["machine"]["torch"] = "1.0"
    module.write_json(tmp_path / "accelerator.json", result)
    with pytest.raises(SystemExit, match="give another `--output`"):
        module.main(argv)


def test_budgets(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = Hardware("cpu", "32")
    slow = module.Row("slow", "peak", 0.05, lambda *_: time.sleep(20))
    assert module.run(slow, cpu, module.TINY)["skipped"] == "took longer than its 0.05 seconds"

    def defect(*_: Any) -> Any:
        raise RuntimeError("CUDA out of memory\nmuch more")

    failed = module.run(module.Row("r", "peak", 9, defect), cpu, module.TINY)
    assert failed == {"key": "r", "kind": "peak", "skipped": "RuntimeError: CUDA out of memory"}
    row = module.Row("long", "peak", 61, defect)
    monkeypatch.setattr(module, "rows", lambda scale: [row])
    module.main(["--dry-run", "--output", str(tmp_path), "--minutes", "1"])
    assert not (tmp_path / "accelerator.json").exists()  # it would not fit, and waits


def test_every_row_of_the_list_is_there_once(module: ModuleType) -> None:
    keys = [row.key for row in module.rows(module.Scale())]
    assert len(keys) == len(set(keys)) == 50
    for form in ("float32", "tf32", "bf16", "compiled"):
        for tasks in ("S-D", "S-D-N"):
            for batch in (2, 8):
                assert f"training, densemtl, {tasks}, batch {batch}, {form}" in keys
    for name in ("multi_task_matched", "densemtl", "densemtl_linear", "fast"):
        for way in ("float32", "bf16", "compiled", "cuda graphs", "TensorRT"):
            assert f"inference, {name}, {way}" in keys


class InProcess:
    """A process that has already ended: the command ran here."""

    def __init__(self, command: list[str]) -> None:
        self.code = cli.main(command[3:])

    def poll(self) -> int:
        return self.code

    wait = poll


def test_the_study_in_a_dry_run(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(module, "start", InProcess)
    argv = ["--study", "--dry-run", "--processes", "1", "--output", str(tmp_path)]
    assert module.main(argv) == 0
    assert (tmp_path / "densemtl.S-D-N-E.seed0" / "metrics.json").is_file()
    assert f"crosstask table {tmp_path / 'exchange.json'}" in capsys.readouterr().out


@pytest.mark.parametrize(("study", "rows"), [("exchange", 5), ("phase", 48), ("fast", 12)])
def test_a_study_has_all_its_rows_with_four_seeds(
    study: str, rows: int, module: ModuleType, tmp_path: Path, capsys: Any
) -> None:
    parsed = module.argparse.Namespace(
        output=tmp_path, processes=1, dry_run=False, device="cpu", study=study
    )
    assert cli.main([*module.study_command(parsed), "--list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if ".seed" in line]
    assert {name.rpartition(".seed")[2] for name in names} == set("0123")
    assert len({name.rsplit(".", 2)[0] for name in names}) == rows  # ROW.TASKS.seedN


def test_on_a_gpu_a_study_is_replayed(module: ModuleType, tmp_path: Path) -> None:
    options = {"output": tmp_path, "processes": 1, "dry_run": False, "study": "phase"}
    commands = [
        module.study_command(module.argparse.Namespace(device=device, **options))
        for device in ("cpu", "cuda")
    ]
    assert [("--cuda-graphs" in command) for command in commands] == [False, True]
