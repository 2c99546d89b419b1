"""Run directories with made-up numbers, as training would have left them."""

from pathlib import Path
from typing import Any

import yaml

from crosstask.media.files import write_json
from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task

TASKS: dict[str, Task] = {
    "segmentation": Segmentation(3),
    "depth": Depth(),
    "normals": Normals(),
    "edges": Edges(),
}
HEADLINES = {
    "segmentation": "segmentation/miou",
    "depth": "depth/rmse",
    "normals": "normals/mean",
    "edges": "edges/f1",
}
DATA = {"source": "procedural", "split": "val", "size": 4, "hash": "abc", "modalities": ["depth"]}


def make_run(
    path: Path,
    architecture: str,
    values: dict[str, float],
    *,
    seed: int = 0,
    encoder: str = "resnet10t",
    options: dict[str, Any] | None = None,
    trivial: dict[str, float] | None = None,
    row: str | None = None,
    protocol: str = "correct",
    commit: str = "c0ffee",
    data: dict[str, Any] | None = None,
    rule: str | None = "last",
    **config: Any,
) -> Path:
    """A finished run; `values` maps tasks to their headline metric."""
    tasks = [TASKS[name] for name in values]
    settings = {
        "recipe": "procedural.supervised",
        "tasks": ",".join(values),
        "architecture": architecture,
        "encoder": encoder,
        "width": 0.125,
        "seed": seed,
        "steps": 100,
        "options": options,
    }
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump({**settings, **config}))
    facts = data or DATA
    split = {"train": facts | {"split": "train"}, "val": facts}
    env = {"protocol": protocol, "commit": commit, "data": split}
    write_json(path / "env.json", env | ({"select": rule} if rule else {}))
    spec = {
        "architecture": architecture,
        "tasks": [[t.name, t.channels] for t in tasks],
        "encoder": encoder,
        "width": 0.125,
        "normalization": "imagenet",
        "options": options or {},
    }
    description = {
        "schema_version": 1,
        "library": "crosstask",
        "model": spec,
        "tasks": [t.to_spec() for t in tasks],
        "size": [32, 64],
    }
    write_json(path / "model.json", description)
    metrics = {HEADLINES[name]: value for name, value in values.items()}
    metrics |= {f"trivial/{HEADLINES[k]}": v for k, v in (trivial or {}).items()}
    write_json(path / "metrics.json", metrics)
    if row:
        write_json(path / "study.json", {"row": row, "seed": seed})
    return path
