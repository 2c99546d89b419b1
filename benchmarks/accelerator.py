"""Training, inference and rendering on one accelerator, in at most eight minutes; goes on where it was cut.

Usage: python benchmarks/accelerator.py --output FOLDER [--minutes 8] [--only training] [--device cuda]
       python benchmarks/accelerator.py --study [exchange|phase|fast] --output FOLDER [--processes 8] [--minutes 60]
       either with --dry-run: tiny sizes on a CPU, to see that it runs

Writes FOLDER/accelerator.json after every row, and accelerator.md. Rows that the file holds, measured or left out for a
reason, are not run again: the same command does what is missing. A row that uses up its own budget of seconds is left
out; one whose budget no longer fits into --minutes waits for the next call. `crosstask study NAME --estimate --figures
FOLDER/accelerator.json` reads the rows of training.

Training is real training (losses, optimiser, clipping, Lightning's loop) of the networks of DenseMTL's tables on
procedural streets at 512x1024, whose batch is on the device. Inference is one image of S-D-N at 512x1024, raw outputs of
the finest level, batch norms folded. Shares are 2 x multiply-accumulates a second (training: three times the
forward pass's) over what one large matrix product, or one 3x3 convolution, reaches in the same run and number format.

--study trains five rows of `crosstask study exchange`, or every row of `phase` or `fast`, with four seeds, from frames that the
device rendered and with CUDA graphs, in processes that share the card (best under NVIDIA's MPS). `exchange` and `fast` take
5,000 steps at 128x256 in batches of 16, `phase` the study's own 3,000 of eight at 64x128.
"""

import argparse
import contextlib
import gc
import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crosstask.deploy import benchmark
from crosstask.deploy.benchmark import Variant, inference_step, tf32
from crosstask.deploy.optimize import optimize, raise_recompile_limit
from crosstask.engine.environment import environment
from crosstask.engine.hardware import Hardware, check_compiler, choose
from crosstask.engine.pace import measure_pace
from crosstask.engine.runs import read_json
from crosstask.media.files import atomic_path, write_json
from crosstask.models import create_model
from crosstask.models.flops import count_macs
from crosstask.recipes import procedural
from crosstask.recipes.options import parse_size
from crosstask.recipes.sets import S_D, S_D_N

sys.path.insert(0, str(Path(__file__).parent))
from rendering import measure as render  # beside this file

from crosstask.data.streets import Renderer, style_of

start = subprocess.Popen
FORMATS = ("float32", "tf32", "bf16")
BASELINES = ("single_task", "multi_task", "multi_task_matched", "padnet", "threeways_padnet")
NETWORKS = ("multi_task_matched", "densemtl", "densemtl_linear", "fast")
WAYS = ("float32", "bf16", "compiled", "cuda graphs", "TensorRT")
STUDY_ROWS = {
    "exchange": "multi_task_matched,compute_matched,densemtl,densemtl-no-correlation,densemtl_linear",
    "phase": "",
    "fast": "",
}
DRY_ROWS = {"exchange": "densemtl", "phase": "densemtl-images=100", "fast": "fast-n"}
LARGE = ["--size", "128x256", "--batch-size", "16", "--steps", "5000", "--val-every", "1000"]


@dataclass(frozen=True)
class Scale:
    """Sizes of everything."""

    size: str = "512x1024"
    small: str = "128x256"
    encoder: str = "resnet101"
    fast_encoder: str = "tf_efficientnet_lite0"
    width: float = 1.0
    batches: tuple[int, int] = (2, 8)
    matrix: int = 8192
    convolution: tuple[int, int, int, int] = (8, 256, 128, 256)
    frames: int = 32
    steps: int = 10
    warmup: int = 3
    rounds: int = 20
    seconds: float = 3.0


TINY = Scale(
    "32x64", "32x64", "resnet10t", "resnet10t", 0.0625, (1, 2), 32, (1, 4, 8, 8), 2, 1, 1, 1, 0.1
)


@dataclass(frozen=True)
class Row:
    """One row: what it is, its seconds at most, and what measures it."""

    key: str
    kind: str
    budget: float
    measure: Callable[[Hardware, Scale], dict[str, Any]]


class Skipped(Exception):
    """A row that this machine cannot have; says why."""


class OutOfTime(BaseException):
    """A row used its budget up. No `Exception`, so that no library takes it for its own."""


def rows(scale: Scale) -> list[Row]:
    """Every row, the most wanted first: what compiles comes last."""
    few, many = scale.batches
    found = [
        Row(f"peak, {kind}, {form}", "peak", 20, _peak_of(kind, form))
        for form in FORMATS
        for kind in ("matmul", "convolution")
    ]
    for form in ("bf16", "tf32", "float32"):
        for tasks in (S_D_N, S_D):
            for batch in (few, many):
                found.append(_training("densemtl", tasks, batch, form, 30))
    found += [_training(name, S_D_N, few, "bf16", 30) for name in BASELINES]
    found += [_training("densemtl", S_D_N, few, "bf16", 20, small=True)]
    found += [_inference(name, way) for way in WAYS[:2] for name in NETWORKS]
    found += [_rendering(small) for small in (True, False)]
    found += [_inference(name, way) for way in WAYS[3:] for name in NETWORKS]
    found += [_inference(name, "compiled") for name in NETWORKS]
    for tasks in (S_D_N, S_D):
        found += [_training("densemtl", tasks, batch, "compiled", 120) for batch in (many, few)]
    return found


def _peak_of(kind: str, form: str) -> Callable[[Hardware, Scale], dict[str, Any]]:
    def measure(hardware: Hardware, scale: Scale) -> dict[str, Any]:
        dtype, n = _dtype(form, hardware), scale.matrix
        if kind == "matmul":
            a, b = (torch.randn(n, n, device=hardware.device, dtype=dtype) for _ in range(2))
            step, macs = (lambda: a @ b), n**3
        else:
            images, channels, height, width = scale.convolution
            x = torch.randn(scale.convolution, device=hardware.device, dtype=dtype)
            x = x.contiguous(memory_format=torch.channels_last)
            layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(x)
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            step, macs = (lambda: layer(x)), images * height * width * 9 * channels**2
        with torch.inference_mode(), tf32(form == "tf32"):
            found = benchmark.measure([Variant(kind, step, memory=False)], rounds=scale.rounds, device=hardware.device)  # fmt: skip
        return {"part": kind, "format": form, "tflops": 2e-9 * macs / found[0]["median_ms"]}

    return measure


def _dtype(form: str, hardware: Hardware) -> torch.dtype:
    """Of the operands; refuses what the device lacks."""
    if form == "tf32" and hardware.device.type != "cuda":
        raise Skipped("TF32 is a number format of GPUs")
    if form in ("float32", "tf32"):
        return torch.float32
    choose(hardware.accelerator, "bf16")  # an older GPU has none
    return torch.bfloat16


def _training(name: str, tasks: tuple[str, ...], batch: int, form: str, budget: float, small: bool = False) -> Row:  # fmt: skip
    letters = "-".join(task[0].upper() for task in tasks)

    def measure(hardware: Hardware, scale: Scale) -> dict[str, Any]:
        compiled = form == "compiled"
        if compiled:
            _refuse_compiling(hardware)
        lower = _dtype("bf16" if compiled else form, hardware) == torch.bfloat16
        size, encoder = scale.small if small else scale.size, scale.encoder
        experiment = procedural.supervised(
            architecture=name, tasks=",".join(tasks), encoder=encoder, pretrained=False, width=scale.width,
            size=size, batch_size=batch, optimizer="paper", depth_output="raw", val_length=1, workers=0,
        )  # fmt: skip
        data = experiment.train_data()
        given = data.render_batch(range(batch), hardware.device)
        macs = count_macs(experiment.regime.network, parse_size(size))["total"]["macs"]
        with tf32(form == "tf32"):
            pace = measure_pace(
                experiment, Hardware(hardware.accelerator, "bf16" if lower else "32"), batch=given,
                steps=scale.steps, warmup=scale.warmup, validate=not compiled, compile=compiled,
            )  # fmt: skip
        return {
            "architecture": name, "encoder": encoder, "width": scale.width, "tasks": list(tasks),
            "size": list(parse_size(size)), "batch": batch, "format": "bf16" if compiled else form,
            "compiled": compiled, "macs": macs, "step_seconds": pace.step,
            "validation_seconds": pace.validation, "memory_gb": pace.memory,
            "watts": _watts(hardware), "flops": 6.0 * macs * batch,
        }  # fmt: skip

    return Row(f"training, {name}, {letters}, batch {batch}, {form}{', small' if small else ''}", "training", budget, measure)  # fmt: skip


def _watts(hardware: Hardware) -> float | None:
    """What the card draws, by its own average over about the last second; None where nothing tells."""
    if hardware.device.type != "cuda":
        return None
    asked = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--id=0"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        return float(subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout)  # fmt: skip
    return None


def _refuse_compiling(hardware: Hardware) -> None:
    if hardware.device.type == "cpu":
        raise Skipped("compiled rows are for accelerators (`crosstask bench --compile` on a CPU)")
    try:
        check_compiler(hardware.device.type)
    except ValueError as error:
        raise Skipped(str(error)) from None


def _inference(name: str, way: str) -> Row:
    def measure(hardware: Hardware, scale: Scale) -> dict[str, Any]:
        form = "float32" if way == "float32" else "bf16"
        _dtype(form, hardware)
        if way == "TensorRT" and importlib.util.find_spec("torch_tensorrt") is None:
            raise Skipped("the package torch_tensorrt is not installed")
        if way not in FORMATS:
            _refuse_compiling(hardware)
        encoder = scale.fast_encoder if name == "fast" else scale.encoder
        size, tasks = parse_size(scale.size), {"segmentation": 19, "depth": 1, "normals": 3}
        width = {} if name == "fast" else {"width": scale.width}
        network = create_model(name, tasks, encoder=encoder, pretrained=False, **width)
        macs = count_macs(network, size, as_run=True)["total"]["macs"]
        dtype = torch.float32 if form == "float32" else torch.bfloat16
        fast: Any = optimize(
            network.to(hardware.device), dtype=dtype, cuda_graphs=way == "cuda graphs"
        )
        if way == "compiled":
            raise_recompile_limit()
            fast = torch.compile(fast, fullgraph=True)
        elif way == "TensorRT":
            fast = _tensorrt(fast.network)
        image = torch.rand(1, 3, *size, device=hardware.device)
        step = inference_step(fast, image)  # `optimize` chose the number format
        variant = Variant(name, step, memory=way in FORMATS)
        with tf32(False):
            found = benchmark.measure([variant], rounds=scale.rounds, warmup=scale.warmup, device=hardware.device)[0]  # fmt: skip
        return {
            "architecture": name, "encoder": encoder, "way": way, "size": list(size), "macs": macs,
            "format": form, "step_seconds": found["median_ms"] / 1e3, "p90_seconds": found["p90_ms"] / 1e3,
            "memory_gb": None if found["memory_mb"] is None else found["memory_mb"] / 1e3, "flops": 2.0 * macs,
        }  # fmt: skip

    return Row(f"inference, {name}, {way}", "inference", 60 if way in WAYS[2:] else 20, measure)


def _tensorrt(network: nn.Module) -> Any:
    import torch_tensorrt  # noqa: F401  registers the backend

    network = network.bfloat16()
    compiled = torch.compile(network, backend="torch_tensorrt", dynamic=False)
    return _InBf16(compiled)


class _InBf16(nn.Module):
    """Images go in as bf16."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> Any:
        return self.network(image.bfloat16())


def _rendering(small: bool) -> Row:
    def measure(hardware: Hardware, scale: Scale) -> dict[str, Any]:
        size = parse_size(scale.small if small else scale.size)
        renderer = Renderer(style_of("hard", "source"), size, hardware.device)
        found = render(renderer, scale.frames, scale.seconds)
        return {"size": list(size), "difficulty": "hard", **found}

    return Row(f"rendering{', small' if small else ''}", "rendering", 30, measure)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Ends what runs inside after so many seconds, by a signal; a call into the device is waited for.

    Raises:
        OutOfTime: the time is up.
    """

    def end(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(row: Row, hardware: Hardware, scale: Scale) -> dict[str, Any]:
    """The row's figures, or why there are none."""
    record: dict[str, Any] = {"key": row.key, "kind": row.kind}
    try:
        with within(row.budget):
            record |= row.measure(hardware, scale)
    except Skipped as error:
        record["skipped"] = str(error)
    except OutOfTime:
        record["skipped"] = f"took longer than its {row.budget:g} seconds"
    except Exception as error:  # out of memory, a compiler's defect: the other rows go on
        record["skipped"] = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
    torch._dynamo.reset()
    gc.collect()  # trainers and networks hold each other; the next row starts with a free device
    if hardware.device.type == "cuda":
        torch.cuda.empty_cache()
    return record


def measure_all(args: argparse.Namespace, scale: Scale) -> Path:
    """Runs what is missing, as far as the time goes; returns the file."""
    hardware = choose(args.device, "32")
    file, facts = args.output / "accelerator.json", environment(str(hardware.device))
    machine = {
        "device": facts["device"],
        "torch": facts["packages"]["torch"],
        "dry_run": args.dry_run,
    }
    result = read_json(file) if file.is_file() else {"machine": machine, "rows": []}
    if result["machine"] != machine:
        raise SystemExit(
            f"{file} is of {result['machine']}; this is {machine}: give another `--output`"
        )
    end, done = time.monotonic() + 60 * args.minutes, {row["key"] for row in result["rows"]}
    wanted = [r for r in rows(scale) if r.key not in done and args.only in (None, r.kind)]
    late = 0
    for row in wanted:
        if time.monotonic() + row.budget > end:
            late += 1
            continue
        start = time.monotonic()
        record = run(row, hardware, scale)
        result["rows"].append(record)
        write_json(file, result)
        told = f"left out: {record['skipped']}" if "skipped" in record else "measured"
        print(f"{row.key}: {told} ({time.monotonic() - start:.1f} s)", flush=True)
    with atomic_path(args.output / "accelerator.md") as path:
        path.write_text(markdown(result))
    if late:
        print(
            f"{late} rows no longer fitted into {args.minutes:g} minutes: the same command measures them"
        )
    return file


def markdown(result: dict[str, Any]) -> str:
    """The tables."""
    measured = [row for row in result["rows"] if "skipped" not in row]
    peaks = {(r["part"], r["format"]): r["tflops"] for r in measured if r["kind"] == "peak"}

    def shares(row: dict[str, Any]) -> list[str]:
        rate = row["flops"] / row["step_seconds"] / 1e12
        own = [peaks.get((part, row["format"])) for part in ("matmul", "convolution")]
        return ["-" if peak is None else f"{100 * rate / peak:.0f} %" for peak in own]

    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    def of(kind: str) -> list[dict[str, Any]]:
        return [row for row in measured if row["kind"] == kind]

    tables = [
        ("Peaks", ["operation", "format", "TFLOP/s"],
         [[r["part"], r["format"], number(r["tflops"], 1)] for r in of("peak")]),
        ("Training", ["row", "size", "steps/s", "images/s", "GB", "share of matmul", "share of convolution"],
         [[r["key"].removeprefix("training, "), "x".join(map(str, r["size"])), number(1 / r["step_seconds"], 2),
           number(r["batch"] / r["step_seconds"], 1), number(r["memory_gb"], 1), *shares(r)] for r in of("training")]),
        ("Inference, one image", ["row", "GMACs", "ms", "p90", "GB", "share of matmul", "share of convolution"],
         [[r["key"].removeprefix("inference, "), number(r["macs"] / 1e9, 1), number(1e3 * r["step_seconds"], 2),
           number(1e3 * r["p90_seconds"], 2), number(r["memory_gb"], 2), *shares(r)] for r in of("inference")]),
        ("Procedural streets, hard", ["size", "batch", "frames/s"],
         [["x".join(map(str, r["size"])), str(r["batch"]), number(r["frames_per_second"], 0)] for r in of("rendering")]),
    ]  # fmt: skip
    why: dict[str, list[str]] = {}
    for row in result["rows"]:
        if "skipped" in row:
            why.setdefault(row["skipped"].replace("|", "/"), []).append(row["key"])
    tables.append(("Left out", ["why", "rows"], [[k, "; ".join(v)] for k, v in why.items()]))
    lines = ["{device}, torch {torch}".format(**result["machine"])]
    if result["machine"]["dry_run"]:
        lines.append("\nA dry run at tiny sizes: these numbers mean nothing.")
    for title, head, body in tables:
        if body:
            lines += [f"\n## {title}\n", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
            lines += [f"| {' | '.join(cells)} |" for cells in body]
    return "\n".join(lines) + "\n"


def study_command(args: argparse.Namespace) -> list[str]:
    """`crosstask study` as --study runs it, without the program."""
    command = [
        "study",
        args.study,
        "--output",
        str(args.output),
        "--processes",
        str(args.processes),
    ]
    if args.dry_run:
        return [
            *command,
            "--quick",
            "--rows",
            DRY_ROWS[args.study],
            "--seeds",
            "0",
            "--accelerator",
            "cpu",
            "--quiet",
        ]
    rows = ["--rows", STUDY_ROWS[args.study]] if STUDY_ROWS[args.study] else []
    graphs = ["--cuda-graphs"] if args.device == "cuda" else []
    return [
        *command, *rows, "--seeds", "0,1,2,3", *(LARGE if args.study != "phase" else []), "--val-batch-size", "16",
        "--workers", "1", "--cache", str(args.output / "frames"), "--accelerator", args.device, "--quiet", *graphs,
    ]  # fmt: skip


def fill_cache(args: argparse.Namespace) -> None:
    """Every frame of the study, rendered on the device; frames that are there stay."""
    from crosstask.data import ProceduralStreets
    from crosstask.experiments.studies.exchange import IMAGES, PRETRAINED

    phase = args.study == "phase"
    train, size = (max(IMAGES), (64, 128)) if phase else (PRETRAINED["train_length"], (128, 256))
    splits = {"train": train, "val": 64, "test": PRETRAINED["test_length"]}
    for seed in range(4):
        for split, length in splits.items():
            data = ProceduralStreets(split, None, size, "hard", length=length, seed=seed, cache=args.output / "frames")  # fmt: skip
            print(
                f"{split}, seed {seed}: {data.fill_cache(args.device)} frames rendered", flush=True
            )


def run_study(args: argparse.Namespace) -> int:
    """Trains the study in processes that share the device; ends them, saved, when the time is up."""
    command = [sys.executable, "-m", "crosstask", *study_command(args)]
    if not args.dry_run:
        fill_cache(args)
    processes = [start(command) for _ in range(args.processes)]
    end = time.monotonic() + 60 * args.minutes
    try:
        while any(p.poll() is None for p in processes) and time.monotonic() < end:
            time.sleep(0.2)
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()  # saves its step
    codes = [process.wait() for process in processes]
    if all(code == 0 for code in codes):
        compared = " --baseline multi_task_matched --against compute_matched"
        more = compared if args.study == "exchange" else ""
        print(f"crosstask table {args.output / f'{args.study}.json'}{more}")
    else:
        print(f"processes ended with {codes}; the same command goes on")
    return max(code if code > 0 else 1 for code in codes) if any(codes) else 0


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, measure or train, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, help="at most; 8, or 60 with --study")
    parser.add_argument("--only", choices=("peak", "training", "inference", "rendering"))
    parser.add_argument(
        "--study",
        nargs="?",
        const="exchange",
        choices=sorted(STUDY_ROWS),
        help="train a study; exchange if none is named",
    )
    parser.add_argument("--processes", type=int, default=8, help="of --study, on one device")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on a CPU")
    args = parser.parse_args(argv)
    if args.dry_run:
        args.device = "cpu"
    choose(args.device, "32")  # before anything is written
    if args.minutes is None:
        args.minutes = 60.0 if args.study else 8.0
    args.output.mkdir(parents=True, exist_ok=True)
    if args.study:
        return run_study(args)
    measure_all(args, TINY if args.dry_run else Scale())
    print((args.output / "accelerator.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
