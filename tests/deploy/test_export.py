"""Export: what a file gives is what the model says, whatever runs it."""

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosstask.cli import main
from crosstask.data.feeding import Feeding
from crosstask.deploy.comparison import Comparison, change, compare, difference
from crosstask.deploy.export import export
from crosstask.deploy.graph import Graph
from crosstask.deploy.interface import ExportError, Interface, output_names
from crosstask.deploy.metadata import metadata
from crosstask.engine import rebuilding
from crosstask.models import create_model
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth, Saliency, Segmentation, SelfSupervisedDepth, Task
from fakes.scenes import Scenes, scene_tasks

RELATIVE = 1e-3


def made(tasks: tuple[Task, ...], **facts: object) -> SceneModel:
    network = create_model("multi_task", tasks, encoder="resnet10t", pretrained=False, width=0.0625)
    return SceneModel(network, tasks, rebuilding.describe(network, tasks, size=[32, 64], **facts))


@pytest.fixture
def model() -> SceneModel:
    return made(scene_tasks())


def script(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own: executed type annotations break symbolic shapes."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    paths = [str(Path(__file__).parents[2] / "runtime/src"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)


DECODED = """
import json, sys
from pathlib import Path
import numpy, onnx, PIL.Image, torch
from crosstask.cli import main
from crosstask.data.feeding import Feeding
from crosstask.predict.engine import open_model
from crosstask.predict.model import load
from crosstask_runtime import load as load_file

place, file = Path(sys.argv[1]), Path(sys.argv[1]) / "model.onnx"
assert main(["export", str(place), "--json"]) == 0
model, other = load(place), load_file(file)
inputs = onnx.load(str(file)).graph.input
assert [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in inputs] == [
    ["batch", 3, "height", "width"], ["batch"]]

def same(expected, found, exact):
    for task, value in expected.numpy().items():
        other = numpy.asarray(found[task])
        if value.dtype.kind == "i":
            assert (value != other).mean() < (1e-3 if exact else 1e-2)
        elif exact:
            assert numpy.allclose(other, value, rtol=1e-3, atol=1e-4), task
        else:  # torch resizes bytes in fixed-point numbers
            assert numpy.abs(other - value).mean() < 1e-3 * numpy.abs(value).mean() + 1e-4, task
    assert expected.kinds == dict(found.kinds) and expected.notes == dict(found.notes)
    assert expected.camera_source == found.camera_source

noise = numpy.random.default_rng(0)
for size in ((50, 77), (32, 64)):
    image = (noise.random((*size, 3)) * 255).astype("uint8")
    for options in ({"fx": 80.0}, {}):
        scene = other.predict(image, **options)
        same(model.predict(image, **options), scene, size == (32, 64))
        same(open_model(place, "onnx").predict(image, **options), scene, True)
assert scene.kinds == {"depth": "up to scale"} and "fx" in scene.notes["depth"]
near, far = (float(other.predict(image, fx=fx)["depth"].mean()) for fx in (80.0, 160.0))
assert abs(far / near - 2) < 0.01  # within the range of the task
exif = PIL.Image.Exif()
exif[0x0112], exif.get_ifd(0x8769)[0xA405] = 6, 26
photo = place / "photo.png"
PIL.Image.fromarray(image).save(photo, exif=exif)  # 64 across as stored, 32 once upright
for options in ({}, {"fov": 65.0}, {"fx": 80.0}, {"intrinsics": [[90.0, 0, 30], [0, 110, 15], [0, 0, 1]]}):
    matrix = {k: torch.tensor(v) for k, v in options.items() if k == "intrinsics"}
    scene = other.predict(photo, **options)
    for one in (model, open_model(place, "onnx")):
        same(one.predict(photo, **options | matrix), scene, one is not model)
    assert scene.kinds == {"depth": "metric"}
print("equal")
"""


def test_the_runtime_says_what_the_model_says(tmp_path: Path) -> None:
    tasks = (
        *scene_tasks(("segmentation",)),
        Depth(canonical_focal=100.0, far=1e4),
        *scene_tasks(("normals", "edges")),
    )
    keep = Feeding(size=(32, 64), fit="keep").to_spec()
    made(tasks, training_camera={"focal": [90.0, 110.0]}, feeding=keep).save_pretrained(tmp_path)
    result = script(DECODED, tmp_path)
    assert "equal" in result.stdout, result.stdout[-500:] + result.stderr[-2000:]


FIXED = """
import sys
from pathlib import Path
import numpy, onnx, onnxruntime, torch
from crosstask.data.feeding import Feeding
from crosstask.deploy.export import export
from crosstask.deploy.graph import fed, unfed
from crosstask.deploy.interface import Interface
from crosstask.deploy.tracing import translations
from crosstask.predict.model import load
from crosstask_runtime import load as load_file

folder, images = Path(sys.argv[1]), [{"image": torch.rand(3, 48, 80)} for _ in range(3)]
model = load(folder)
options = {"input": "uint8", "size": (32, 64)}
whole = export(model, folder / "a.onnx", "onnx", None, Interface(**options))
assert max(whole.differences.values()) < 1e-3, whole
small = export(model, folder / "b.onnx", "onnx", None, Interface(precision="int8", **options), calibration=images)
assert max(small.means.values()) < 0.1, small
assert max(small.differences.values()) > max(whole.differences.values())
kinds = [node.op_type for node in onnx.load(str(folder / "b.onnx")).graph.node]
assert kinds.count("DequantizeLinear") > 20 and (folder / "b.onnx").stat().st_size < (folder / "a.onnx").stat().st_size
image = (images[0]["image"].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
expected, found = model.predict(image, size=(32, 64)), load_file(folder / "a.onnx").predict(image)
assert numpy.allclose(expected["depth"].numpy(), found["depth"], rtol=1e-3)
half = export(model, folder / "h.pt2", "pt2", None, Interface(precision="fp16", image_size=(40, 64)))
assert 0 < max(half.differences.values()) < 0.05, half
raw = export(model, folder / "r.pt2", "pt2", None, Interface(outputs="raw", size="native"))
assert list(raw.differences) == ["segmentation", "depth", "normals", "edges"]
assert max(raw.differences.values()) < 1e-3
with (folder / "r.pt2").open("rb") as stream:
    program = torch.export.load(stream).module()
image = torch.rand(3, 3, 64, 48)
for name, value in zip(raw.differences, program(image), strict=True):
    assert torch.allclose(value, model(image)[name][-1], atol=1e-3)

class Fed(torch.nn.Module):
    rule = Feeding(size=(64, 96), aspects=(1.3, 1.8))
    def forward(self, image):
        place = self.rule.place(tuple(image.shape[-2:]))
        return unfed(fed(image, place) * 2, place, tuple(image.shape[-2:]))

auto = torch.export.Dim.AUTO
program = torch.export.export(Fed(), (torch.rand(2, 3, 85, 131),), dynamic_shapes={"image": {0: auto, 2: auto, 3: auto}})
made = torch.onnx.export(program, dynamo=True, input_names=["image"], custom_translation_table=translations(), verbose=False)
made.save(str(folder / "fed.onnx"))
session = onnxruntime.InferenceSession(str(folder / "fed.onnx"))
for size in ((64, 96), (90, 130), (50, 300), (200, 90)):
    image = torch.rand(1, 3, *size)
    (found,) = session.run(None, {"image": image.numpy()})
    near = numpy.abs(Fed()(image).numpy() - found)
    assert near.max() < 1e-4, (size, near.max())
print("good")
"""


def test_fixed_sizes_bytes_eight_bits_half_and_raw(model: SceneModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    result = script(FIXED, tmp_path)
    assert "good" in result.stdout, result.stdout[-500:] + result.stderr[-2000:]


WINDOWS = """
import sys
from pathlib import Path
import onnxruntime, torch
from torch import nn
from crosstask.deploy.export import export
from crosstask.deploy.interface import Interface
from crosstask.models.layers.window_self_attention import WindowSelfAttention
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth
torch.manual_seed(0)

class Coarse(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = WindowSelfAttention(12, heads=2)
        self.last = nn.Conv2d(12, 1, 1)
    def forward(self, image):
        coarse = image[..., ::32, ::32].repeat(1, 4, 1, 1)
        return {"depth": [self.last(self.attention(coarse))]}

model, path = SceneModel(Coarse().eval(), (Depth(),), {}), Path(sys.argv[1])
raw = Interface(outputs="raw", size="native")
assert export(model, path, "onnx", (64, 128), raw).differences["depth"] < 1e-4
session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
for size in ((1, 32 * 18, 32 * 33), (3, 32, 32 * 9)):
    image = torch.rand(size[0], 3, *size[1:])
    with torch.no_grad():
        expected = model.network(image)["depth"][0]
    (found,) = session.run(None, {"image": image.numpy()})
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)
print("equal")
"""


def test_window_attention_is_exported_for_sizes_of_many_windows(tmp_path: Path) -> None:
    """The example's map is a single window of SCA-MTL's attention; the sizes compared have more."""
    command = [sys.executable, "-c", WINDOWS, str(tmp_path / "m.onnx")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert "equal" in result.stdout, result.stderr[-2000:]


def test_an_export_above_the_tolerance_fails(
    model: SceneModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model.save_pretrained(tmp_path / "m")
    (tmp_path / "m/model.pt2").write_text("x")
    found = Comparison({"depth": 0.5}, {"depth": 0.001}, {"depth/rmse": (2.0, 2.002)}, 3)
    monkeypatch.setattr("crosstask.deploy.export.export", lambda *a, **k: found)
    arguments = ["export", str(tmp_path / "m"), "--format", "pt2"]
    assert main(arguments) == 1
    assert "above 0.001" in capsys.readouterr().err
    assert main([*arguments, "--precision", "fp16", "--json"]) == 0  # metrics decide there
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"] == {"depth/rmse": [2.0, 2.002]} and report["within_tolerance"]
    monkeypatch.undo()
    with pytest.raises(ExportError, match="onnx, openvino"):
        export(model, tmp_path / "x", "tensorrt")


@pytest.mark.parametrize("recorded", [True, False])
def test_a_model_without_a_record_of_feeding_is_not_squeezed(
    model: SceneModel, recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeding = {"feeding": Feeding(size=(32, 64)).to_spec()} if recorded else {}
    SceneModel(model.network, model.tasks, model.description | feeding).save_pretrained(tmp_path)
    asked: list[Interface] = []

    def note(model: Any, path: Any, kind: str, size: Any, interface: Interface, **_: Any) -> Any:
        asked.append(interface)
        path.write_text("x")
        return Comparison({"depth": 0.0}, {"depth": 0.0}, {}, 0)

    monkeypatch.setattr("crosstask.deploy.export.export", note)
    assert main(["export", str(tmp_path), "--format", "pt2"]) == 0
    assert asked[0].size == ((32, 64) if recorded else "dynamic")


def test_changes_of_metrics_are_fractions_or_relative() -> None:
    tasks = scene_tasks()
    assert change(tasks, "segmentation/miou", 0.5, 0.49) == pytest.approx(0.01)
    assert change(tasks, "depth/rmse", 4.0, 4.2) == pytest.approx(0.05)
    assert change(tasks, "edges/f1", math.nan, math.nan) == 0
    assert change(tasks, "edges/f1", 0.5, math.nan) == math.inf
    exact = Comparison({"depth": 0.2}, {"depth": 0.01}, {}, 0)
    assert exact.worst(tasks, True) == 0.2 and exact.worst(tasks, False) == 0.01
    assert Comparison({"depth": 0.2}, {}, {"depth/rmse": (1.0, 1.1)}).worst(
        tasks, False
    ) == pytest.approx(0.1)
    further = {"depth/rmse": (1.0, 1.0), "depth/delta1": (0.5, 0.1)}
    assert Comparison({}, {}, further).worst(tasks, False) == 0  # the main metric decides
    assert Comparison().worst(tasks, True) == math.inf


def test_differences_by_hand() -> None:
    ids = torch.tensor([0, 1, 2, 2], dtype=torch.uint8)
    assert difference(ids, torch.tensor([0, 1, 2, 1], dtype=torch.uint8)) == (0.25, 0.25)
    assert difference(torch.tensor([4.0, 2.0]), torch.tensor([4.0, 3.0])) == (0.25, 0.125)
    assert difference(torch.ones(2), torch.tensor([1.0, math.nan]))[0] == math.inf


def test_metrics_of_labelled_images_stand_beside_the_differences(model: SceneModel) -> None:
    """A file that gives one class everywhere, and the model's own other outputs."""
    graph = Graph(model, Interface(), traced=False)

    def wrong(*inputs: Tensor) -> list[Tensor]:
        classes, *others = graph(*inputs)
        return [torch.zeros_like(classes), *others]

    scenes = [Scenes(length=2)[k] for k in range(2)]
    found = compare(graph, wrong, [graph.example((32, 64))], scenes)
    assert found.images == 2 and found.differences["depth"] == found.means["depth"] == 0
    ours, theirs = found.metrics["depth/abs_rel"]
    assert ours == theirs and "normals/mean" in found.metrics and "edges/f1" in found.metrics
    assert 0 <= found.metrics["segmentation/pixel_accuracy"][1] <= 1


@dataclass(frozen=True, kw_only=True)
class Opaque(Depth):
    """A task of somebody's own whose decoding nobody declared."""

    name: str = "opaque_depth"
    decode_in_graph = Task.decode_in_graph

    def __init__(self, **options: object) -> None:
        super().__init__(**({"name": "opaque_depth"} | options))


def test_bad_wishes_are_named(model: SceneModel, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"`opaque_depth` \(Opaque\) has no `decode_in_graph`"):
        output_names([Opaque()], Interface())
    assert output_names([Opaque()], Interface(outputs="raw")) == {"opaque_depth": ("opaque_depth",)}
    for options, words in (
        ({"outputs": "some"}, "decoded, raw"),
        ({"input": "png"}, "float, uint8"),
        ({"size": (16, 64)}, "at least 32"),
        ({"size": "small"}, "at least 32"),
        ({"image_size": (16, 64)}, "at least 32"),
        ({"focal": "720"}, "input, none or pixels"),
        ({"focal": -1.0}, "above 0"),
        ({"opset": 9}, "expected 18"),
        ({"precision": "int4"}, "int8"),
    ):
        with pytest.raises(ExportError, match=words):
            Interface(**options)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="pt2 has no int8"):
        export(model, tmp_path / "m.pt2", "pt2", None, Interface(precision="int8"))
    with pytest.raises(ExportError, match="needs calibration images"):
        export(model, tmp_path / "m.onnx", "onnx", None, Interface(precision="int8"))
    assert not list(tmp_path.iterdir())
    assert main(["export", str(tmp_path), "--focal", "far"]) == 2


def test_depth_without_metres_is_named_so() -> None:
    aware = Depth(canonical_focal=100.0)
    assert output_names([aware], Interface(focal="none")) == {"depth": ("depth_up_to_scale",)}
    assert output_names([aware], Interface(focal=720.0)) == {"depth": ("depth",)}
    assert output_names([Depth()], Interface(focal="none")) == {"depth": ("depth",)}
    assert output_names([SelfSupervisedDepth()], Interface()) == {"depth": ("depth_up_to_scale",)}
    metric = SelfSupervisedDepth(kind="metric")
    assert output_names([metric], Interface()) == {"depth": ("depth",)}


def test_a_focal_length_of_one_camera_is_inside() -> None:
    model = made((Depth(canonical_focal=100.0, far=1e4),))
    image, inputs = torch.rand(1, 3, 40, 60), Graph(model, Interface(), traced=False)
    inside = Graph(model, Interface(focal=250.0), traced=False)
    assert inputs.takes_focal and not inside.takes_focal
    (expected,), (found,) = inputs(image, torch.tensor([250.0])), inside(image)
    assert torch.equal(expected, found)
    assert torch.allclose(found, model.predict(image[0], fx=250.0)["depth"][None], rtol=1e-4)


def test_the_facts_tell_classes_colours_and_ranges(model: SceneModel) -> None:
    facts = metadata(model, Graph(model, Interface(size=(64, 96), input="uint8"), traced=False))
    quantities = {q["task"]: q for q in json.loads(facts["quantities"])}
    assert quantities["segmentation"]["classes"] == ["ground", "wall", "box"]
    assert quantities["segmentation"]["colors"][2] == [200, 40, 40]
    assert quantities["segmentation"]["outputs"] == ["segmentation", "segmentation_probability"]
    assert quantities["depth"]["range"] == [0.5, 50.0] and quantities["depth"]["one_camera"]
    assert (
        json.loads(facts["size"]) == [64, 96] and "uint8 RGB; resized to 64 x 96" in facts["input"]
    )
    assert json.loads(facts["trained_size"]) == [32, 64]


@pytest.mark.parametrize(
    "task", [*scene_tasks(), Saliency(), SelfSupervisedDepth(), Segmentation(200)]
)
def test_a_task_is_decoded_in_a_file_as_it_is_here(task: Task) -> None:
    output = torch.randn(2, task.channels, 4, 5)
    found = task.decode_in_graph(output)
    torch.testing.assert_close(found[""].to(task.decode(output).dtype), task.decode(output))
    for value in found.values():
        assert value.dtype in (torch.uint8, torch.float32) and value.shape[-2:] == (4, 5)


def test_models_on_a_gpu_are_exported_from_a_copy_on_the_cpu(
    model: SceneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device of its own stands for the GPU: what is traced must have left it."""
    asked = []
    whole = nn.Module.cpu

    def moved(self: nn.Module) -> nn.Module:
        asked.append(self)
        return whole(self)

    class Stop(Exception):
        pass

    def traced(graph: Graph, inputs: tuple[Tensor], **_: object) -> None:
        assert graph.network in asked and inputs[0].device.type == "cpu"
        raise Stop

    monkeypatch.setattr(nn.Module, "cpu", moved)
    monkeypatch.setattr(torch.export, "export", traced)
    with pytest.raises(ExportError, match="Stop"):
        export(model, tmp_path / "m.pt2", "pt2")
    assert len(asked) == 2 and model.network not in asked
