"""The exchange block written plainly from the equations, as the reference for every speed claim.

One convolution per direction, every correlation matrix stored, softmax spelled out, concatenation
and projection at full resolution. It uses the weights of a `TaskExchange` and gives its outputs.

    OMP_NUM_THREADS=1 python benchmarks/naive_exchange.py --size 256x512 --tasks 3
"""

import argparse
import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from crosstask import benchmark
from crosstask.models.attention import CrossTaskAttention, enlarge, pool
from crosstask.models.exchange import DOWNSCALES, TaskExchange

Features = dict[str, Tensor]
Block = Callable[[Features], Features]
Row = tuple[str, Block, Features, torch.dtype]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", default="256x512", help="of the image; the block runs at half of it"
    )
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--mode", choices=("inference", "training"), default="inference")
    parser.add_argument(
        "--part",
        choices=("exchange", "correlation"),
        default="exchange",
        help="the whole block, or the correlation branch of one direction",
    )
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.device == "cpu":
        torch.set_num_threads(1)
    height, width = (int(x) // 2 for x in args.size.split("x"))
    names = list(benchmark.task_names(args.tasks))
    exchange = TaskExchange(names, args.channels, DOWNSCALES[1]).to(args.device)
    for parameter in (p for n, p in exchange.named_parameters() if n.endswith("alpha")):
        nn.init.normal_(parameter)
    features = {
        name: torch.rand(1, args.channels, height, width, device=args.device) for name in names
    }
    difference = largest_difference(exchange, features)
    exchange.train(args.mode == "training")
    variants = correlations if args.part == "correlation" else exchanges
    kind = torch.bfloat16 if args.bf16 else torch.float32
    records = benchmark.measure(
        [
            benchmark.Variant(name, step(function, inputs, dtype, args.mode, args.device))
            for name, function, inputs, dtype in variants(exchange, features, kind, args.mode)
        ],
        rounds=args.rounds,
        device=args.device,
    )
    print(
        f"{args.part}, {args.mode}, {args.tasks} tasks, {args.channels} channels, block at "
        f"{height}x{width}; largest relative difference of the outputs {difference:.1e}"
    )
    for r in records:
        share = r["memory_mb"] / records[0]["memory_mb"]
        print(
            f"{r['name']:<45} {r['median_ms']:9.1f} ms   {r['ratio']:5.2f} x   "
            f"{r['memory_mb']:8.1f} MB at the peak   {share:5.3f} of naive"
        )


def largest_difference(exchange: TaskExchange, features: Features) -> float:
    """Of the exchange's outputs from the naive ones, relative to the largest value."""
    exchange.eval()
    with torch.inference_mode():
        ours, truth = exchange(features), NaiveExchange(exchange)(features)
    return max(float((ours[t] - truth[t]).abs().max() / truth[t].abs().max()) for t in ours)


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
    function: Block, inputs: Features, dtype: torch.dtype, mode: str, device: str
) -> Callable[[], None]:
    """One forward pass, in training with the backward pass."""

    def run() -> None:
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            if mode == "inference":
                with torch.inference_mode():
                    function(inputs)
                return
            outputs = function(inputs)
        torch.stack([o.float().mean() for o in outputs.values()]).sum().backward()

    return run


if __name__ == "__main__":
    main()
