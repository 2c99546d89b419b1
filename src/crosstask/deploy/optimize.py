"""A trained network made fast for inference; the mathematics stays, the rounding may not."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from crosstask.engine.hardware import check_compiler, cpu_has_fast_bf16, gpu_has_bf16
from crosstask.models.layers.full_precision import full_precision
from crosstask.models.networks.scene_network import SceneNetwork


class Optimized(nn.Module):
    """A network for inference: folded norms, final outputs only, memory layout, number format, CUDA graphs.

    Made by `optimize`. Image in, {task: [fine]} out, float32 whatever the inside uses.
    """

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        channels_last: bool,
        cuda_graphs: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.dtype, self.channels_last = network, dtype, channels_last
        self.cuda_graphs = cuda_graphs
        if cuda_graphs:
            raise_recompile_limit()
        # in a list, for its weights are those of `network` and must not be listed twice
        self._graph = (
            [torch.compile(network, mode="reduce-overhead", fullgraph=True)] if cuda_graphs else []
        )

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        if self.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        enabled = self.dtype != torch.float32
        with torch.autocast(image.device.type, self.dtype if enabled else None, enabled=enabled):
            if self.cuda_graphs:
                torch.compiler.cudagraph_mark_step_begin()
            outputs = (self._graph[0] if self._graph else self.network)(image)
        final = {k: [o.float() for o in v[-1:]] for k, v in outputs.items() if k != "auxiliary"}
        if self.cuda_graphs:  # the graph writes its next answers into the same memory
            return {k: [o.clone() for o in v] for k, v in final.items()}
        return final


def optimize(
    network: nn.Module,
    *,
    dtype: torch.dtype | None = None,
    channels_last: bool = True,
    cuda_graphs: bool = False,
    tolerance: float = 1e-3,
) -> Optimized:
    """A copy of the network for inference.

    Folds every batch norm that directly follows a convolution into it, leaves the intermediate
    predictions out, and picks channels-last and bf16 where the machine computes bf16 natively.

    Args:
        network: as made by `create_model`; stays as it was.
        dtype: torch.bfloat16 or torch.float32; chosen by the machine if left out.
        channels_last: memory layout of convolutions.
        cuda_graphs: compile the network and replay its kernels as one CUDA graph, which helps where a
            GPU waits for Python: small images, batch 1. One graph for each size and batch; torch's
            limit of compiled versions is raised for it (`raise_recompile_limit`).
        tolerance: largest difference, relative to each output's largest value, that folding may
            make on random images, in float32 on the CPU (a GPU may round to TF32).

    Raises:
        ValueError: folding changed the outputs, so the network has a part it cannot handle; or CUDA
            graphs for a network that is not on a GPU, or without the compiler they need.
    """
    device = next(network.parameters()).device
    if cuda_graphs and device.type != "cuda":
        raise ValueError(
            "`cuda_graphs` needs the network on a GPU: move it there with `.to('cuda')`, or leave "
            "it out"
        )
    if cuda_graphs:
        check_compiler("cuda", "cuda_graphs")
    if dtype is None:
        fast = gpu_has_bf16() if device.type == "cuda" else cpu_has_fast_bf16()
        dtype = torch.bfloat16 if fast else torch.float32
    folded = copy.deepcopy(network).eval()
    fold_batch_norms(folded)
    _check(network, folded, tolerance)
    if isinstance(folded, SceneNetwork):
        folded.final_only = True
    folded.requires_grad_(False)
    if channels_last:
        folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Optimized(folded, dtype, channels_last, cuda_graphs).eval()


def raise_recompile_limit() -> None:
    """Lets torch.compile keep as many versions of one function as it may keep in all (256).

    Networks of one class share their code, and each network and size needs a version of its own;
    beyond torch's limit of eight, compiling without graph breaks is an error.
    """
    settings: Any = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, settings.accumulated_recompile_limit)


def fold_batch_norms(module: nn.Module) -> int:
    """Folds (convolution, batch norm) neighbours in place; returns how many."""
    count = 0
    for parent, conv_name, norm_name in list(_pairs(module)):
        # Modules of any network, by the names that `_pairs` found.
        conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
        setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(parent, norm_name, nn.Identity())
        count += 1
    return count


def _pairs(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Neighbouring children: in a Sequential, or named alike (conv1 and bn1) in a timm block."""
    for parent in module.modules():
        children = list(parent.named_children())
        for (name, child), (following, norm) in itertools.pairwise(children):
            fits = (
                type(child) is nn.Conv2d
                and type(norm) is nn.BatchNorm2d
                and child.out_channels == norm.num_features
                and norm.track_running_stats
            )
            alike = name.replace("conv", "bn") == following or isinstance(parent, nn.Sequential)
            if fits and alike:
                yield parent, name, following


@torch.no_grad()
def _check(network: nn.Module, folded: nn.Module, tolerance: float) -> None:
    """On copies on the CPU: the convolutions of a GPU may be TF32, rougher than the tolerance."""
    channels = network.in_channels if isinstance(network, SceneNetwork) else 3
    cpu, image = torch.device("cpu"), torch.rand(1, channels, 64, 96)
    with full_precision(cpu):
        before, after = (copy.deepcopy(n).to(cpu).float().eval()(image) for n in (network, folded))
    for task, outputs in before.items():
        if task == "auxiliary":
            continue
        largest = outputs[-1].abs().max().clamp(min=1e-6)
        difference = float((outputs[-1] - after[task][-1]).abs().max() / largest)
        if not difference <= tolerance:  # also where it is not a number
            raise ValueError(
                f"folding batch norms changed `{task}` by {difference:.2g} of its largest value; this "
                "network has a norm that does not follow its convolution: use it as it is"
            )
