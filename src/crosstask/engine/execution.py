"""How the network runs in training: in which processes, compiled, recomputed, its encoder frozen."""

import os
import warnings

import torch
from lightning.pytorch.strategies import StrategyRegistry

from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware, check_compiler
from crosstask.engine.processes import launched_by
from crosstask.models.networks.recompute import recompute_activations
from crosstask.regimes.regime import Regime


def prepare_network(regime: Regime, hardware: Hardware, compile: bool, recompute: bool) -> None:
    """How the network runs; neither changes what it computes, nor the keys of its weights."""
    if hardware.emulates:
        warnings.warn(
            "this CPU emulates bf16, ten to twenty times slower than float32; leave `--precision` out",
            stacklevel=3,
        )
    if compile and recompute:
        raise ValueError(
            "`--compile` plans what to recompute itself; leave out `--recompute` or `--compile`"
        )
    if recompute:
        recompute_activations(regime.network)
    if compile:
        check_compiler(hardware.device.type)
        # Balancers differentiate several losses of one graph, which then may not reuse its buffers.
        torch._functorch.config.donated_buffer = False
        # A graph for each of: gradients or none, training or evaluation, autocast or none, size of
        # the batch, memory layout. The limit of 8 would end a run with an error, perhaps at its end.
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        regime.network.compile(fullgraph=True)


def check_processes(devices: int, num_nodes: int, strategy: str, device: str) -> None:
    """Asks what Lightning would refuse only when a run directory exists already.

    Raises:
        ValueError: a number below 1, more GPUs than this machine has, an unknown strategy, other numbers
            than torchrun or SLURM started processes, or several nodes without such a start.
    """
    for name, value in (("devices", devices), ("num_nodes", num_nodes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` is {value!r}; expected a whole number from 1")
    present = torch.cuda.device_count()
    if device == "cuda" and devices > present:
        raise ValueError(f"`devices` is {devices}; this machine has {present} GPUs")
    known = ("auto", *StrategyRegistry.available_strategies())
    if strategy not in known:
        raise ValueError(f"`strategy` is {strategy!r}; expected one of {', '.join(known)}")
    launcher = launched_by() if devices * num_nodes > 1 else None
    if launcher is not None:
        launcher.validate_settings(num_devices=devices, num_nodes=num_nodes)
    elif num_nodes > 1 and "NODE_RANK" not in os.environ:
        raise ValueError(
            f"`num_nodes` is {num_nodes}, and neither torchrun nor srun started this process; start the "
            "same command on every node with one of them"
        )


def check_freezing(experiment: Experiment, compile: bool, processes: int) -> None:
    if compile and experiment.cache_features is not None:
        raise ValueError(
            "`--compile` plans the whole network, and `--cache-features` leaves half of it out; leave out "
            "one of them"
        )
    if processes > 1 and experiment.regime.unfreeze_at is not None:
        raise ValueError(
            "`unfreeze_at` works in one process: several agree at the start on what is trained. Train "
            "with the frozen encoder first, then a second run with `--init-from` it and without `--freeze`"
        )
