"""The release's names and meaning: a forward pass written from the names alone must agree."""

import json
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional

from crosstask.engine.released import _read, _their_shape, load_released_densemtl, released_names
from crosstask.models import create_model

KEYS = json.loads((Path(__file__).parent / "released_keys_sd.json").read_text())


@pytest.fixture(scope="module")
def released():
    """Random weights under the release's names, S-D."""
    torch.manual_seed(0)
    return {name: fill(name, shape) for name, shape in KEYS.items()}


def fill(name, shape):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return torch.empty(shape).uniform_(0.5, 1.5)
    if name.endswith("alpha"):
        return torch.empty(shape).normal_()
    fan = torch.tensor(shape[1:]).prod().item() if len(shape) > 1 else 16
    return torch.empty(shape).uniform_(-1, 1) * (3 / fan) ** 0.5


def add_normals(weights):
    """The S-D-N release by its pattern: 990 entries."""
    more = dict(weights)
    for name, tensor in weights.items():
        if name.startswith("heads.depth"):
            head = name.replace("depth", "normals")
            rows = 3 if ".14." in name or ".15." in name else None
            more[head] = fill(
                head, [rows or tensor.shape[0], *tensor.shape[1:]] if tensor.ndim else []
            )
        if name.startswith("m.semseg.1.") and "post" not in name:
            tails = {
                ("semseg", "normals"): name.replace("_depth", "_normals"),
                ("depth", "normals"): name.replace("m.semseg", "m.depth").replace(
                    "_depth", "_normals"
                ),
                ("normals", "semseg"): name.replace("m.semseg", "m.normals").replace(
                    "_depth", "_semseg"
                ),
                ("normals", "depth"): name.replace("m.semseg", "m.normals"),
            }
            for other in tails.values():
                more[other] = fill(other, list(tensor.shape))
        if name.startswith("m.semseg.1.post"):
            for task in ("semseg", "depth", "normals"):
                key = name.replace("m.semseg", f"m.{task}")
                shape = list(tensor.shape)
                more[key] = fill(key, [shape[0], 256, 1, 1] if shape[1:] else shape)
    return more


def norm(w, name, x):
    mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return functional.batch_norm(x, mean, var, w[f"{name}.weight"], w[f"{name}.bias"])


def block(w, name, x, first=0, **options):
    """Convolution, batch norm, ReLU."""
    x = functional.conv2d(x, w[f"{name}.{first}.weight"], **options)
    return norm(w, f"{name}.{first + 1}", x).relu()


def unit(w, name, x):
    weight, bias = w[f"{name}.block.0.conv.weight"], w[f"{name}.block.0.conv.bias"]
    return functional.elu(functional.conv2d(functional.pad(x, [1] * 4, "reflect"), weight, bias))


def double(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def trunk(w, task, maps):
    """Levels 4 to 1 of one head."""
    d = f"heads.{task}.decoder"
    x = maps[4]
    branches = [block(w, f"{d}.0.convs.0", x)]
    for k, rate in ((1, 6), (2, 12), (3, 18)):
        branches.append(block(w, f"{d}.0.convs.{k}", x, padding=rate, dilation=rate))
    pooled = block(w, f"{d}.0.convs.4", x.mean((2, 3), keepdim=True), first=1)
    branches.append(pooled.expand_as(branches[0]))
    x = block(w, f"{d}.0.project", torch.cat(branches, 1))
    x = unit(w, f"{d}.2", torch.cat([x, maps[3]], 1))
    for a, b, skip in ((3, 5, 2), (6, 8, 1), (9, 11, 0)):
        x = unit(w, f"{d}.{b}", torch.cat([double(unit(w, f"{d}.{a}", x)), maps[skip]], 1))
    return x


def direction(w, target, source, f_i, f_j):
    m = f"m.{target}.1"
    g = functional.conv2d(
        f_j, w[f"{m}.extract_{source}.0.weight"], w[f"{m}.extract_{source}.0.bias"], padding=1
    ).relu()
    sa = f"{m}.SA_{source}"
    own = functional.conv2d(g, w[f"{sa}.conv.weight"], padding=1)
    own = own * functional.conv2d(g, w[f"{sa}.attention.0.weight"], padding=1).sigmoid()
    x = f"{m}.SxTAM_{source}"
    q = block(w, f"{x}.conv_b", f_i[:, :, ::4, ::4])
    small = functional.max_pool2d(g, 4)
    k, v = block(w, f"{x}.conv_c", small), block(w, f"{x}.conv_d", small)
    weights = (q.flatten(2).transpose(1, 2) @ k.flatten(2) / 128**0.5).softmax(-1)
    attended = (weights @ v.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(q.shape)
    attended = double(double(attended)) * w[f"{x}.alpha"]
    return block(w, f"{m}.proj_{source}", torch.cat([own, attended], 1))


def forward(w, image, sources):
    """The released network from its names; `sources`: per target the order of concatenation."""
    encoder = timm.create_model("resnet101", features_only=True, output_stride=16).eval()
    prefix = "backbone.encoder."
    encoder.load_state_dict({k[len(prefix) :]: t for k, t in w.items() if k.startswith(prefix)})
    with torch.no_grad():
        maps = encoder((image - 0.45) / 0.225)
        f = {task: trunk(w, task, maps) for task in sources}
        out = {}
        for target, order in sources.items():
            d = f"heads.{target}.decoder"
            read = [direction(w, target, source, f[target], f[source]) for source in order]
            x = f[target] + block(w, f"m.{target}.1.post", torch.cat(read, 1))
            x = unit(w, f"{d}.13", double(unit(w, f"{d}.12", x)))
            out[target] = [
                functional.conv2d(f[target], w[f"{d}.15.weight"], w[f"{d}.15.bias"]),
                functional.conv2d(x, w[f"{d}.14.weight"], w[f"{d}.14.bias"]),
            ]
    return out


def agree(network, truth, image):
    with torch.no_grad():
        ours = network(image)
    names = {"segmentation": "semseg"}
    for task, outputs in ours.items():
        for mine, theirs in zip(outputs, truth[names.get(task, task)], strict=True):
            assert (mine - theirs).abs().max() < 1e-4 * theirs.std()


def test_names_and_shapes_are_those_of_the_release():
    with torch.device("meta"):
        network = create_model("densemtl", {"segmentation": 14, "depth": 1}, pretrained=False)
    names = released_names(network)
    assert len(KEYS) == 810
    assert sorted(names.values()) == sorted(KEYS)
    for ours, tensor in network.state_dict().items():
        assert list(_their_shape(names[ours], tensor)) == KEYS[names[ours]], ours


def test_two_tasks_compute_what_the_names_say(released, tmp_path):
    weights = {f"main.{name}": tensor for name, tensor in released.items()}
    weights["main.params.semseg.0.weight"] = torch.zeros(3)
    torch.save(weights, tmp_path / "sd.pth")
    network = load_released_densemtl(tmp_path / "sd.pth", tasks=("segmentation", "depth"))
    assert network.encoder.normalization == "released"
    assert not network.training
    assert network.spec["tasks"] == [["segmentation", 14], ["depth", 1]]
    image = torch.rand(1, 3, 32, 64)
    agree(network, forward(released, image, {"semseg": ["depth"], "depth": ["semseg"]}), image)


def test_three_tasks_with_any_order_of_sources(released):
    weights = add_normals(released)
    assert len(weights) == 990
    image = torch.rand(1, 3, 32, 32)
    order = {"segmentation": ("normals", "depth"), "normals": ("depth", "segmentation")}
    theirs = {
        "semseg": ["normals", "depth"],
        "depth": ["semseg", "normals"],
        "normals": ["depth", "semseg"],
    }
    network = load_released_densemtl(weights, source_order=order)
    agree(network, forward(weights, image, theirs), image)
    fusions = network.exchanges["1"].fusions
    expected = weights["m.semseg.1.post.0.weight"]
    assert torch.equal(fusions["segmentation"].weight[:, :128], expected[:, 128:])
    assert torch.equal(fusions["depth"].weight, weights["m.depth.1.post.0.weight"])


def test_what_does_not_fit_is_reported(released):
    tasks = ("segmentation", "depth")
    some = dict(released)
    some["heads.depth.decoder.99.weight"] = some.pop("heads.depth.decoder.13.block.0.conv.weight")
    some["m.depth.1.post.0.weight"] = torch.zeros(128, 64, 1, 1)
    with pytest.raises(
        ValueError, match=r"1 missing.*13\.block.*1 unknown.*99.*1 of wrong shape.*post"
    ):
        load_released_densemtl(some, tasks=tasks)
    with pytest.raises(ValueError, match="the weights hold"):
        load_released_densemtl(released)
    with pytest.raises(ValueError, match="source_order"):
        load_released_densemtl(released, tasks=tasks, source_order={"depth": ("normals",)})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("m.depth.1.SxTAM_semseg.alpha", (128,)),
        ("heads.depth.decoder.14.weight", (1, 64)),
        ("heads.depth.decoder.14.weight", (1, 1, 64, 1)),
        ("m.semseg.1.extract_depth.0.bias", (128, 1)),
    ],
)
def test_the_same_numbers_in_another_shape_are_refused(released, name, shape):
    some = {**released, name: released[name].reshape(shape)}
    with pytest.raises(ValueError, match=f"1 of wrong shape: {name}"):
        load_released_densemtl(some, tasks=("segmentation", "depth"))


def test_one_name_with_two_values_is_refused(released):
    name = "heads.depth.decoder.14.bias"
    with pytest.raises(ValueError, match=rf"'{name}' and 'main.{name}' with different values"):
        _read({**released, f"main.{name}": released[name] + 1})
    assert torch.equal(_read({f"main.{name}": released[name], **released})[name], released[name])


def test_a_file_that_carries_code_is_refused(tmp_path):
    torch.save({"state_dict": {}, "settings": Path}, tmp_path / "code.pth")
    with pytest.raises(
        ValueError, match=r"code\.pth holds more than tensors.*could run code\): (?!.*weights_only)"
    ):
        load_released_densemtl(tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"there is no checkpoint .*nowhere\.pth"):
        load_released_densemtl(str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize("content", [{"state_dict": None}, {"epoch": 3}, {"m.depth": "x"}])
def test_a_file_without_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="expected names with tensors"):
        load_released_densemtl(tmp_path / "other.pth")


def test_a_block_without_a_level_is_reported(released):
    some = {**released, "m.depth.post": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"1 unknown: m\.depth\.post"):
        load_released_densemtl(some, tasks=("segmentation", "depth"))
