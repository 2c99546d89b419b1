"""The exchange block written plainly from the equations, as the reference for every speed claim.

One convolution per direction, every correlation matrix stored, softmax spelled out, concatenation
and projection at full resolution. It uses the weights of a `TaskExchange` and gives its outputs.

    OMP_NUM_THREADS=1 python benchmarks/naive_exchange.py --size 256x512 --tasks 3

With `--part network` the whole DenseMTL with the naive block stands beside ours, with the same flags.
"""

import argparse
import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from crosstask.deploy import benchmark
from crosstask.deploy.optimize import optimize
from crosstask.models import create_model
from crosstask.models.exchanges.mteb import DOWNSCALES, TaskExchange
from crosstask.models.exchanges.xtam import CrossTaskAttention
from crosstask.models.layers.attention_grid import enlarge, pool
from crosstask.models.networks.recompute import recompute_activations

Features = dict[str, Tensor]
Block = Callable[[Features], Features]
Row = tuple[str, Block, Features, torch.dtype]
Measured = tuple[list[benchmark.Variant], str]
LAST = torch.channels_last


class NaiveExchange(nn.Module):
    """`TaskExchange` (add fusion, released operators) with nothing merged and nothing fused."""

    def __init__(self, exchange: TaskExchange) -> None:
        super().__init__()
        self.exchange = exchange

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        merged = {}
        for target in self.exchange.tasks:
            read = [
                self.direction(
                    self.exchange.direction(source, target), features[target], features[source]
                )
                for source in self.exchange.others(target)
            ]
            projected = self.exchange.fusions[target](torch.cat(read, dim=1))
            merged[target] = features[target] + self.exchange.norms[target](projected).relu()
        return merged

    @staticmethod
    def direction(module: CrossTaskAttention, target: Tensor, source: Tensor) -> Tensor:
        """f_{j->i}: extractor, gated self-attention, correlation with an explicit N x N softmax."""
        extracted = module.extractor(source).relu()
        gated = module.gate.feature(extracted) * module.gate.mask(extracted).sigmoid()
        attended = NaiveExchange.correlate(module, target, extracted)
        size = (target.shape[-2], target.shape[-1])
        both = torch.cat([gated, enlarge(attended, module.downscale, size, "nearest")], dim=1)
        return module.norm(functional.conv2d(both, module.projection.weight)).relu()

    @staticmethod
    def correlate(module: CrossTaskAttention, target: Tensor, extracted: Tensor) -> Tensor:
        """The correlation branch of one direction, on the attention grid."""
        correlation = module.correlation
        query = correlation.query(pool(target, module.downscale, "nearest")).flatten(2)
        small = pool(extracted, module.downscale, "max")
        key, value = correlation.key(small).flatten(2), correlation.value(small).flatten(2)
        matrix = (query.transpose(1, 2) @ key / math.sqrt(query.shape[1])).softmax(dim=-1)
        attended = (matrix @ value.transpose(1, 2)).transpose(1, 2).reshape(small.shape)
        return attended * correlation.alpha.view(1, -1, 1, 1)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", default="256x512", help="of the image; the block runs at half of it"
    )
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--channels", type=int, default=128, help="of the block")
    parser.add_argument("--encoder", default="resnet101", help="of the network")
    parser.add_argument("--width", type=float, default=1.0, help="of the network")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--mode", choices=("inference", "training"), default="inference")
    parser.add_argument(
        "--part",
        choices=("exchange", "correlation", "network"),
        default="exchange",
        help="the whole block, the correlation branch of one direction, or the whole DenseMTL",
    )
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    device = torch.device(args.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    with benchmark.tf32(False):
        variants, title = (of_network if args.part == "network" else of_block)(args, device)
        print(f"{args.part}, {args.mode}, batch {args.batch}, {args.tasks} tasks, {title}")
        show(benchmark.measure(variants, rounds=args.rounds, device=device))


def show(records: list[dict]) -> None:
    for r in records:
        share = r["memory_mb"] / records[0]["memory_mb"]
        off = f"   outputs differ by {r['difference']:.1e}" if "difference" in r else ""
        print(
            f"{r['name']:<45} {r['median_ms']:9.1f} ms   {r['ratio']:5.2f} x   "
            f"{r['memory_mb']:8.1f} MB at the peak   {share:5.3f} of naive{off}"
        )


def of_block(args: argparse.Namespace, device: torch.device) -> Measured:
    """The exchange, or its correlation branch, on random features."""
    height, width = (int(x) // 2 for x in args.size.split("x"))
    names = list(benchmark.task_names(args.tasks))
    exchange = TaskExchange(names, args.channels, DOWNSCALES[1]).to(device)
    heard(exchange)
    shape = (args.batch, args.channels, height, width)
    features = {name: torch.rand(shape, device=device) for name in names}
    difference = largest_difference(exchange, features)
    exchange.train(args.mode == "training")
    rows = correlations if args.part == "correlation" else exchanges
    kind = torch.bfloat16 if args.bf16 else torch.float32
    variants = [
        benchmark.Variant(name, step(function, inputs, dtype, args.mode, device))
        for name, function, inputs, dtype in rows(exchange, features, kind, args.mode)
    ]
    return variants, (
        f"{args.channels} channels, block at {height}x{width}; largest relative difference of the "
        f"outputs {difference:.1e}"
    )


def of_network(args: argparse.Namespace, device: torch.device) -> Measured:
    """DenseMTL with random weights; every row's difference to the first one's outputs."""
    height, width = (int(x) for x in args.size.split("x"))
    tasks = benchmark.task_names(args.tasks)
    network = create_model(
        "densemtl", tasks, encoder=args.encoder, pretrained=False, width=args.width
    ).to(device)
    heard(network)
    image = torch.rand(args.batch, 3, height, width, device=device)
    make = benchmark.training_step if args.mode == "training" else benchmark.inference_step
    kind = torch.bfloat16 if args.bf16 else torch.float32
    variants, truth = [], None
    for name, made, sample, dtype in list(networks(network.eval(), image, kind, args.mode)):
        found = answers(made, sample, dtype)
        truth = truth or found
        facts = {"difference": difference_of(found, truth)}
        run = make(made, sample, dtype)
        variants.append(benchmark.Variant(name, run, images=args.batch, facts=facts))
    return variants, f"{args.encoder}, width {args.width:g}, {height}x{width}"


def networks(
    network: nn.Module, image: Tensor, kind: torch.dtype, mode: str
) -> Iterator[tuple[str, nn.Module, Tensor, torch.dtype]]:
    """The whole network: with the naive block and with ours, the same flags, and the fastest."""
    naive, last = with_naive_exchanges(network), image.contiguous(memory_format=LAST)
    yield "naive, float32", naive, image, torch.float32
    yield "network, float32", network, image, torch.float32
    if kind != torch.float32:
        yield f"naive, {kind}, channels-last", in_layout(naive), last, kind
        yield f"network, {kind}, channels-last", in_layout(network), last, kind
    if mode == "inference":
        yield f"network, {kind}, optimize()", optimize(network, dtype=kind), last, torch.float32
    else:
        saving = in_layout(network)
        recompute_activations(saving)
        yield f"network, {kind}, channels-last, recomputed", saving, last, kind


def with_naive_exchanges(network: nn.Module) -> nn.Module:
    """A copy of a network whose exchanges are naive."""
    naive = copy.deepcopy(network)
    for level, exchange in naive.exchanges.items():
        naive.exchanges[level] = NaiveExchange(exchange)
    return naive


def in_layout(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).to(memory_format=LAST)


def heard(module: nn.Module) -> None:
    """Correlations start with a weight of zero; give them another, or the output does not depend on them."""
    for parameter in (p for n, p in module.named_parameters() if n.endswith("alpha")):
        nn.init.normal_(parameter)


def answers(network: nn.Module, image: Tensor, dtype: torch.dtype) -> Features:
    """The final outputs, in float32."""
    with (
        torch.inference_mode(),
        torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32),
    ):
        return {task: outputs[-1].float() for task, outputs in network(image).items()}


def largest_difference(exchange: TaskExchange, features: Features) -> float:
    """Of the exchange's outputs from the naive ones, relative to the largest value."""
    exchange.eval()
    with torch.inference_mode():
        return difference_of(exchange(features), NaiveExchange(exchange)(features))


def difference_of(found: Features, truth: Features) -> float:
    """The largest one, relative to the largest value of each task."""
    return max(float((found[t] - truth[t]).abs().max() / truth[t].abs().max()) for t in truth)


def exchanges(
    exchange: TaskExchange, features: Features, kind: torch.dtype, mode: str
) -> Iterator[Row]:
    """The whole block: as written, ours, and ours with channels-last and the asked precision."""
    last = {n: f.contiguous(memory_format=torch.channels_last) for n, f in features.items()}
    naive = NaiveExchange(exchange)
    yield "naive, float32", naive, features, torch.float32
    if kind != torch.float32:
        yield f"naive, {kind}, channels-last", naive, last, kind
    yield "exchange, float32", exchange, features, torch.float32
    yield f"exchange, {kind}, channels-last", exchange, last, kind
    if mode == "training":
        saving = copy.deepcopy(exchange)
        saving.recompute = True
        yield f"exchange, {kind}, recomputed", saving, features, kind


def correlations(
    exchange: TaskExchange, features: Features, kind: torch.dtype, mode: str
) -> Iterator[Row]:
    """The correlation branch of the first direction."""
    target, source = exchange.tasks[:2]
    module = exchange.direction(source, target)

    def naive(x: Features) -> Features:
        return {target: NaiveExchange.correlate(module, x[target], x[source])}

    def ours(x: Features) -> Features:
        return {target: module.correlation(x[target], x[source])}

    yield "naive, float32", naive, features, torch.float32
    yield f"correlation, {kind}", ours, features, kind


def step(
    function: Block, inputs: Features, dtype: torch.dtype, mode: str, device: torch.device
) -> Callable[[], None]:
    """One forward pass, in training with the backward pass."""

    def run() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            if mode == "inference":
                with torch.inference_mode():
                    function(inputs)
                return
            outputs = function(inputs)
        torch.stack([o.float().mean() for o in outputs.values()]).sum().backward()

    return run


if __name__ == "__main__":
    main()
