"""Frames a second of the procedural streets' renderer.

Usage: python benchmarks/rendering.py [--device cuda] [--size 128x256] [--batch 1 4] [--difficulty easy] [--json]

One warm-up, then whole batches (image, segmentation, depth, normals, edges) until the time is up. CPU figures are for
one thread unless --threads says otherwise. ``cpu_ms`` is processor time a frame, which other programs on a busy machine
disturb less than the clock.
"""

import argparse
import json
import time
from typing import Any

import torch

from crosstask.data.streets import VERSION, Renderer, style_of


def measure(renderer: Renderer, batch: int, seconds: float) -> dict[str, Any]:
    """Render batches of fresh scenes for some seconds."""
    cuda = renderer.device.type == "cuda"

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize()

    renderer(torch.arange(batch))
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    wait()
    start, cpu_start, frames = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        renderer(torch.arange(batch) + (frames + 1) * 1_000_003)
        wait()
        frames += batch
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    row = {"batch": batch, "frames_per_second": frames / wall, "wall_ms": 1e3 * wall / frames}
    row["cpu_ms"] = 1e3 * cpu / frames
    if cuda:
        row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return row


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="128x256")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--difficulty", default="easy")
    parser.add_argument("--domain", default="source")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="one ray a pixel")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    height, width = (int(part) for part in options.size.split("x"))
    style = style_of(options.difficulty, options.domain)
    renderer = Renderer(style, (height, width), options.device, antialias=not options.plain)
    rows = [measure(renderer, batch, options.seconds) for batch in options.batch]
    if options.json:
        print(
            json.dumps(
                {"version": VERSION, "torch": torch.__version__} | vars(options) | {"rows": rows}
            )
        )
        return
    print(
        f"streets version {VERSION}, {options.difficulty}, {options.size}, {options.device}, torch {torch.__version__}"
    )
    for row in rows:
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))


if __name__ == "__main__":
    main()
