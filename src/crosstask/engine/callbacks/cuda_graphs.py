"""Training steps replayed from CUDA graphs: for small networks, whose time is not the GPU's but Python's."""

from collections.abc import Callable
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from crosstask.balancing import Balancer
from crosstask.engine.experiment import Experiment
from crosstask.regimes.regime import Regime

# Replaced by tests, which have no GPU.
record: Callable[..., Any] = torch.cuda.make_graphed_callables


class CudaGraphs(pl.Callback):
    """Records the network's forward and backward pass on the first batch, and replays them from then on.

    Thousands of small kernels then cost one launch each way. Losses, clipping and the optimiser run as
    ever. Batches of another size, validation and prediction run the network itself.
    """

    def __init__(self) -> None:
        self._network: nn.Module | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._network is not None:
            return
        regime = cast(Regime, pl_module)
        self._network = regime.network
        # Where gradients add up was set while recording, on another stream: the order is kept all the same.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
        context = trainer.precision_plugin.train_step_context
        replay_training(regime.network, regime.image(batch), context)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._release()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._release()

    def _release(self) -> None:
        """The network is its own again; the graphs' memory is free."""
        if self._network is not None:
            torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(True)
            self._network.__dict__.pop("forward", None)
            self._network = None


def replay_training(network: nn.Module, image: Tensor, context: Callable[[], Any]) -> None:
    """Replaces `network.forward` on images of this size, in training, by a replay.

    Args:
        network: in training mode, on the GPU.
        image: (B,C,H,W), as training gives them.
        context: makes the context that training steps run in (autocast).
    """
    plain = network.forward
    kept = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with context(), _uncached_autocast():
        record(network, (image.detach().clone(),), allow_unused_input=True)
    replay = network.forward
    with torch.no_grad():  # the passes that warm up for the recording have counted in batch norms
        for name, buffer in network.named_buffers():
            buffer.copy_(kept[name])

    def forward(given: Tensor) -> Any:
        fits = given.shape == image.shape and given.dtype == image.dtype
        if network.training and torch.is_grad_enabled() and fits:
            return replay(given)
        return plain(given)

    network.forward = forward


def _uncached_autocast() -> Any:
    """Autocast as it is now, but weights are cast anew in every pass: a recording keeps no cast of old ones."""
    if not torch.is_autocast_enabled("cuda"):
        return torch.autocast("cuda", enabled=False)
    return torch.autocast("cuda", dtype=torch.get_autocast_dtype("cuda"), cache_enabled=False)


def check_cuda_graphs(
    experiment: Experiment, device: str, compile: bool, recompute: bool, processes: int
) -> None:
    """Whether training of this kind can be replayed.

    Raises:
        ValueError: says what stands against it.
    """
    check_gpu(device)
    regime = experiment.regime
    own_backward = type(regime.balancer).backward is not Balancer.backward
    against = {
        "and `--compile` are two ways to the same; leave out one": compile,
        "keeps activations, and `--recompute` does not; leave out one": recompute,
        "works in one process; leave out `--devices` and `--num-nodes`": processes > 1,
        "holds one batch of gradients; leave out `--accumulate`": experiment.accumulate > 1,
        "records what is trained at the start; leave out `--unfreeze-at`": regime.unfreeze_at is not None,
        "records the whole network, and `--cache-features` leaves half of it out; leave out one": experiment.cache_features is not None,
        "holds the gradients of one loss, and this balancing method looks at each task's; take `--balancing equal` or `paper`": regime.balancer.compares_gradients or own_backward,
        "is for regimes that call the network once a step (supervised)": not regime.calls_network_once,
    }  # fmt: skip
    for reason, applies in against.items():
        if applies:
            raise ValueError(f"`--cuda-graphs` {reason}")


def check_gpu(device: str) -> None:
    """Raises ValueError where there is nothing to record on."""
    if device != "cuda":
        raise ValueError(
            f"`--cuda-graphs` needs an NVIDIA GPU, and this runs on {device}; leave it out"
        )
