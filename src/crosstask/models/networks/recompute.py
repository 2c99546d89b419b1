"""Activation checkpointing of a whole network, see `crosstask.models.layers.recompute`."""

from torch import nn

from crosstask.models.exchanges.base import Exchange
from crosstask.models.networks.scene_network import SceneNetwork


def recompute_activations(network: nn.Module, enabled: bool = True) -> list[str]:
    """Exchanges and decoders keep their inputs only, and run again in the backward pass.

    The paper's block does so direction by direction, so that no more than one direction's
    activations exist at a time; other exchanges, and the decoders of `Network` stage by stage, as
    wholes. Nothing changes in inference.

    Args:
        network: made by `create_model`.

    Returns:
        names of the modules concerned.

    Raises:
        ValueError: a network of another kind.
    """
    if not isinstance(network, SceneNetwork):
        raise ValueError(
            f"{type(network).__name__} is not a `SceneNetwork`; leave activation checkpointing out"
        )
    network.recompute = enabled
    for exchange in network.exchanges.values():
        if isinstance(exchange, Exchange):
            exchange.recompute = enabled
    groups = (("exchanges", network.exchanges), ("decoders", network.decoders))
    return [f"{group}.{name}" for group, modules in groups for name in modules]
