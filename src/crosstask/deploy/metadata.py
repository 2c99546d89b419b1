"""What an exported file says about itself, for programs that know nothing of this library."""

import json
from collections.abc import Mapping
from typing import Any

from crosstask.data.feeding import RGB
from crosstask.deploy.graph import Graph
from crosstask.models.networks.scene_network import SceneNetwork
from crosstask.predict.model import SceneModel
from crosstask.tasks import Task
from crosstask.tasks.camera import UP_TO_SCALE

VERSION = 2
"""Of the entries; version 1 had raw outputs only and no entry of its own."""


def metadata(model: SceneModel, graph: Graph) -> dict[str, str]:
    """Text or JSON by name; docs/deploy.md says what each holds."""
    interface, network = graph.interface, model.network
    facts = {
        "library": "crosstask",
        "metadata_version": VERSION,
        "input": _input(graph),
        "outputs": list(graph.names),
        "tasks": [task.to_spec() for task in model.tasks],
        "quantities": [_quantity(task, graph) for task in model.tasks],
        "units": model.description.get("units", {}),
        "camera": model.description.get("camera", ""),
        "multiple": network.multiple if isinstance(network, SceneNetwork) else 32,
        "form": interface.outputs,
        "size": interface.size if isinstance(interface.size, str) else list(interface.size),
        "image_size": interface.image_size,
        "focal": interface.focal if graph.takes_focal or interface.focal != "input" else "none",
        "precision": interface.precision,
        "trained_size": model.description.get("size"),
        "training_camera": model.description.get("training_camera"),
        "feeding": model.description.get("feeding"),
        "value_range": model.description.get("value_range"),
        "description": model.description,
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()
    }


def _input(graph: Graph) -> str:
    interface = graph.interface
    number = len(graph.channels)
    kind = "RGB" if graph.channels == RGB else f"({', '.join(graph.channels)})"
    image = f"image: (batch, {number}, height, width) float32 {kind} in [0, 1]"
    if interface.input == "uint8":
        image = f"image: (batch, height, width, {number}) uint8 {kind}"
    size = "at its own size"
    if isinstance(interface.size, tuple):
        size = f"resized to {interface.size[0]} x {interface.size[1]} inside"
    elif interface.size == "dynamic":
        size = "resized as in training inside"
    focal = "; focal: (batch,) float32 pixels of the image, 0 where unknown"
    return f"{image}; {size}; normalised inside{focal if graph.takes_focal else ''}"


def _quantity(task: Task, graph: Graph) -> dict[str, Any]:
    """What one task's outputs are, in numbers and words; keys that do not apply are left out."""
    table = task.class_table
    facts: Mapping[str, Any] = {
        "task": task.name,
        "outputs": list(graph.outputs[task.name]),
        "void": task.void,
        "unit": task.unit,
        "is_depth": task.is_depth,
        "unit_up_to_scale": task.unit_of(UP_TO_SCALE) if task.is_depth else None,
        "range": task.label_range,
        "camera_aware": task.camera_aware,
        "one_camera": task.holds_for_one_camera if task.is_depth else None,
        "vectors": task.vectors or None,
        "classes": None if table is None else list(table.names),
        "colors": None if table is None else [list(color) for color in table.colors],
    }
    return {key: value for key, value in facts.items() if value is not None}
