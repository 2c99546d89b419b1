"""Networks that a user's own recipe puts together, without `create_model`: recorded and made again.

Such a network is what its recipe says, so the recipe's file and options stand in model.json.
"""

import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from crosstask.models import Encoder
from crosstask.models.registry import take_over_input
from crosstask.plugins.files import load, parse
from crosstask.plugins.find import is_recordable
from crosstask.plugins.trust import whole_paths


class UnrecordedNetwork(ValueError):
    """The network could not be loaded again; says what to do before it is trained."""


def describe_network(network: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entry `model` of model.json.

    Args:
        config: the recipe's name and options, as in config.yaml.

    Raises:
        UnrecordedNetwork: made neither by `create_model` nor by a recipe in a file, or with parts
            that stand in no file.
    """
    # A network of a user's own need not be a `SceneNetwork`.
    spec = dict(getattr(network, "spec", None) or {})
    if "architecture" not in spec:
        return _by_recipe(network, config)
    for name in _texts(spec):
        if not is_recordable(name):
            raise UnrecordedNetwork(
                f"{name.partition(':')[2]} was defined in no file, so that the model could not be "
                "loaded; write it into a file of its own, or give it a name with "
                "`crosstask.register` and pass the name"
            )
    return spec


def build_own(model: Mapping[str, Any]) -> nn.Module:
    """The network that a recipe in a file makes, with random weights; the file has been trusted."""
    reference = parse(model["recipe"])
    if reference is None:
        raise KeyError("recipe")
    experiment = load(reference, "recipe")(**without_weights(model["recipe_options"]))
    take_over_input(experiment.regime.network, model)
    return experiment.regime.network


# Options of recipes that name weights, at the value that reads none.
WITHOUT_WEIGHTS: Mapping[str, Any] = {
    "init_from": None,
    "pretrained": False,
    "encoder_weights": None,
    "pose_encoder_weights": None,
}


def without_weights(options: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's options where the weights are read from a checkpoint anyway."""
    return {name: WITHOUT_WEIGHTS.get(name, value) for name, value in options.items()}


def _by_recipe(network: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    options = json.loads(json.dumps(dict(whole_paths(config)), default=str))
    recipe = options.pop("recipe", None)
    if parse(recipe) is None:
        raise UnrecordedNetwork(
            f"the network ({type(network).__name__}) was not made by `crosstask.create_model`, so that "
            "nobody could load what is trained; put it into a recipe of your own "
            "(`crosstask train mine.py:recipe`), or make it an architecture "
            "(`--architecture mine.py:net`)"
        )
    # It need not be a `SceneNetwork`.
    encoder, tasks = getattr(network, "encoder", None), getattr(network, "tasks", ())
    known: dict[str, Any] = {}
    if isinstance(encoder, Encoder):
        known = {"normalization": encoder.normalization, "encoder_weights": encoder.weights}
    return known | {
        "architecture": recipe,
        "encoder": str(options.get("encoder") or type(encoder).__name__),
        "tasks": list(tasks),
        "options": {},
        "recipe": recipe,
        "recipe_options": options,
    }


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    values = content.values() if isinstance(content, Mapping) else content
    return [t for v in values for t in _texts(v)] if isinstance(content, dict | list) else []
