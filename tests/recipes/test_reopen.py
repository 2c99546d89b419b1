"""A run directory becomes its experiment again, also one of an older version."""

from pathlib import Path

import pytest

from crosstask.engine.runs import Run, RunError
from crosstask.recipes.reopen import reopen

CONFIG = {
    "recipe": "procedural.adaptation",
    "method": "source_only",
    "architecture": "single_task_matched",
    "tasks": "segmentation",
    "encoder": "resnet10t",
    "pretrained": False,
    "width": 0.0625,
    "size": "32x64",
    "steps": 2,
}


def test_a_withdrawn_option_may_stand_at_its_neutral_value(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_config({**CONFIG, "mixed_batches": False, "domain_norms": False})
    assert run.read_config() == CONFIG
    assert reopen(run).steps == 2


@pytest.mark.parametrize("option", ["mixed_batches", "domain_norms"])
def test_a_withdrawn_option_that_was_used_is_told(tmp_path: Path, option: str) -> None:
    run = Run(tmp_path)
    run.write_config({**CONFIG, option: True})
    with pytest.raises(RunError, match=f"trained with `{option}: True`, which this version"):
        reopen(run)
