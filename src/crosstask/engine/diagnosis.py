"""What `crosstask doctor` looks at: each finding with a remedy."""

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, MutableMapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from crosstask.engine.cores import Cores, cores
from crosstask.engine.threads import SHARE, automatic_workers, spins, usable_cores
from crosstask.media.progress import QUIET, Progress

BREAKS, HINT, FINE = "breaks", "hint", "fine"

# extra -> modules that it installs
EXTRAS: dict[str, tuple[str, ...]] = {
    "balancing": ("torchjd",),
    "video": ("av",),
    "web": ("gradio", "plotly"),
    "hub": ("datasets",),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}
WITHDRAWN_LIGHTNING = ("2.6.2", "2.6.3")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name.
        level: "fine", "hint" (something is left out or slow) or "breaks".
        text: what was found.
        remedy: what to do; empty where all is well.
    """

    what: str
    level: str
    text: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def examine(
    folder: Path | None = None, need_gb: float = 2.0, progress: Progress = QUIET
) -> list[Finding]:
    """All findings on this machine.

    Args:
        folder: where runs are to be written; the current one if left out.
        need_gb: free disk space in GB below which a run is in danger.
        progress: told how many of the checks are done.
    """
    place = folder or Path.cwd()
    checks: list[Callable[[], Finding | list[Finding]]] = [
        lambda: python_version(sys.version_info[:2]),
        lambda: packages(installed),
        lambda: torch_pair(installed("torch"), installed("torchvision")),
        lambda: lightning_release(installed("lightning")),
        devices,
        lambda: core_limits(cores(), os.environ),
        lambda: threads(cores(), torch_threads(), os.environ),
        extras,
        lambda: writable("output folder", place),
        lambda: writable("cache for weights", cache_folder()),
        lambda: disk_space(place, shutil.disk_usage(nearest_existing(place)).free, need_gb),
    ]
    found: list[Finding] = []
    for check in progress.each(checks, len(checks), "checks"):
        result = check()
        found += result if isinstance(result, list) else [result]
    return found


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def python_version(version: tuple[int, ...]) -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if version < (3, 11):
        return Finding("python", BREAKS, text, "install Python 3.11 or newer")
    return Finding("python", FINE, text)


def packages(version: Callable[[str], str | None]) -> list[Finding]:
    """Each required package, as this package's own metadata lists them."""
    from packaging.requirements import Requirement

    found = []
    for line in metadata.requires("crosstask") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        has = version(wanted.name)
        if has is None:
            found.append(
                Finding(wanted.name, BREAKS, "is missing", f'pip install "{_plain(wanted)}"')
            )
        elif not wanted.specifier.contains(has, prereleases=True):
            text = f"{has}, but {wanted.specifier} is needed"
            found.append(Finding(wanted.name, BREAKS, text, f'pip install "{_plain(wanted)}"'))
        else:
            found.append(Finding(wanted.name, FINE, has))
    return found


def _plain(requirement: object) -> str:
    return str(requirement).split(";")[0].strip()


def torch_pair(torch: str | None, torchvision: str | None) -> Finding:
    """Whether torchvision was built for this torch: its own metadata names the one version.

    A pair from two sources fails at import with `operator torchvision::nms does not exist`.
    """
    name = "torch and torchvision"
    if torch is None or torchvision is None:
        return Finding(name, BREAKS, "not both installed", "pip install torch torchvision")
    text, remedy = f"{torch} and {torchvision}", "pip install --force-reinstall torch torchvision"
    builds = [v.partition("+")[2] for v in (torch, torchvision)]
    if all(builds) and builds[0] != builds[1]:
        return Finding(name, BREAKS, f"{text}: one is for {builds[0]}, one for {builds[1]}", remedy)
    from packaging.requirements import Requirement

    needs = [Requirement(r) for r in metadata.requires("torchvision") or []]
    for wanted in needs:
        release = torch.partition("+")[0]
        if wanted.name == "torch" and not wanted.specifier.contains(release, prereleases=True):
            return Finding(name, BREAKS, f"{text}: torchvision wants {wanted}", remedy)
    try:
        import torchvision as _  # noqa: F401
    except Exception as error:
        return Finding(name, BREAKS, f"{text}: cannot be imported ({error})", remedy)
    return Finding(name, FINE, f"{text} fit together")


def lightning_release(version: str | None) -> Finding:
    """The releases 2.6.2 and 2.6.3 carried malware."""
    if version in WITHDRAWN_LIGHTNING:
        return Finding(
            "lightning release",
            BREAKS,
            f"{version} was published by an attacker and carries malware",
            'pip install -U "lightning>=2.6.5", and change the secrets this machine held',
        )
    return Finding("lightning release", FINE, f"{version or 'none'} is none of the malicious ones")


def devices() -> list[Finding]:
    """The accelerator, and whether bf16 is fast on it."""
    import torch

    from crosstask.engine.hardware import choose, cpu_has_fast_bf16

    found = []
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))
        found.append(Finding("device", FINE, f"CUDA {torch.version.cuda}: {names}"))
    elif torch.backends.mps.is_available():
        found.append(Finding("device", FINE, "Apple GPU (mps)"))
    else:
        found.append(_no_accelerator(Path("/proc/driver/nvidia/version").exists()))
    found.append(Finding("processor", FINE, torch.backends.cpu.get_cpu_capability()))
    if choose().precision == "bf16":
        found.append(Finding("bf16", FINE, "fast here; `--precision auto` takes it"))
    elif choose().accelerator == "cpu" and not cpu_has_fast_bf16():
        text = "this processor lacks it and would emulate it, 10 to 20 times slower"
        found.append(Finding("bf16", HINT, text, "leave --precision at auto or 32"))
    else:
        found.append(Finding("bf16", HINT, "not fast on this device", "use --precision 32"))
    return found


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def core_limits(found: Cores, environ: MutableMapping[str, str]) -> Finding:
    """How many cores this process may use, and what limits them."""
    usable = usable_cores(environ, found)
    text = f"{usable} of {found.machine} usable"
    limits = [] if usable == found.usable else [f"{SHARE} is {usable}"]
    if found.affinity < found.machine:
        limits.append(f"affinity allows {found.affinity}")
    if found.quota is not None:
        limits.append(f"{found.quota_file} allows {found.quota:g}")
    if found.physical < found.affinity:
        limits.append(f"hyper-threads of {found.physical} physical ones")
    return Finding("cores", FINE, f"{text} ({'; '.join(limits) or 'no limit'})")


def threads(found: Cores, number: int, environ: MutableMapping[str, str]) -> Finding:
    """Threads of torch and how they wait for each other.

    Args:
        number: threads of torch.
        environ: the environment with which torch was loaded.
    """
    spinning = spins(environ)
    waiting = "spin while they wait" if spinning else "wait without spinning"
    workers = automatic_workers(usable_cores(environ, found))
    text = (
        f"{number} for torch, which {waiting}; loader processes of a training on the CPU: {workers}"
    )
    if number > found.usable:
        text += f"; more threads than the {found.usable} usable cores: they wait for each other"
        remedy = f"unset OMP_NUM_THREADS, or set it to {found.threads}"
        return Finding("threads", HINT, text, remedy)
    if spinning and number > 1:
        text += "; beside one other busy process this may cost most of the speed"
        remedy = "unset OMP_WAIT_POLICY, GOMP_SPINCOUNT and KMP_BLOCKTIME, or set OMP_WAIT_POLICY=PASSIVE"
        return Finding("threads", HINT, text, remedy)
    return Finding("threads", FINE, text)


def _no_accelerator(driver: bool) -> Finding:
    if driver:
        return Finding(
            "device",
            BREAKS,
            "there is an NVIDIA driver, but this torch cannot use it",
            "install a CUDA build of torch that the driver supports (nvidia-smi names its version)",
        )
    return Finding("device", HINT, "no GPU: training is slow", "use a machine with a GPU to train")


def extras() -> Finding:
    """Optional parts; none of them is needed for training and prediction."""
    missing = [
        extra
        for extra, modules in EXTRAS.items()
        if any(importlib.util.find_spec(module) is None for module in modules)
    ]
    here = [extra for extra in EXTRAS if extra not in missing]
    text = f"installed: {', '.join(here) or 'none'}"
    if not missing:
        return Finding("extras", FINE, text)
    remedy = f'pip install "crosstask[{",".join(missing)}]"'
    return Finding("extras", HINT, f"{text}; missing: {', '.join(missing)}", remedy)


def cache_folder() -> Path:
    """Where pretrained weights of timm are kept."""
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def nearest_existing(path: Path) -> Path:
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def writable(what: str, folder: Path) -> Finding:
    """Whether a file can be made in a folder, or in the nearest one above that exists."""
    place = nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
    except OSError as error:
        text = f"{folder} cannot be written ({error.strerror})"
        if what.startswith("cache"):
            return Finding(what, BREAKS, text, "set HF_HOME to a folder that you may write")
        return Finding(what, BREAKS, text, "choose another folder, or mend its rights")
    return Finding(what, FINE, f"{folder} can be written")


def disk_space(folder: Path, free: int, need_gb: float) -> Finding:
    """Whether `free` bytes are enough for checkpoints and caches."""
    text = f"{free / 1e9:.1f} GB free at {folder}"
    if free < 0.1e9:
        return Finding("disk", BREAKS, text, "free some space: a checkpoint does not fit")
    if free < need_gb * 1e9:
        remedy = f"free some space: runs and caches may need {need_gb:g} GB"
        return Finding("disk", HINT, text, remedy)
    return Finding("disk", FINE, text)
