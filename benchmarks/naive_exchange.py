"""The exchange block written plainly from the equations, as the reference for every speed claim.

One convolution per direction, every correlation matrix stored, softmax spelled out, concatenation
and projection at full resolution. It uses the weights of a `TaskExchange` and gives its outputs.

    OMP_NUM_THREADS=1 python benchmarks/naive_exchange.py --size 256x512 --tasks 3
"""

import argparse
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from crosstask import benchmark
from crosstask.models.attention import CrossTaskAttention, enlarge, pool
from crosstask.models.exchange import DOWNSCALES, TaskExchange


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
        correlation = module.correlation
        query = correlation.query(pool(target, module.downscale, "nearest")).flatten(2)
        small = pool(extracted, module.downscale, "max")
        key, value = correlation.key(small).flatten(2), correlation.value(small).flatten(2)
        matrix = (query.transpose(1, 2) @ key / math.sqrt(query.shape[1])).softmax(dim=-1)
        attended = (matrix @ value.transpose(1, 2)).transpose(1, 2).reshape(small.shape)
        attended = attended * correlation.alpha.view(1, -1, 1, 1)
        size = (target.shape[-2], target.shape[-1])
        both = torch.cat([gated, enlarge(attended, module.downscale, size, "nearest")], dim=1)
        return module.norm(functional.conv2d(both, module.projection.weight)).relu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", default="256x512", help="of the image; the block runs at half of it"
    )
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--mode", choices=("inference", "training"), default="inference")
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
    naive = NaiveExchange(exchange)
    features = {
        name: torch.rand(1, args.channels, height, width, device=args.device) for name in names
    }
    last = {n: f.contiguous(memory_format=torch.channels_last) for n, f in features.items()}
    exchange.eval()
    with torch.inference_mode():
        pairs = zip(exchange(features).values(), naive(features).values(), strict=True)
        difference = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    kind = torch.bfloat16 if args.bf16 else torch.float32

    def runner(block: nn.Module, inputs: dict[str, Tensor], dtype: torch.dtype):
        def step() -> None:
            with torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
                if args.mode == "inference":
                    with torch.inference_mode():
                        block(inputs)
                    return
                outputs = block(inputs)
            torch.stack([o.float().mean() for o in outputs.values()]).sum().backward()

        return step

    records = benchmark.measure(
        [
            benchmark.Variant("naive, float32", runner(naive, features, torch.float32)),
            benchmark.Variant("exchange, float32", runner(exchange, features, torch.float32)),
            benchmark.Variant(f"exchange, {kind}, channels-last", runner(exchange, last, kind)),
        ],
        rounds=args.rounds,
        device=args.device,
    )
    print(
        f"{args.mode}, {args.tasks} tasks, {args.channels} channels, block at {height}x{width}; "
        f"largest relative difference of the outputs {difference:.1e}"
    )
    for r in records:
        print(
            f"{r['name']:<45} {r['median_ms']:9.1f} ms   {r['ratio']:5.2f} x   {r['memory_mb']:8.1f} MB kept"
        )


if __name__ == "__main__":
    main()
