"""Weights of another run, or of a checkpoint, for a regime and the networks beside its own."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from crosstask.engine import checkpoints, places
from crosstask.engine.runs import Run
from crosstask.engine.weights import copy_matching, load_weights
from crosstask.models.companions.correlation_pose import CorrelationPoseNetwork
from crosstask.models.companions.pose import PoseNetwork
from crosstask.models.networks.scene_network import SceneNetwork
from crosstask.models.registry import take_over_input
from crosstask.regimes.regime import Regime


def take_over_inputs(
    regime: nn.Module, companions: Mapping[str, nn.Module], description: Mapping[str, Any]
) -> None:
    """Normalise images as a model.json says, in all networks whose weights are loaded from elsewhere.

    Args:
        companions: of the regime, by name.
    """
    take_over_input(regime, description["model"])
    pose = companions.get("pose_network")
    known = description.get("pose_network")
    if isinstance(pose, PoseNetwork | CorrelationPoseNetwork) and isinstance(known, Mapping):
        pose.normalize_with(known.get("normalization", "imagenet"))


def restore_companions(regime: Regime, checkpoint: Path, strict: bool = True) -> list[str]:
    """Loads the regime's `companions` from a checkpoint; returns the names that were left out.

    Args:
        strict: raise where one does not fit; else take over what fits.
    """
    left_out: list[str] = []
    companions = regime.companions()
    state = checkpoints.read_checkpoint(checkpoint)["state_dict"] if companions else {}
    for name, module in companions.items():
        own = {k[len(name) + 1 :]: v for k, v in state.items() if k.startswith(f"{name}.")}
        if strict:
            load_weights(module, own, f"{name} of {checkpoint}")
        elif own:
            left_out += [f"{name}.{k}" for k in copy_matching(module, own)]
        else:
            left_out.append(name)
    return left_out


def initialise_from(regime: Regime, run: Path | str) -> list[str]:
    """Copies the weights of another run or model wherever they fit; warns about what was left out.

    Of another architecture the encoder alone may fit; the warning then begins with that.
    """
    run = places.local_copy(run)
    description, weights = places.find(run)
    left_out = copy_matching(regime.network, weights)
    own = regime.network.state_dict()
    taken = [name for name in own if name not in left_out]
    # Biases of predictions fit everywhere and carry nothing.
    outside = [n for n in taken if not n.startswith("encoder.") and own[n].ndim > 1]
    only = "" if outside else "encoder only: "
    if not any(name.startswith("encoder.") for name in left_out):
        take_over_input(regime, description["model"])
    place = Path(run)
    checkpoint = place if place.is_file() else Run(place).checkpoint()
    if checkpoint.is_file():
        left_out += restore_companions(regime, checkpoint, strict=False)
    if left_out:
        unused = [name for name in left_out if name in weights and name not in own]
        new = [name for name in left_out if name not in unused]
        more = f" and {len(new) - 6} more" if len(new) > 6 else ""
        told = [f"not taken over (other size or absent): {', '.join(new[:6])}{more}"] if new else []
        told += [f"{len(unused)} of its tensors have no place here"] if unused else []
        told += _other_network(regime.network, description["model"])
        warnings.warn(
            f"`--init-from {run}`: {only}{len(taken)} of {len(own)} tensors taken over; "
            + "; ".join(told),
            stacklevel=2,
        )
    return left_out


def _other_network(network: nn.Module, its: Mapping[str, Any]) -> list[str]:
    """What to ask for to have the network that the weights are of, where this one is another."""
    if not isinstance(network, SceneNetwork):
        return []
    own = network.spec
    names = [
        name for name in ("architecture", "encoder", "width") if own.get(name) != its.get(name)
    ]
    asked = [f"--{name} {its[name]}" for name in names if its.get(name) is not None]
    mine, other = own.get("options") or {}, its.get("options") or {}
    if mine != other:
        asked += [f"--options.{key} {value}" for key, value in other.items()] or ["no `--options`"]
    return [f"its network is that of {' '.join(asked)}"] if asked else []
