"""Modules `wandb` and `mlflow` with the calls that Lightning's loggers make: they keep what they are told."""

import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@dataclass
class Told:
    """What a tracker was told, of all its runs in order."""

    begun: list[str] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    values: list[tuple[int, str, float]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def steps(self, name: str) -> list[int]:
        return [step for step, key, _ in self.values if key == name]


def module(patch: pytest.MonkeyPatch, name: str, **content: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None, is_package=True)
    made.__path__ = []
    vars(made).update(content)
    patch.setitem(sys.modules, name, made)
    return made


def stand_in_wandb(patch: pytest.MonkeyPatch) -> Told:
    """Installs a `wandb`; without a login (`WANDB_API_KEY` empty) it refuses as the real one does."""
    import os

    from lightning.pytorch.loggers import wandb as loggers

    told = Told()

    class Run:
        def __init__(self, id: str) -> None:
            self.id = id
            self.config = SimpleNamespace(
                update=lambda values, allow_val_change: told.config.update(values)
            )

        def log(self, metrics: dict[str, Any]) -> None:
            step = metrics.pop("trainer/global_step")
            for key, value in metrics.items():
                if isinstance(value, list):
                    told.images += [f"{key}: {image}" for image in value]
                else:
                    told.values.append((step, key, value))

    def init(**given: Any) -> Run:
        if os.environ.get("WANDB_API_KEY") == "":
            raise RuntimeError("api_key not configured (no-tty)")
        assert given["resume"] == "allow" and given["project"] == "crosstask"
        told.begun.append(f"{given['name']} {given['id']}")
        made.run = Run(given["id"])
        return made.run

    def finish(exit_code: int) -> None:
        assert made.run is not None
        made.run = None
        told.ended.append(exit_code)

    made = module(patch, "wandb", run=None, init=init, finish=finish, Image=lambda path: path)
    module(patch, "wandb.sdk")
    module(patch, "wandb.sdk.lib", RunDisabled=type("RunDisabled", (), {}))
    module(patch, "wandb.wandb_run", Run=Run)
    patch.setattr(loggers, "_WANDB_AVAILABLE", True)
    return told


def stand_in_mlflow(patch: pytest.MonkeyPatch) -> Told:
    """Installs an `mlflow`, which takes a parameter once and knows the runs that it began."""
    from lightning.pytorch.loggers import mlflow as loggers

    told = Told()
    runs: list[str] = []

    class Client:
        def __init__(self, uri: str) -> None:
            assert uri == "sqlite:///mlflow.db"  # a folder is refused by mlflow 3.17

        def get_experiment_by_name(self, name: str) -> Any:
            assert name == "crosstask"
            return SimpleNamespace(lifecycle_stage="active", experiment_id="0")

        def create_run(self, experiment_id: str, tags: dict[str, str]) -> Any:
            runs.append(f"r{len(runs)}")
            told.begun.append(f"{tags['mlflow.runName']} {runs[-1]}")
            return SimpleNamespace(info=SimpleNamespace(run_id=runs[-1]))

        def get_run(self, run_id: str) -> Any:
            if run_id not in runs:
                raise LookupError(f"Run '{run_id}' not found")
            return SimpleNamespace(info=SimpleNamespace(experiment_id="0"))

        def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
            assert run_id in runs
            for param in params:
                assert param["key"] not in told.config, "a parameter cannot be changed"
                told.config[param["key"]] = param["value"]
            told.values += [(m["step"], m["key"], m["value"]) for m in metrics]

        def log_artifact(self, run_id: str, path: str) -> None:
            told.images.append(path)

        def set_terminated(self, run_id: str, status: str) -> None:
            told.ended.append(status)

    module(patch, "mlflow", set_tracking_uri=lambda uri: None)
    module(patch, "mlflow.tracking", MlflowClient=Client)
    registry = module(patch, "mlflow.tracking.context.registry", resolve_tags=lambda tags: tags)
    module(patch, "mlflow.tracking.context", registry=registry)
    vars(sys.modules["mlflow.tracking"])["context"] = sys.modules["mlflow.tracking.context"]
    module(patch, "mlflow.entities", Param=dict, Metric=dict)
    module(patch, "mlflow.utils")
    module(patch, "mlflow.utils.mlflow_tags", MLFLOW_RUN_NAME="mlflow.runName")
    patch.setattr(loggers, "_MLFLOW_AVAILABLE", True)
    return told
