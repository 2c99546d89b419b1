"""What a machine can do, and what it is told when it cannot."""

import importlib.util
import shutil

import pytest
import torch

from crosstask.deploy.optimize import optimize
from crosstask.engine import hardware
from crosstask.engine.hardware import check_compiler, choose


def test_a_gpu_that_emulates_bf16_does_not_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch counts emulation unless told otherwise."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert choose("cuda", "auto").precision == "32"
    with pytest.raises(ValueError, match="this GPU lacks; use 32 or auto"):
        choose("cuda", "bf16")


def test_a_missing_device_is_named_without_an_option_of_one_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"the device 'cuda' was asked for, .*; use cpu or auto"):
        choose("cuda")


def test_a_cpu_that_emulates_bf16_is_told_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cpu_has_fast_bf16", lambda: False)
    assert choose("cpu", "bf16").emulates and choose("cpu", "auto").precision == "32"
    monkeypatch.setattr(hardware, "cpu_has_fast_bf16", lambda: True)
    assert not choose("cpu", "bf16").emulates and choose("cpu", "auto").precision == "bf16"


@pytest.mark.parametrize(
    ("device", "triton", "programs", "missing"),
    [
        ("cpu", False, ["g++"], ""),
        ("cpu", True, ["gcc"], r"a C\+\+ compiler"),
        ("cuda", True, ["clang"], ""),
        ("cuda", True, ["g++"], "a C compiler"),
        ("cuda", False, ["gcc", "g++"], "the package triton .*pip install triton"),
    ],
)
def test_compilers(
    device: str, triton: bool, programs: list[str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if triton else None)
    if not missing:
        check_compiler(device)
        return
    with pytest.raises(ValueError, match=f"`--compile` needs {missing}.*install it or leave"):
        check_compiler(device)


def test_cuda_graphs_ask_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu(torch.nn.Module):
        def parameters(self, recurse: bool = True):
            yield type("Parameter", (), {"device": torch.device("cuda")})()

    monkeypatch.setattr(hardware, "_missing_for_gpu", lambda: "a C compiler")
    with pytest.raises(ValueError, match="`cuda_graphs` needs a C compiler"):
        optimize(OnGpu(), cuda_graphs=True)
