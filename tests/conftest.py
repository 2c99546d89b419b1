"""Shared test set-up: one thread a process that waits without spinning, no network, a fixed seed for every test."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

import strict_types

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _types_are_checked() -> None:
    strict_types.begin_test()


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as in a pipe, whatever started the tests or ran before."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _scenes_are_rendered_once(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "streets" not in request.path.parts:  # there the renderer itself is looked at
        from crosstask.data.streets.renderer import Renderer  # after jaxtyping's import hook
        from rendered_once import render

        monkeypatch.setattr(Renderer, "_render", render)
