"""Optimised inference and export."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from crosstask.cli import main
from crosstask.deploy.export import ExportError, Flat, _compare, export
from crosstask.deploy.optimize import Optimized, fold_batch_norms, optimize
from crosstask.engine import checkpoints
from crosstask.models import create_model
from crosstask.predict.model import SceneModel, load
from fakes.scenes import scene_tasks


def network(name: str = "densemtl") -> nn.Module:
    torch.manual_seed(0)
    made = create_model(name, scene_tasks(), encoder="resnet10t", pretrained=False, width=0.0625)
    for module in made.modules():  # statistics that folding must not lose
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.1)
    for parameter in (p for n, p in made.named_parameters() if n.endswith("alpha")):
        nn.init.normal_(parameter)
    return made.eval()


@pytest.fixture
def model() -> SceneModel:
    made = network()
    return SceneModel(made, scene_tasks(), checkpoints.describe(made, scene_tasks(), size=[32, 64]))


@pytest.mark.parametrize("name", ["densemtl", "multi_task", "padnet"])
def test_optimised_outputs_are_the_same(name: str) -> None:
    made = network(name)
    fast = optimize(made, dtype=torch.float32)
    image = torch.rand(2, 3, 40, 70)
    with torch.no_grad():
        expected, found = made(image), fast(image)
    for task, outputs in expected.items():
        assert len(found[task]) == 1
        assert torch.allclose(found[task][0], outputs[-1], atol=1e-4)
    before = sum(type(m) is nn.BatchNorm2d for m in made.modules())
    after = sum(type(m) is nn.BatchNorm2d for m in fast.modules())
    assert after < before / 2
    assert all(not p.requires_grad for p in fast.parameters())


def test_cuda_graphs_are_refused_without_a_gpu() -> None:
    with pytest.raises(ValueError, match="needs the network on a GPU"):
        optimize(network(), cuda_graphs=True)


def test_cuda_graphs_own_their_answers_no_longer_than_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the graph returns lies in memory that its next call overwrites; ours must not."""
    memory, asked = torch.zeros(1, 1, 4, 4), {}

    class Graph(nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
            return {"depth": [memory.copy_(image[:, :1])]}

    def compiled(module: nn.Module, **settings: object) -> nn.Module:
        asked.update(settings)
        return module

    monkeypatch.setattr(torch, "compile", compiled)
    fast = Optimized(Graph(), torch.float32, channels_last=True, cuda_graphs=True)
    first = fast(torch.ones(1, 3, 4, 4))["depth"][0]
    fast(torch.zeros(1, 3, 4, 4))
    assert bool((first == 1).all()) and asked == {"mode": "reduce-overhead", "fullgraph": True}


def test_folding_by_hand() -> None:
    """y = 3 x through the convolution, then (y - 1) / 2 * 4 + 5 through the norm."""
    pair = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0)).eval()
    pair[0].weight.data.fill_(3.0)
    pair[1].running_mean.fill_(1.0)
    pair[1].running_var.fill_(4.0)
    pair[1].weight.data.fill_(4.0)
    pair[1].bias.data.fill_(5.0)
    assert fold_batch_norms(pair) == 1
    assert pair(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(15.0)


def test_a_norm_that_does_not_follow_its_neighbour_is_refused() -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            nn.init.constant_(self.bn1.running_mean, 0.3)

        def forward(self, x: torch.Tensor) -> dict:
            return {"depth": [self.conv1(self.bn1(x).relu())]}

    with pytest.raises(ValueError, match="folding batch norms changed `depth`"):
        optimize(Crossed().eval(), dtype=torch.float32)


class Rounded(nn.Module):
    """As on a GPU with TF32: convolutions with rounded numbers, until it is moved to the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)
        self.last, self.rough = nn.Conv2d(64, 1, 3), True
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def to(self, *args: object, **settings: object) -> nn.Module:
        self.rough = torch.device("cpu") not in args
        return self

    def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        weights = {n: self.rounded(p) for n, p in self.named_parameters()}
        x = torch.conv2d(self.rounded(image), weights["conv1.weight"], weights["conv1.bias"])
        x = self.rounded(self.bn1(x).relu())
        return {"depth": [torch.conv2d(x, weights["last.weight"], weights["last.bias"])]}

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        return (x.bfloat16() if self.rough else x).float()


def test_folding_is_checked_in_full_precision() -> None:
    """Neither the rounding of the device nor autocast around the call may refuse a network."""
    optimize(Rounded().eval(), dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        optimize(network(), dtype=torch.float32)


def test_folding_that_gives_no_number_is_refused() -> None:
    made = network("multi_task")
    next(made.parameters()).data.fill_(float("nan"))
    with pytest.raises(ValueError, match="folding batch norms changed `segmentation` by nan"):
        optimize(made, dtype=torch.float32)


def test_cuda_graphs_take_more_networks_than_torch_keeps_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten networks share the code of one class; torch stops at eight versions of it."""

    class Small(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.last = nn.Conv2d(3, channels, 1)

        def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
            return {"depth": [self.last(image)]}

    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda n, **_: whole(n, backend="eager", fullgraph=True))
    torch._dynamo.reset()
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    for channels in range(1, 11):
        fast = Optimized(Small(channels), torch.float32, channels_last=False, cuda_graphs=True)
        assert fast(torch.rand(1, 3, 32, 32))["depth"][0].shape[1] == channels


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: executed type annotations break symbolic shapes."""
    command = [sys.executable, "-m", "crosstask", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def test_export_runs_elsewhere_at_any_size(model: SceneModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "m")
    names = ["segmentation", "depth", "normals", "edges"]
    for kind in ("pt2", "onnx"):
        result = command_line("export", str(tmp_path / "m"), "--format", kind, "--json")
        assert result.returncode == 0, result.stderr[-2000:]
        report = json.loads(result.stdout.strip().splitlines()[-1])
        assert list(report["differences"]) == names and max(report["differences"].values()) < 1e-3
    import onnxruntime

    path = str(tmp_path / "m" / "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["outputs"]) == names == [o.name for o in session.get_outputs()]
    assert "ground" in facts["tasks"] and "normalised inside" in facts["input"]
    image = torch.rand(3, 3, 64, 48)
    with torch.no_grad():
        expected = model.eval()(image)
    for name, found in zip(names, session.run(names, {"image": image.numpy()}), strict=True):
        assert torch.allclose(torch.from_numpy(found), expected[name][-1], atol=1e-3)


WINDOWS = """
import sys
from pathlib import Path
import onnxruntime, torch
from torch import nn
from crosstask.deploy.export import export
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
assert export(model, path, "onnx", (64, 128))["depth"] < 1e-4
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
    monkeypatch.setattr("crosstask.deploy.export.export", lambda *a: {"depth": 0.5})
    assert main(["export", str(tmp_path / "m"), "--format", "pt2"]) == 1
    assert "above 0.001" in capsys.readouterr().err
    monkeypatch.undo()
    with pytest.raises(ExportError, match="pt2, onnx"):
        export(load(tmp_path / "m"), tmp_path / "x", "tensorrt")


def test_an_export_that_gives_no_number_fails() -> None:
    flat = Flat(nn.Identity(), ("depth",))
    flat.forward = lambda image: (image,)  # type: ignore[method-assign]
    found = _compare(flat, lambda image: [image * float("nan")], ["depth"], [(1, 4, 4)])
    assert found == {"depth": math.inf}


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

    def traced(module: nn.Module, inputs: tuple[torch.Tensor], **_: object) -> None:
        assert module in asked and inputs[0].device.type == "cpu"
        raise Stop

    monkeypatch.setattr(nn.Module, "cpu", moved)
    monkeypatch.setattr(torch.export, "export", traced)
    with pytest.raises(ExportError, match="Stop"):
        export(model, tmp_path / "m.pt2", "pt2")
    assert len(asked) == 2 and model.network not in [flat.network for flat in asked]
