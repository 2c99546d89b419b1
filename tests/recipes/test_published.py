"""What the papers of SCA-MTL and its family set, against numbers written down here."""

from typing import Any

import pytest
import torch

from crosstask.engine.experiment import Experiment
from crosstask.recipes import nyudv2, pascal_context
from crosstask.regimes.optimization import optimizer_settings

SMALL: dict[str, Any] = {"encoder": "resnet10t", "pretrained": False, "width": 0.34}
FIVE = "segmentation,human_parts,saliency,normals,edges"


def nyu(architecture: str, tasks: str = "segmentation,depth", **options: Any) -> Experiment:
    return nyudv2.supervised(architecture=architecture, tasks=tasks, **{**SMALL, **options})


def pascal(architecture: str, tasks: str = FIVE, **options: Any) -> Experiment:
    return pascal_context.supervised(architecture=architecture, tasks=tasks, **{**SMALL, **options})


@pytest.mark.parametrize(
    ("made", "weights"),
    [
        (lambda: nyu("sca_mtl"), {"segmentation": 1.44, "depth": 1.15}),
        (lambda: nyu("mti_net"), {"segmentation": 1, "depth": 1}),
        # the published 10 is for a loss divided by pixels, not by components
        (lambda: nyu("atrc", "depth,normals"), {"depth": 1, "normals": 30}),
        (lambda: nyu("sca_mtl", "segmentation,normals"), {"segmentation": 1, "normals": 10}),
        (lambda: pascal("sca_mtl", "segmentation,normals"), {"segmentation": 1.1, "normals": 40}),
        (
            lambda: pascal("sca_mtl", "segmentation,human_parts,saliency"),
            {"segmentation": 1, "human_parts": 2, "saliency": 5},
        ),
    ],
)
def test_task_weights(made: Any, weights: dict[str, float]) -> None:
    assert made().regime.balancer.weights == weights


@pytest.mark.parametrize(
    ("made", "length"),
    [
        (lambda: nyu("sca_mtl"), (7950, 10)),
        (lambda: nyu("mti_net"), (9937, 8)),
        (lambda: nyu("atrc"), (40_000, 8)),
        (lambda: nyu("multi_task"), (40_000, 2)),
        (lambda: nyu("sca_mtl", optimizer="matched"), (40_000, 2)),
        (lambda: nyu("sca_mtl", steps=5, batch_size=3), (5, 3)),
        (lambda: pascal("sca_mtl", "segmentation,normals"), (31_237, 16)),
        (lambda: pascal("sca_mtl", "segmentation,human_parts,saliency"), (49_980, 8)),
        (lambda: pascal("mti_net", "segmentation,normals"), (62_475, 8)),
        (lambda: pascal("mti_net", "segmentation,normals", optimizer="matched"), (60_000, 8)),
    ],
)
def test_steps_and_batch(made: Any, length: tuple[int, int]) -> None:
    experiment = made()
    assert (experiment.steps, experiment.batch_size) == length
    assert experiment.regime.steps == length[0]


def test_optimizers() -> None:
    for architecture in ("sca_mtl", "mti_net", "mti_xtam"):
        adam = optimizer_settings("paper", architecture)
        assert (adam.name, adam.lr, adam.encoder_lr) == ("adam", 1e-4, 1e-4)
        assert (adam.betas, adam.weight_decay, adam.schedule) == ((0.9, 0.999), 1e-4, "poly")
    sgd = nyu("atrc").regime.settings
    assert (sgd.name, sgd.lr, sgd.encoder_lr, sgd.momentum) == ("sgd", 0.01, 0.01, 0.9)
    assert (sgd.weight_decay, sgd.schedule) == (5e-4, "poly")
    assert pascal("atrc").regime.settings.encoder_lr == 0.005
    assert pascal("atrc", lr=0.02).regime.settings.lr == 0.02
    assert pascal("atrc", optimizer="matched").regime.settings.lr == 2e-3
    assert optimizer_settings("paper", "densemtl").betas == (0.9, 0.98)
    assert optimizer_settings("matched", "atrc") == optimizer_settings("matched", "densemtl")


def test_atrc_on_pascal_context_is_the_published_one() -> None:
    made = pascal("atrc")
    network: Any = made.regime.network
    # row "human_parts" of the published table: 3 3 4 3 4
    assert network.exchanges["2"].genotype["human_parts"] == {
        "segmentation": "target_label",
        "human_parts": "target_label",
        "saliency": "source_label",
        "normals": "target_label",
        "edges": "source_label",
    }
    assert network.auxiliary.kinds["saliency"] == "binary"
    assert network.auxiliary_weights == {
        "segmentation": 1,
        "human_parts": 2,
        "saliency": 5,
        "normals": 10,
        "edges": 50,
    }
    assert network.auxiliary.binary_weights.tolist() == pytest.approx([0.05, 0.95])
    tasks = {task.name: task for task in made.tasks}
    assert tasks["saliency"].channels == 2 and tasks["edges"].positive_weight == 0.95
    losses = made.regime.losses(pascal_batch())
    assert list(losses) == [*tasks, *(f"auxiliary/{task}" for task in tasks)]
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())


def pascal_batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    binary = (torch.rand(2, 1, 32, 64, generator=generator) > 0.7).float()
    return {
        "image": torch.rand(2, 3, 32, 64, generator=generator),
        "segmentation": torch.randint(0, 21, (2, 32, 64), generator=generator),
        "human_parts": torch.randint(0, 7, (2, 32, 64), generator=generator),
        "saliency": binary,
        "normals": torch.tensor([0.0, 0.6, -0.8]).view(1, 3, 1, 1).expand(2, 3, 32, 64),
        "edges": binary,
    }


def test_atrc_on_nyudv2_is_the_published_one() -> None:
    made = nyu("atrc", "segmentation,depth,normals,edges")
    network: Any = made.regime.network
    assert made.tasks[3].positive_weight == 0.8
    assert network.auxiliary.binary_weights.tolist() == pytest.approx([0.2, 0.8])
    weights = {"segmentation": 1, "depth": 1, "normals": 10, "edges": 50}
    assert network.auxiliary_weights == weights
    assert network.exchanges["2"].genotype["edges"]["normals"] == "global"
    assert nyu("mti_net", "depth,edges").tasks[1].positive_weight == 0.95


def test_given_options_win() -> None:
    options = {"genotype": "source_label", "positive_weight": 0.6}
    network: Any = pascal("atrc", options=options).regime.network
    assert network.exchanges["2"].genotype["normals"]["normals"] == "source_label"
    assert network.auxiliary.binary_weights.tolist() == pytest.approx([0.4, 0.6])
    assert network.auxiliary_weights["edges"] == 50
    assert pascal("atrc", balancing="equal").regime.balancer.weights == {}
