"""Where a training step goes: by part, by operator, and what other ways of running it would change.

Usage: python benchmarks/training_step.py [--rounds 5] [--operators 15] [--only NAME ...] [--json FILE]

The demo's step: `densemtl` on tf_efficientnet_lite0, S-D-N-E, 96x192, batches of 4, fused AdamW, one thread, float32 unless
a way says otherwise. Times are processor time of this process, which other programs disturb less than the clock. The ways
take turns, step by step; a ratio is the median over the rounds of the first way's time over this one's. "Differs by" is
the largest relative difference of the tasks' losses on the same batch and weights.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from crosstask.data.loading import train_loader
from crosstask.engine.experiment import Experiment
from crosstask.recipes.procedural import supervised
from crosstask.regimes.optimization import create_optimizer

DEMO: dict[str, Any] = {
    "size": "96x192", "steps": 300, "val_every": 150, "encoder": "tf_efficientnet_lite0",
    "encoder_lr": 2e-4, "canonical_focal": 180.0, "encoder_weights": "auto", "workers": 0,
}  # fmt: skip
TINY = {
    **DEMO,
    "size": "32x64",
    "encoder": "resnet10t",
    "encoder_weights": "none",
    "width": 0.0625,
    "batch_size": 2,
}


class Step:
    """One way of running the demo's step.

    Args:
        options: of the recipe, beside the demo's.
        dtype: of autocast.
        fused: the optimiser's kernel over all weights; False is torch's loop over lists.
    """

    def __init__(
        self,
        options: dict[str, Any],
        dtype: torch.dtype = torch.float32,
        fused: bool = True,
    ) -> None:
        self.experiment: Experiment = supervised(**options)
        self.regime, self.dtype = self.experiment.regime, dtype
        self.regime.train()
        settings = self.regime.settings
        groups = self.regime.configure_optimizers()["optimizer"].param_groups
        kept = [{k: g[k] for k in ("params", "lr", "weight_decay")} for g in groups]
        self.optimizer = create_optimizer(settings, kept, fused)
        self.parts: dict[str, list[float]] = {}
        self._last = 0.0
        network: Any = self.regime.network
        self._inside: dict[str, float] = {}
        for part, modules in (
            ("encoder", [network.encoder]),
            ("exchanges", network.exchanges.values()),
        ):
            for module in modules:
                module.register_forward_pre_hook(self._begin)
                module.register_forward_hook(self._end(part))

    def _begin(self, *_: Any) -> None:
        self._started = time.process_time()

    def _end(self, part: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            used = time.process_time() - self._started
            self._inside[part] = self._inside.get(part, 0.0) + used

        return hook

    def _lap(self, part: str) -> None:
        now = time.process_time()
        self.parts.setdefault(part, []).append(now - self._last)
        self._last = now

    def __call__(self, batch: dict[str, Any], seed: int = 0) -> dict[str, float]:
        """The losses of the step, whose times are added to `parts`."""
        regime, self._inside = self.regime, {}
        torch.manual_seed(seed)
        self._last = time.process_time()
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            outputs = regime.network(regime.image(batch))
            self._lap("decoders and heads")
            losses = regime.labelled_losses(dict(outputs), batch)
            total = regime.balancer.combine(losses)
        self._lap("losses")
        regime.balancer.backward(total, losses, regime.shared_parameters(), 1.0)
        regime.balancer.finish(regime.shared_parameters())
        self._lap("backward pass")
        nn.utils.clip_grad_norm_(regime.parameters(), self.experiment.clip or 10.0)
        self._lap("clipping")
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._lap("optimiser")
        for part, used in self._inside.items():
            self.parts.setdefault(part, []).append(used)
            self.parts["decoders and heads"][-1] -= used
        return {name: float(loss) for name, loss in losses.items()}


def ways(options: dict[str, Any]) -> dict[str, Callable[[], Step]]:
    """What is compared; the first is the reference, as the library trains in float32."""
    return {
        "as it is": lambda: Step(options),
        "bf16": lambda: Step(options, torch.bfloat16),
        "contiguous layout": lambda: Step({**options, "channels_last": False}),
        "optimiser not fused": lambda: Step(options, fused=False),
        "no exchange": lambda: Step({**options, "architecture": "multi_task_matched"}),
        "encoder frozen": lambda: Step({**options, "freeze": "encoder"}),
    }


def load(step: Step, count: int) -> tuple[list[dict[str, Any]], list[float]]:
    """(batches, seconds of each): rendered in this process."""
    data = train_loader(
        step.experiment.train_data(), batch_size=step.experiment.batch_size, batches=count, seed=7
    )
    batches, times, stream = [], [], iter(data)
    for _ in range(count):
        start = time.process_time()
        batches.append(next(stream))
        times.append(time.process_time() - start)
    return batches, times


def operators(step: Step, batch: dict[str, Any], count: int) -> list[tuple[str, float]]:
    """The operators that take most of a step's processor time: (name, share)."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step(batch)
    events = [(e.key, float(e.self_cpu_time_total)) for e in profiled.key_averages()]
    whole = sum(own for _, own in events)
    largest = sorted(events, key=lambda event: -event[1])[:count]
    return [(name, own / whole) for name, own in largest]


def measure(options: dict[str, Any], rounds: int, count: int, only: list[str]) -> dict[str, Any]:
    """Everything, as JSON values."""
    torch.set_num_threads(1)
    wanted = {
        k: make for k, make in ways(options).items() if not only or k in only or k == "as it is"
    }
    steps = {name: make() for name, make in wanted.items()}
    reference = steps["as it is"]
    batches, loading = load(reference, 2)
    times: dict[str, list[float]] = {name: [] for name in steps}
    first: dict[str, dict[str, float]] = {}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = time.process_time()
            losses = step(batches[number % 2], seed=number)
            times[name].append(time.process_time() - start)
            first.setdefault(name, losses)  # before any weight has moved
    parts = {k: statistics.median(v[1:]) for k, v in reference.parts.items()}
    parts = {"loading (rendered)": loading[-1], **parts}
    expected = first["as it is"]
    records = []
    for name, own in times.items():
        ratios = [a / b for a, b in zip(times["as it is"][1:], own[1:], strict=True)]
        differs = max(abs(first[name][k] / v - 1) for k, v in expected.items())
        records.append({"way": name, "seconds": statistics.median(own[1:]), "ratio": statistics.median(ratios), "differs": differs})  # fmt: skip
    return {"torch": torch.__version__, "parts": parts, "ways": records, "operators": operators(reference, batches[0], count)}  # fmt: skip


def markdown(result: dict[str, Any]) -> str:
    """Three tables."""
    whole = sum(result["parts"].values())
    lines = ["| part | ms | share |", "|---|---|---|"]
    lines += [
        f"| {k} | {1e3 * v:.0f} | {100 * v / whole:.0f} % |" for k, v in result["parts"].items()
    ]
    lines += ["", "| operator | share |", "|---|---|"]
    lines += [f"| {name} | {100 * share:.1f} % |" for name, share in result["operators"]]
    lines += ["", "| way | ms | times faster | losses differ by |", "|---|---|---|---|"]
    lines += [
        f"| {r['way']} | {1e3 * r['seconds']:.0f} | {r['ratio']:.2f} | {r['differs']:.1g} |"
        for r in result["ways"]
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, measure, print."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--operators", type=int, default=15)
    parser.add_argument("--only", nargs="+", default=[], choices=list(ways(DEMO)))
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error(f"`--rounds` is {args.rounds}; expected at least 1")
    result = measure(TINY if args.tiny else DEMO, args.rounds, args.operators, args.only)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
