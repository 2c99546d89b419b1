"""What one network for four tasks costs on a CPU, beside four networks, the paper's, and other libraries.

Usage: python benchmarks/real_time.py [--size 192x320] [--threads 1 2] [--rounds 15] [--no-int8] [--json FILE]
           [--rows NAME ...] [--files EXPORTED.onnx ...] [--profile NAME]

Every row is one image of S-D-N-E (14 classes, one, three and two channels), raw outputs at image size, random weights,
encoder tf_efficientnet_lite0. All rows take turns in one process, so that other programs disturb them alike: compare
ratios. torch in channels-last; onnxruntime in float32 and in int8 (static, per channel, calibrated on noise: only its
time counts here). `four ...` rows run four single-task networks, each with an encoder of its own. The rows of
segmentation_models.pytorch come with `pip install segmentation-models-pytorch`. "share of peak" is 2 x multiply-
accumulates a second over what a float32 matrix product of 1024 x 1024 reaches in the same run on as many threads.
`--files` adds rows of exported files (`crosstask export`), for example with decoded outputs. `--profile` prints instead
where the time of one row goes in onnxruntime, by kind of operator.
"""

import argparse
import importlib.util
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from crosstask.media.files import write_json
from crosstask.models import create_model
from crosstask.models.flops import count_macs
from crosstask.recipes.options import parse_size

TASKS = {"segmentation": 14, "depth": 1, "normals": 3, "edges": 2}
ENCODER = "tf_efficientnet_lite0"
SMALL = {"width": 0.25}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "fast n": ("fast", {"size": "n"}),
    "fast n, stride 4": ("fast", {"size": "n", "prediction_stride": 4}),
    "fast s": ("fast", {"size": "s"}),
    "fast s, no exchange": ("fast", {"size": "s", "exchange": None}),
    "fast s, stride 2": ("fast", {"size": "s", "prediction_stride": 2}),
    "fast m": ("fast", {"size": "m"}),
    "no exchange": ("multi_task_matched", SMALL),
    "padnet": ("padnet", SMALL),
    "densemtl": ("densemtl", SMALL),
    "densemtl_linear": ("densemtl_linear", SMALL),
    "sca_mtl": ("sca_mtl", SMALL),
    "four single_task": ("single_task", SMALL),
}
NOISE = np.random.default_rng(0)
OTHERS = ("Unet", "FPN", "DeepLabV3Plus")


class Final(nn.Module):
    """The last outputs of a network, as a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        if isinstance(outputs, Tensor):
            return (outputs,)
        return tuple(levels[-1] for name, levels in outputs.items() if name != "auxiliary")


class Noise(CalibrationDataReader):
    """A few images, for quantisation."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.left = [{"image": NOISE.random((1, 3, *size), np.float32)} for _ in range(4)]

    def get_next(self) -> dict[str, Any] | None:
        return self.left.pop() if self.left else None


def networks(wanted: list[str] | None) -> dict[str, list[nn.Module]]:
    """{row: the networks that an image goes through}."""
    found: dict[str, list[nn.Module]] = {}
    for row, (name, options) in ROWS.items():
        if wanted and row not in wanted:
            continue
        apart = name == "single_task"
        parts = [{task: count} for task, count in TASKS.items()] if apart else [TASKS]
        found[row] = [create_model(name, p, ENCODER, pretrained=False, **options) for p in parts]
        for network in found[row]:
            network.final_only = True  # type: ignore[assignment]
    if not wanted and importlib.util.find_spec("segmentation_models_pytorch"):
        import segmentation_models_pytorch as smp

        for kind in OTHERS:
            make = getattr(smp, kind)  # a class of another library, by its name
            encoder = "timm-tf_efficientnet_lite0"
            found[f"four {kind} (smp)"] = [
                make(encoder, encoder_weights=None, classes=count) for count in TASKS.values()
            ]
    return found


def session(path: Path, threads: int) -> Callable[[], Any]:
    """One run of an exported file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    run = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fed = {own.name: noise(own) for own in run.get_inputs()}
    return lambda: run.run(None, fed)


def noise(own: onnxruntime.NodeArg) -> np.ndarray[Any, Any]:
    """Random numbers for an input of an exported file; axes without a fixed size get one element."""
    shape = [axis if isinstance(axis, int) else 1 for axis in own.shape]
    if own.type == "tensor(uint8)":
        return NOISE.integers(0, 256, shape, np.uint8)
    return (
        100 * NOISE.random(shape, np.float32)
        if own.name == "focal"
        else NOISE.random(shape, np.float32)
    )


def profile(path: Path, rounds: int) -> str:
    """Share of the time by kind of operator, as Markdown; one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(""))
    run = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fed = {own.name: noise(own) for own in run.get_inputs()}
    for _ in range(rounds):
        run.run(None, fed)
    spent: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for event in json.loads(Path(run.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            kind = event["args"]["op_name"]
            spent[kind] += event["dur"]
            number[kind] += 1
    whole = sum(spent.values())
    lines = ["| operator | number | ms | share |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {number[kind] // rounds} | {us / rounds / 1e3:.2f} | {100 * us / whole:.0f} % |"
        for kind, us in spent.most_common(12)
    ]
    return "\n".join(lines)


def export(network: nn.Module, folder: Path, size: tuple[int, int], int8: bool) -> dict[str, Path]:
    """The network's files: float32 and, if wanted, int8."""
    number = len(list(folder.iterdir()))
    plain, prepared, small = (folder / f"{number}{end}.onnx" for end in ("", "p", "q"))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        image = torch.rand(1, 3, *size)
        torch.onnx.export(
            Final(network).eval(),
            (image,),
            plain,
            input_names=["image"],
            opset_version=17,
            dynamo=False,
        )
    if not int8:
        return {"float32": plain}
    quant_pre_process(plain, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        small,
        Noise(size),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    return {"float32": plain, "int8": small}


def turns(steps: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """Median milliseconds of each step; all take turns."""
    times: dict[Any, list[float]] = {key: [] for key in steps}
    for number in range(rounds + 2):
        for key, step in steps.items():
            start = time.perf_counter()
            step()
            if number >= 2:
                times[key].append(1e3 * (time.perf_counter() - start))
    return {key: statistics.median(own) for key, own in times.items()}


@torch.inference_mode()
def measure(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One record a row and number of threads."""
    size = parse_size(args.size)
    image = torch.rand(1, 3, *size).contiguous(memory_format=torch.channels_last)
    models = {row: [n.eval() for n in parts] for row, parts in networks(args.rows).items()}
    files = {
        row: [export(n, folder, size, not args.no_int8) for n in parts]
        for row, parts in models.items()
    }
    macs = {row: sum(macs_of(n, size) for n in parts) for row, parts in models.items()}
    for parts in models.values():
        for network in parts:
            network.to(memory_format=torch.channels_last)
    records = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        steps: dict[Any, Callable[[], Any]] = {}
        square = torch.rand(1024, 1024)
        steps["peak"] = lambda square=square: square @ square
        for row, parts in models.items():
            steps[row, "torch"] = lambda parts=parts: [n(image) for n in parts]
            for kind in files[row][0]:
                runs = [session(own[kind], threads) for own in files[row]]
                steps[row, kind] = lambda runs=runs: [run() for run in runs]
        for path in args.files:
            steps[path.name, "float32"] = session(path, threads)
        found = turns(steps, args.rounds)
        peak = 2 * 1024**3 / found["peak"]
        for path in args.files:
            ms = found[path.name, "float32"]
            records.append({"row": path.name, "threads": threads, "float32_ms": ms})
        for row, parts in models.items():
            own = {kind: found[row, kind] for kind in ("torch", *files[row][0])}
            records.append(
                {
                    "row": row,
                    "threads": threads,
                    "parameters": sum(p.numel() for n in parts for p in n.parameters()),
                    "macs": macs[row],
                    **{f"{kind}_ms": value for kind, value in own.items()},
                    "times_fast_s": own["float32"] / found.get(("fast s", "float32"), float("nan")),
                    "share_of_peak": 2 * macs[row] / own["float32"] / peak,
                }
            )
    return records


def macs_of(network: nn.Module, size: tuple[int, int]) -> float:
    """Multiply-accumulates of one image."""
    with torch.inference_mode(False):  # whose tensors no counter sees
        return float(count_macs(network, size, as_run=True)["total"]["macs"])


def table(records: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "| threads | network | M parameters | GMACs | torch ms | onnxruntime ms | int8 ms | frames/s | times fast s | share of peak |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in records:
        if "macs" not in r:
            ms = r["float32_ms"]
            lines.append(f"| {r['threads']} | {r['row']} | | | | {ms:.0f} | | {1e3 / ms:.0f} | | |")
            continue
        int8 = f"{r['int8_ms']:.0f}" if "int8_ms" in r else "-"
        lines.append(
            f"| {r['threads']} | {r['row']} | {r['parameters'] / 1e6:.2f} | {r['macs'] / 1e9:.2f} | {r['torch_ms']:.0f} | "
            f"{r['float32_ms']:.0f} | {int8} | {1e3 / r['float32_ms']:.0f} | {r['times_fast_s']:.2f} | "
            f"{100 * r['share_of_peak']:.0f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser warns of every norm
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="192x320")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-int8", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), metavar="NAME")
    parser.add_argument("--files", nargs="+", type=Path, default=[], metavar="EXPORTED.onnx")
    parser.add_argument("--profile", choices=tuple(ROWS), metavar="NAME")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.profile:
            (network,) = networks([args.profile])[args.profile]
            files = export(network, Path(folder), parse_size(args.size), not args.no_int8)
            for kind, path in files.items():
                print(f"{args.profile}, {kind}\n\n{profile(path, args.rounds)}\n")
            return
        records = measure(args, Path(folder))
    if args.json:
        write_json(args.json, records)
    print(table(records))


if __name__ == "__main__":
    main()
