"""`benchmarks/training_step.py` at tiny sizes: parts, operators and ways of a training step."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from crosstask.engine.runs import read_json


@pytest.fixture(scope="module")
def module() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "training_step.py"
    spec = importlib.util.spec_from_file_location("training_step", path)
    made = importlib.util.module_from_spec(spec)
    sys.modules["training_step"] = made
    spec.loader.exec_module(made)
    return made


def test_parts_operators_and_ways(
    module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "step.json"
    argv = ["--tiny", "--rounds", "1", "--operators", "3", "--json", str(file)]
    assert module.main([*argv, "--only", "contiguous layout", "no exchange"]) == 0
    result, printed = read_json(file), capsys.readouterr().out
    assert set(result["parts"]) == {
        "loading (rendered)", "encoder", "exchanges", "decoders and heads", "losses", "backward pass", "clipping",
        "optimiser",
    }  # fmt: skip
    assert all(seconds > 0 for seconds in result["parts"].values())
    first, layout, without = result["ways"]
    assert first["way"] == "as it is" and first["ratio"] == 1 and first["differs"] == 0
    assert layout["differs"] < 1e-4 < without["differs"]  # the same step, and another network's
    assert len(result["operators"]) == 3 and sum(share for _, share in result["operators"]) < 1
    assert f"| contiguous layout | {1e3 * layout['seconds']:.0f} |" in printed


def test_no_rounds(module: ModuleType) -> None:
    with pytest.raises(SystemExit):
        module.main(["--rounds", "0"])
