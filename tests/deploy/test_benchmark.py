"""The benchmark command: speed, memory and cost by part."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from crosstask.cli import bench, main
from crosstask.deploy import benchmark, peak_memory, variants
from crosstask.engine import hardware
from crosstask.engine.environment import environment
from crosstask.models import create_model
from crosstask.models.networks.recompute import recompute_activations

SMALL = ["--encoder", "resnet10t", "--width", "0.0625", "--sizes", "32x64", "--rounds", "2"]
CPU = torch.device("cpu")


def small(name: str = "densemtl", tasks: int = 2) -> nn.Module:
    return create_model(
        name, benchmark.task_names(tasks), encoder="resnet10t", pretrained=False, width=0.0625
    )


def test_bench_counts_and_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "p.png"
    assert main(["bench", *SMALL, "--tasks", "2,5", "--plot", str(plot), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    records = report["records"]
    assert [(r["name"], r["tasks"]) for r in records] == [
        ("multi_task_matched", 2), ("densemtl", 2), ("multi_task_matched", 5), ("densemtl", 5),
    ]  # fmt: skip
    assert records[0]["ratio"] == pytest.approx(1.0)
    assert records[0]["parts_ms"].keys() == {"encoder", "decoders", "heads"}
    assert records[1]["parts_ms"].keys() == set(benchmark.PARTS)
    for r in records:
        assert r["parts"].keys() == r["parts_ms"].keys()
        for count in ("parameters", "macs"):
            assert sum(part[count] for part in r["parts"].values()) == r[count] > 0
        assert 0 < sum(r["parts_ms"].values()) < 1.5 * r["median_ms"] and r["memory_mb"] > 0
    assert report["machine"]["device"] == "cpu" and report["machine"]["tf32"] is False
    assert plot.stat().st_size > 1000


def test_the_tables_fit_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *SMALL, "--mode", "training", "--recompute"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    assert "training, batch 1, float32, cpu" in lines[0]
    rows = [line.split() for line in lines if line.split()[:1] == ["densemtl"]]
    assert len(rows) == 2 and rows[1].count("ms") == rows[1].count("G") == 4  # not wrapped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--optimize --mode training", "`--optimize` makes networks for inference"),
        ("--tasks 9", "`tasks` is 9; expected 1 to 8"),
        ("--tasks 2,x", "expected whole numbers with commas"),
        ("--rounds 0", "`--rounds` is 0; expected at least 1"),
        ("--batch 0", "`--batch` is 0; expected at least 1"),
        ("--precision bf16", "use 32 or auto, or add `--emulated`"),
        ("--device cuda", "the device 'cuda' was asked for, which this machine lacks"),
        ("--tf32", "give `--device cuda`"),
    ],
)
def test_bad_input(
    options: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hardware, "cpu_has_fast_bf16", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(variants, "_measure", lambda *_: pytest.fail("measured"))
    assert main(["bench", *SMALL, *options.split()]) == 2
    assert message in capsys.readouterr().err


def test_emulated_bf16_is_measured_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hardware, "cpu_has_fast_bf16", lambda: False)
    monkeypatch.setattr(variants, "_measure", lambda *_: [])
    assert main(["bench", *SMALL, "--precision", "bf16", "--emulated"]) == 0
    assert "batch 1, bf16, cpu" in capsys.readouterr().out


COMPILED = """
import functools, json, torch
from crosstask.engine import hardware
from crosstask.cli import main
hardware.check_compiler = lambda device: None
torch.compile = functools.partial(torch.compile, backend="eager")
torch._dynamo.config.recompile_limit = 2
raise SystemExit(main("bench --compile --encoder resnet10t --width 0.0625 --rounds 1 --json --tasks 2,3 "
    "--architectures multi_task_matched,densemtl,densemtl,multi_task --sizes 32x64".split()))
"""


def test_more_compiled_networks_than_torch_keeps_versions() -> None:
    """In a process of its own: executed type annotations break the graph. Memory is not told."""
    command = [sys.executable, "-c", COMPILED]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr[-2000:]
    records = json.loads(result.stdout)["records"]
    assert len(records) == 8 and all(r["memory_mb"] is None for r in records)
    record = records[0] | {"parts_ms": {}}
    assert bench._part_cell(record, "exchanges") == "-"
    assert list(bench._whole_table([record], "").columns[-1].cells) == ["-"]


def test_compiled_versions_are_dropped_between_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = []
    monkeypatch.setattr(torch._dynamo, "reset", lambda: forgotten.append(1))
    monkeypatch.setattr(variants, "_variant", lambda *_: benchmark.Variant("a", lambda: None))
    assert main(["bench", *SMALL, "--compile", "--tasks", "2,3", "--json"]) == 0
    assert len(forgotten) == 2


def test_p90_lies_between_the_slowest_two_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1 ... 10 the 0.9 quantile is the tenth of the way from 9 to 10."""
    seconds = iter(range(1, 11))
    monkeypatch.setattr(benchmark, "_time", lambda step, device: float(next(seconds)))
    (record,) = benchmark.measure([benchmark.Variant("a", lambda: None)], rounds=10)
    assert record["p90_ms"] == pytest.approx(9100.0)
    with pytest.raises(ValueError, match="`rounds` is 0"):
        benchmark.measure([benchmark.Variant("a", lambda: None)], rounds=0)


def test_two_variants_may_have_one_name() -> None:
    variants = [benchmark.Variant("a", lambda: None), benchmark.Variant("a", lambda: None)]
    assert len(benchmark.measure(variants, rounds=2)) == 2


class Clock:
    """Seconds that pass only where a module says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, module: nn.Module, seconds: float) -> None:
        def hook(*_: object) -> None:
            self.now += seconds

        module.register_forward_pre_hook(hook)


@pytest.mark.parametrize("recompute", [False, True])
def test_parts_of_a_forward_pass_are_counted_once(
    recompute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpointed exchanges run again in the backward pass, which is not part of the forward pass."""
    made, clock = small("densemtl_linear"), Clock()
    monkeypatch.setattr(benchmark.time, "perf_counter", clock.perf_counter)
    if recompute:
        recompute_activations(made)
    step = benchmark.training_step(made, torch.rand(2, 3, 32, 64))
    into: dict[str, list[float]] = {}
    with benchmark._timed_parts(made, into, CPU):
        clock.spend(made.encoder, 1.0)
        clock.spend(made.decoders["depth"].prediction_layers()[0], 10.0)
        for exchange in made.exchanges.values():
            clock.spend(next(m for m in exchange.modules() if isinstance(m, nn.Conv2d)), 100.0)
        step()
    exchanges = 100.0 * len(made.exchanges)
    assert into == {"encoder": [1.0], "decoders": [0.0], "exchanges": [exchanges], "heads": [10.0]}
    assert clock.now == 11.0 + exchanges * (2 if recompute else 1)


def test_parts_do_not_slow_the_measured_step_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for the device, so another repetition is timed by part."""
    hooked = []
    network = nn.Sequential(nn.Identity())
    step = lambda: hooked.append(len(network._forward_hooks))  # noqa: E731
    monkeypatch.setattr(benchmark, "_wait", lambda device: None)
    variant = benchmark.Variant("a", step, network)
    benchmark._time_with_parts(variant, {}, torch.device("cuda:1"))
    assert hooked == [0, 1]
    benchmark._time_with_parts(variant, {}, CPU)
    assert hooked == [0, 1, 1]


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_memory_of_a_gpu_leaves_out_what_was_there(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and states of the other variants are there too."""
    calls = []

    def called(name: str, answer: int = 0) -> None:
        monkeypatch.setattr(torch.cuda, name, lambda d: calls.append(str(d)) or answer)

    called("synchronize")
    called("reset_peak_memory_stats")
    called("memory_allocated", 1000)
    called("max_memory_allocated", 1234)
    assert peak_memory.peak_memory(lambda: None, device) == 234
    assert set(calls) == {device} and len(calls) == 5


def test_a_training_step_leaves_no_gradients_and_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of the step before would not count as this step's memory."""
    asked = []
    plain = torch.optim.AdamW
    monkeypatch.setattr(
        torch.optim, "AdamW", lambda *a, **s: asked.append(s["fused"]) or plain(*a, **s)
    )
    made = small("multi_task_matched")
    before = [p.clone() for p in made.parameters()]
    benchmark.training_step(made, torch.rand(2, 3, 32, 64))()
    assert asked == [True] and all(p.grad is None for p in made.parameters())
    assert any(not torch.equal(p, b) for p, b in zip(made.parameters(), before, strict=True))


def test_tf32_is_off_unless_asked_for_and_comes_back() -> None:
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    for allowed in (False, True):
        with benchmark.tf32(allowed):
            assert (convolutions.allow_tf32, products.allow_tf32) == (allowed, allowed)
    assert (convolutions.allow_tf32, products.allow_tf32) == before


def test_bench_measures_without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        variants, "_measure", lambda *_: seen.append(torch.backends.cudnn.allow_tf32) or []
    )
    assert main(["bench", *SMALL]) == 0
    monkeypatch.setattr(variants, "_check_hardware", lambda *_: None)
    assert main(["bench", *SMALL, "--tf32"]) == 0
    assert seen == [False, True]


def test_the_device_is_the_one_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    assert environment("cpu")["device"] == "cpu"
    assert environment("cuda:1")["device"] == "GPU of cuda:1"
    assert environment()["device"] == "GPU of cuda"


def test_peak_memory_by_hand() -> None:
    """1000 float32 values are 4000 bytes; what exists before is not counted, views take nothing."""
    x = torch.ones(1000, requires_grad=True)

    def forward() -> None:
        y = x * x  # 4000
        y.view(10, 100).sum()  # + 4
        del y
        torch.ones(500)  # autograd keeps x, which was there before: 2000 + 0

    assert peak_memory.peak_memory(forward, "cpu") == 4004

    def backward() -> None:
        ((x * x) * 2).sum().backward()

    # x * x (4000; nothing keeps it) and its double (4000) are alive together; the backward pass has
    # the gradient of the double (expanded: 4 bytes), twice that (4000), both halves (8000), their
    # sum (4000).
    assert 12000 <= peak_memory.peak_memory(backward, "cpu") <= 16100
