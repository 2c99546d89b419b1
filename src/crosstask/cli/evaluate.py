"""`crosstask evaluate RUN [--root DIR]`."""

import argparse
import json
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import metres
from crosstask.cli.tables import metrics_table


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask evaluate", description="score a run on its validation split, or another"
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--root", help="where the dataset lies now, if not where it was in training"
    )
    parser.add_argument(
        "--split", help="of a dataset on disk, for example test for a submission; default: val"
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="32", help="32, bf16 or auto")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--flip", action="store_true", help="average with the mirrored images")
    parser.add_argument(
        "--window", help="HEIGHTxWIDTH: full-size images through overlapping windows of this size"
    )
    parser.add_argument(
        "--boundaries",
        type=float,
        metavar="TOLERANCE",
        help="ODS-F, OIS-F and AP of edges, against every annotator where there are several; "
        "0.0075 of the diagonal (PASCAL, BSDS), 0.011 (NYUD)",
    )
    parser.add_argument(
        "--nms", action="store_true", help="with --boundaries: suppress non-maxima first"
    )
    parser.add_argument(
        "--camera-height",
        type=metres,
        metavar="METRES",
        help="depth scaled to this height of the camera above the ground, scored beside the other as "
        "depth/height_scaled/...; depth/ground/... is the height that the network believes in",
    )
    parser.add_argument(
        "--submission",
        type=Path,
        help="folder for Cityscapes label-id PNGs of the images of the split",
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)

    import torch

    from crosstask.engine import checkpoints
    from crosstask.engine.hardware import choose
    from crosstask.engine.runs import Run
    from crosstask.engine.training import restore_companions
    from crosstask.evaluation.evaluate import evaluate_constants
    from crosstask.predict.sliding_window import SlidingWindow
    from crosstask.recipes.options import parse_size
    from crosstask.recipes.reopen import at_native_size, other_split, reopen

    hardware = choose(args.device, args.precision)
    experiment = reopen(Run(args.run), args.root)
    network = experiment.regime.inference_network()
    _, weights = checkpoints.find(args.run, args.checkpoint)
    checkpoints.load_weights(network, weights, str(args.run))
    place = Run(args.run)
    chosen = place.best if args.checkpoint == "best" and place.best.is_file() else place.last
    restore_companions(experiment.regime, chosen)
    val = experiment.val_data()
    if args.split:
        val = other_split(val, args.split)
    wrap = None
    if args.window:
        window = parse_size(args.window)
        wrap = lambda inner: SlidingWindow(inner, window)  # noqa: E731
        at_native_size(val)
    extra = Extras(experiment.tasks, args, val)
    with torch.autocast(hardware.device.type, torch.bfloat16, enabled=hardware.precision == "bf16"):
        metrics = experiment.regime.final_metrics(
            val,
            batch_size=args.batch_size or experiment.val_batch_size,
            workers=experiment.workers,
            device=hardware.device,
            flip=args.flip,
            listener=extra,
            wrap=wrap,
        )
    metrics |= extra.compute()
    train_set = experiment.train_data()
    metrics |= evaluate_constants(experiment.tasks, train_set, val)
    metrics |= experiment.regime.trivial_metrics(train_set, val)
    if args.json:
        print(json.dumps(metrics, indent=2))
    else:
        metrics_table(metrics, [t.name for t in experiment.tasks], title=str(args.run))
    return 0


class Extras:
    """What only an evaluation computes: boundary scores, files for a benchmark server."""

    def __init__(self, tasks: Any, args: argparse.Namespace, dataset: Any) -> None:
        from crosstask.data.datasets.bsds500 import find_annotations
        from crosstask.metrics.boundaries import BoundaryMetric
        from crosstask.metrics.depth import DepthMetric
        from crosstask.predict.submission import label_ids

        names = [task.name for task in tasks]
        self.boundaries, self.folder = None, args.submission
        self.height, self.depth = args.camera_height, None
        self.believed: list[Any] = []
        if self.height is not None:
            if "depth" not in names:
                raise ValueError(
                    "`--camera-height` needs the task depth, which this run does not have"
                )
            depth = tasks[names.index("depth")]
            if depth.protocol == "released":
                raise ValueError(
                    "`--camera-height` scores metres, and the run's protocol is released; train with "
                    "protocol correct"
                )
            self.depth = DepthMetric(float(depth.near), float(depth.far))
        self.annotations = find_annotations(dataset)
        if args.boundaries is not None:
            if "edges" not in names:
                raise ValueError(
                    "`--boundaries` needs the task edges, which this run does not have"
                )
            self.boundaries = BoundaryMetric(args.boundaries, thin_target=True, nms=args.nms)
        if self.folder is not None:
            if "segmentation" not in names:
                raise ValueError(
                    "`--submission` needs the task segmentation, which this run does not have"
                )
            self.ids = label_ids(tasks[names.index("segmentation")].classes.names)

    def __call__(self, predictions: Any, batch: Any) -> None:
        from crosstask.geometry.ground_plane import ground_distance, rescale
        from crosstask.predict.submission import write_submission

        if self.depth is not None:
            predicted, camera = predictions["depth"].cpu(), batch["intrinsics"].cpu()
            scaled = rescale(predicted, camera, self.height)
            self.believed.append(ground_distance(predicted, camera))
            self.depth.update(scaled, batch["depth"].cpu())
        if self.boundaries is not None:
            self._score_boundaries(predictions["edges"].cpu(), batch)
        if self.folder is not None:
            for name, classes in zip(batch["name"], predictions["segmentation"], strict=True):
                write_submission(self.folder, name, classes, self.ids)

    def _score_boundaries(self, edges: Any, batch: Any) -> None:
        """Against every annotator's map where the dataset has several, else against the target."""
        from crosstask.data.resample import resize_edges

        assert self.boundaries is not None
        for place, probability in enumerate(edges):
            truth = self.annotations(batch["source"][place], batch["name"][place])
            if truth is None:
                truth = batch["edges"][place].cpu()
            else:
                truth = resize_edges(truth, tuple(probability.shape[-2:]))
            self.boundaries.update(probability[None], truth[None])

    def compute(self) -> dict[str, float]:
        import torch

        found: dict[str, float] = {}
        if self.boundaries is not None:
            found |= {f"edges/{k}": float(v) for k, v in self.boundaries.compute().items()}
        if self.depth is not None:
            scores = self.depth.compute()
            found |= {f"depth/height_scaled/{k}": float(v) for k, v in scores.items()}
            heights = torch.cat(self.believed)
            found["depth/ground/mean"] = float(heights.mean())
            found["depth/ground/std"] = float(heights.std(correction=0))
        return found
