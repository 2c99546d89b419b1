"""What this machine can do: the accelerator and the precision that is fast on it."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Hardware:
    """The device a run uses and the number format of its convolutions."""

    accelerator: str
    precision: str

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.accelerator in ("cuda", "gpu") else self.accelerator)

    @property
    def trainer_precision(self) -> Literal["bf16-mixed", "32-true"]:
        """Lightning's word for the number format."""
        return "bf16-mixed" if self.precision == "bf16" else "32-true"

    @property
    def emulates(self) -> bool:
        """Whether this is bf16 on a CPU without its instructions: ten to twenty times slower."""
        return (self.accelerator, self.precision) == ("cpu", "bf16") and not cpu_has_fast_bf16()


def cpu_has_fast_bf16() -> bool:
    """Whether bf16 convolutions run natively (AMX or AVX512-BF16).

    Elsewhere they are emulated and ten to twenty times slower than float32.
    """
    # Private names of torch, which another release may lack.
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    avx = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return bool(amx or avx)


def gpu_has_bf16() -> bool:
    """Whether the current GPU computes bf16 itself; older ones emulate it, slower than float32."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def choose(accelerator: str = "auto", precision: str = "auto") -> Hardware:
    """Resolves "auto", and refuses what the machine lacks.

    A processor without bf16 instructions emulates them, so "bf16" is granted there when asked for
    by name; see `Hardware.emulates`.

    Args:
        accelerator: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "bf16" or "32".

    Raises:
        ValueError: the machine has no such device or precision; says what to choose.
    """
    if accelerator not in ("auto", "cpu", "cuda", "gpu", "mps"):
        raise ValueError(f"`accelerator` is {accelerator!r}; expected auto, cpu, cuda or mps")
    if precision not in ("auto", "bf16", "32"):
        raise ValueError(f"`precision` is {precision!r}; expected auto, bf16 or 32")
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if accelerator == "auto":
        accelerator = "cuda" if has_cuda else "mps" if has_mps else "cpu"
    accelerator = "cuda" if accelerator == "gpu" else accelerator
    if (accelerator == "cuda" and not has_cuda) or (accelerator == "mps" and not has_mps):
        raise ValueError(
            f"the device {accelerator!r} was asked for, which this machine lacks; use cpu or auto"
        )
    if precision == "auto":
        fast = gpu_has_bf16() if accelerator == "cuda" else cpu_has_fast_bf16()
        precision = "bf16" if fast and accelerator != "mps" else "32"
    if precision == "bf16" and accelerator == "cuda" and not gpu_has_bf16():
        raise ValueError("`precision` is bf16, which this GPU lacks; use 32 or auto")
    return Hardware(accelerator, precision)


def check_compiler(device: str = "cpu", asked: str = "--compile") -> None:
    """torch.compile writes C++ for a CPU; for a GPU it needs Triton, which builds a launcher in C.

    Args:
        device: kind of device, "cpu" or "cuda".
        asked: the option that needs the compiler, for the message.

    Raises:
        ValueError: something is missing; says what to install.
    """
    missing = _missing_for_gpu() if device == "cuda" else _missing_for_cpu()
    if missing:
        raise ValueError(f"`{asked}` needs {missing}; install it or leave `{asked}` out")


def _missing_for_cpu() -> str:
    if os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++"):
        return ""
    return "a C++ compiler (g++ or clang++) on a CPU"


def _missing_for_gpu() -> str:
    if importlib.util.find_spec("triton") is None:
        return "the package triton on a GPU (pip install triton)"
    if os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"):
        return ""
    return "a C compiler (gcc or clang) on a GPU"
