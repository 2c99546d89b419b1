"""What recipes make of their options, against stored facts: the same options are the same experiment.

A change on purpose: `python tests/recipes/test_experiments.py` writes the facts anew; look at the
difference.
"""

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from crosstask.recipes.catalogue import find_recipe

STORED = Path(__file__).with_name("experiments.json")
TINY: dict[str, Any] = {"encoder": "resnet10t", "pretrained": False, "width": 0.0625}
FAMILY = {**TINY, "width": 0.34, "root": "x"}
VIDEO = {**TINY, "encoder": "test_resnet", "pose_encoder": "test_resnet"}
PAIR = {**TINY, "root": "x", "source_root": "x", "discriminator_width": 4}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "streets": ("procedural.supervised", TINY),
    "streets, much given": (
        "procedural.partial",
        {
            **TINY,
            "steps": 7,
            "freeze": "norms",
            "balancing": "gradnorm",
            "levels": "sum",
            "protocol": "released",
            "clip": None,
            "accumulate": 2,
            "lr": 0.01,
            "seed": 3,
            "workers": 0,
        },
    ),
    "camvid": ("camvid.supervised", {**TINY, "root": "x"}),
    "cityscapes": ("cityscapes.supervised", {**TINY, "root": "x", "canonical_focal": 700.0}),
    "vkitti2": ("vkitti2.supervised", {**TINY, "root": "x", "architecture": "padnet"}),
    "nyudv2, sca_mtl": ("nyudv2.supervised", {**FAMILY, "architecture": "sca_mtl"}),
    "nyudv2, matched": ("nyudv2.supervised", {**FAMILY, "optimizer": "matched", "steps": 5}),
    "pascal_context": ("pascal_context.supervised", FAMILY),
    "real3": ("real3.supervised", {**TINY, "root": "x"}),
    "video": ("procedural.self_supervised", VIDEO),
    "video, phase": ("cityscapes.self_supervised", {**VIDEO, "root": "x", "phase": "depth"}),
    "video, phase with rates": (
        "cityscapes.self_supervised",
        {**VIDEO, "root": "x", "phase": "depth_unfrozen", "lr": 0.1, "freeze": "pose", "steps": 3},
    ),
    "adaptation": (
        "procedural.adaptation",
        {**TINY, "discriminator_width": 4, "pseudo_share": 0.3, "mixing": "none", "val_every": 900},
    ),
    "synthia to cityscapes": ("synthia_to_cityscapes.adaptation", PAIR),
}
FIELDS = (
    "steps",
    "batch_size",
    "accumulate",
    "val_every",
    "val_batch_size",
    "clip",
    "seed",
    "workers",
)
FIELDS += ("size", "protocol", "expected", "notes")
OF_TASKS = ("protocol", "objective", "near", "far", "canonical_focal", "logits", "positive_weight")


def facts(case: str) -> dict[str, Any]:
    name, options = CASES[case]
    experiment = find_recipe(name)(**options)
    regime: Any = experiment.regime
    optimizer = regime.configure_optimizers()["optimizer"]
    kept = {k: v for k, v in vars(regime).items() if is_dataclass(v) and not isinstance(v, type)}
    found = {
        "experiment": {field: getattr(experiment, field) for field in FIELDS},
        "regime": type(regime).__name__,
        "settings": {
            k: asdict(v) for k, v in kept.items() if k.endswith(("settings", "supervision"))
        },
        "freeze": regime.freeze_parts,
        "levels": vars(regime).get("levels"),
        "balancer": [type(regime.balancer).__name__, vars(regime.balancer).get("weights")],
        "tasks": {
            task.name: [task.channels, *(v for k, v in vars(task).items() if k in OF_TASKS)]
            for task in regime.tasks
        },
        "groups": [
            [group["name"], group["lr"], group["weight_decay"], len(group["params"])]
            for group in optimizer.param_groups
        ],
        "parameters": sum(p.numel() for p in regime.parameters()),
    }
    return json.loads(json.dumps(found))


@pytest.mark.parametrize("case", CASES)
def test_same_options_same_experiment(case: str) -> None:
    assert facts(case) == json.loads(STORED.read_text())[case]


if __name__ == "__main__":
    STORED.write_text(json.dumps({case: facts(case) for case in CASES}, indent=1) + "\n")
