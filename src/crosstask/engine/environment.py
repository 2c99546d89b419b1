"""Versions, commit and machine of a run; the version of the code that its numbers depend on."""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any


def environment(device: str | None = None) -> dict[str, Any]:
    """Versions, commit and machine, for env.json.

    Args:
        device: what computes ("cpu", "cuda:1"); the machine's GPU, or "cpu" without one, if left out.
    """
    import torch

    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    packages = ("crosstask", "torch", "torchvision", "timm", "lightning", "torchmetrics", "numpy")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "commit": _commit(),
        "code": code_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


# Files and folders of the package that a run's numbers depend on. Commands, tables, reports, pages,
# prediction, deployment and drawing only show numbers; `suggest` words errors.
_NUMBERS = (
    "balancing",
    "data",
    "engine",
    "evaluation",
    "geometry",
    "losses.py",
    "media",
    "metrics",
    "models",
    "recipes",
    "regimes",
    "tasks",
)
# Of these the files that only store, describe or colour.
_NOT_NUMBERS = (
    "engine/cores.py",
    "engine/description.py",
    "engine/diagnosis.py",
    "engine/environment.py",
    "engine/interruption.py",
    "engine/limits.py",
    "engine/metrics_file.py",
    "engine/runs.py",
    "engine/storing.py",
    "engine/threads.py",
    "evaluation/finite.py",
    "media/colormap.py",
    "media/files.py",
)


def number_files(root: Path) -> list[Path]:
    """The sources under `root` that a run's numbers depend on, in order of their names."""
    found = [root / name for name in _NUMBERS if name.endswith(".py")]
    found += [f for name in _NUMBERS for f in (root / name).rglob("*.py")]
    kept = [f for f in found if f.relative_to(root).as_posix() not in _NOT_NUMBERS]
    return sorted(kept, key=lambda f: f.relative_to(root).as_posix())


def code_version(package: Path | None = None) -> str:
    """A hash of the sources that a run's numbers depend on: what tables call the code version.

    In it are the folders that make numbers, from data and models to the training loop (`_NUMBERS`). Not
    in it are commands, experiments (the options of a study are in config.yaml), web pages, prediction,
    deployment and drawing. A recipe of the user's own lies outside the package and is not in it either.

    Steadier than a commit, which also changes with a sentence in the documentation, and sharper: an
    uncommitted edit changes it.
    """
    root = package or Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in number_files(root):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:12]


def _commit() -> str | None:
    here = Path(__file__).parents[1]
    try:
        result = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
        )
        dirty = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--", str(here)],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    commit = result.stdout.strip()
    return (commit + ("-dirty" if dirty.stdout.strip() else "")) or None
