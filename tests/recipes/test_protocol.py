"""`--protocol released` reaches the labels, not only the losses and what env.json says."""

from typing import Any

import pytest

from crosstask.recipes import procedural

TINY: dict[str, Any] = {
    "tasks": "segmentation,depth",
    "architecture": "multi_task_matched",
    "encoder": "resnet10t",
    "pretrained": False,
    "width": 0.0625,
    "size": "32x64",
    "train_length": 3,
    "val_length": 3,
}


def protocols(facts: Any) -> set[str]:
    """Of a dataset's record, and of all its parts'."""
    if isinstance(facts, dict):
        own = {facts["protocol"]} if facts.get("source") == "procedural" else set()
        return own.union(*map(protocols, facts.values()))
    return set().union(*map(protocols, facts)) if isinstance(facts, list) else set()


@pytest.mark.parametrize("protocol", ["correct", "released"])
@pytest.mark.parametrize("recipe", ["supervised", "partial", "randomized", "adaptation"])
def test_the_protocol_is_that_of_the_labels(recipe: str, protocol: str) -> None:
    experiment = vars(procedural)[recipe](protocol=protocol, **TINY)
    assert experiment.protocol == protocol
    for data in (experiment.train_data(), experiment.val_data(), experiment.scored_data()):
        assert protocols(data.describe()) == {protocol}
