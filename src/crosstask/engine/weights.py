"""Weights into a network: all of them, or those that fit."""

from collections.abc import Mapping

from torch import Tensor, nn

from crosstask.engine.description import ModelFileError
from crosstask.evaluation.finite import learned, non_finite


def load_weights(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Strict loading with a readable key report.

    Raises:
        ModelFileError: missing, unexpected or wrongly shaped entries.
    """
    report = key_report(network, state)
    if report:
        raise ModelFileError(
            f"the weights of {origin} do not fit this architecture:\n{report}\n"
            "Load them into the architecture that made them (see its model.json)"
        )
    check_weights(network, state, origin)
    network.load_state_dict(dict(state))


def check_weights(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Refuses weights that hold NaN or infinity.

    Raises:
        ModelFileError: such weights; names the first.
    """
    bad = non_finite({name: state[name] for name in learned(network) if name in state})
    if bad:
        raise ModelFileError(
            f"the weights of {origin} are not finite ({bad[0]}"
            + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
            + "): the run diverged, or the file is damaged; use another checkpoint"
        )


def key_report(network: nn.Module, state: Mapping[str, Tensor], most: int = 8) -> str:
    """What is missing, unexpected or of another shape; empty if all fits."""
    own = network.state_dict()
    missing = [k for k in own if k not in state]
    extra = [k for k in state if k not in own]
    shapes = [
        f"{k}: {tuple(state[k].shape)}, expected {tuple(own[k].shape)}"
        for k in own
        if k in state and own[k].shape != state[k].shape
    ]
    lines = []
    for title, entries in (("missing", missing), ("unexpected", extra), ("other shape", shapes)):
        if entries:
            shown = "\n    ".join(entries[:most])
            more = f"\n    ... and {len(entries) - most} more" if len(entries) > most else ""
            lines.append(f"  {title} ({len(entries)}):\n    {shown}{more}")
    return "\n".join(lines)


def copy_matching(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Copies every entry that fits; returns the names that were left out (both sides)."""
    own = network.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise ModelFileError(
            "nothing of the given run fits this network; is it another architecture?"
        )
    check_weights(network, fitting, "the given run")
    network.load_state_dict(fitting, strict=False)
    return [k for k in own if k not in fitting] + [k for k in state if k not in own]
