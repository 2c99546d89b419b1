"""What faster inference changes in the answers of a trained network.

    OMP_NUM_THREADS=1 python benchmarks/decisions.py RUN --samples 16

Batch norms folded, bf16 autocast and both together against the plain float32 network, on procedural
validation scenes of the source domain.
"""

import argparse
from pathlib import Path

import torch
from torch.utils.data import default_collate

from crosstask.data import ProceduralStreets
from crosstask.deploy.optimize import optimize
from crosstask.evaluation.evaluate import Evaluator
from crosstask.predict.model import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run on procedural streets")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--size", default="64x128")
    parser.add_argument("--difficulty", default="easy")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load(args.run)
    network, tasks = model.network.eval(), model.tasks
    height, width = (int(x) for x in args.size.split("x"))
    scenes = ProceduralStreets(
        "val", tuple(t.name for t in tasks), (height, width), args.difficulty, length=args.samples
    )
    batch = default_collate([scenes[i] for i in range(len(scenes))])

    def answer(step: torch.nn.Module, autocast: bool = False):
        evaluator = Evaluator(tasks)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            outputs = step(batch["image"])
        last = {task.name: [outputs[task.name][-1].float()] for task in tasks}
        return evaluator.update(last, batch), evaluator.compute()

    plain, reference = answer(network)
    for name, found in {
        "folded, float32": answer(optimize(network, dtype=torch.float32)),
        "bf16 autocast": answer(network, autocast=True),
        "folded, bf16": answer(optimize(network, dtype=torch.bfloat16)),
    }.items():
        print(name)
        for task in tasks:
            key = f"{task.name}/{task.headline}"
            prediction, metrics = found
            differ = ""
            if not plain[task.name].is_floating_point():
                share = (prediction[task.name] != plain[task.name]).float().mean()
                differ = f"   {100 * float(share):.3f} % of the decisions differ"
            print(
                f"  {key:<22} {reference[key]:.4f} -> {metrics[key]:.4f} "
                f"({100 * (metrics[key] / reference[key] - 1):+.2f} %){differ}"
            )


if __name__ == "__main__":
    main()
