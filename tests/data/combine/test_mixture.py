"""Mixtures of partly labelled datasets, and training over bad files."""

import json
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import fakes.bsds500
import fakes.camvid
import fakes.cityscapes
import fakes.nyudv2
import fakes.sevenscenes
from crosstask import data
from crosstask.data import labels, transforms
from crosstask.data.combine.class_map import redrawn
from crosstask.data.combine.mixture import task_balanced
from crosstask.data.loading import collate, train_loader
from crosstask.data.sample import DataError, check_sample
from crosstask.geometry.pinhole import edges_from_labels
from crosstask.tasks.classes import ClassTable


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[data.SceneDataset]:
    root = tmp_path_factory.mktemp("real3")
    transform = transforms.training((32, 48), scale=(0.8, 1.2))
    return [
        data.CamVid(fakes.camvid.write(root / "c"), "train", ("segmentation",), transform),
        data.SevenScenes(
            fakes.sevenscenes.write(root / "s"), "train", ("depth", "normals"), transform, gap=1
        ),
        data.BSDS500(fakes.bsds500.write(root / "b"), "train", ("edges",), transform),
    ]


def test_samples_are_void_where_unlabelled(parts: list[data.SceneDataset]) -> None:
    mixture = data.Mixture([(part, 1.0) for part in parts])
    assert mixture.modalities == ("segmentation", "depth", "normals", "edges")
    assert mixture.classes == labels.CAMVID_11
    assert len(mixture) == 4 + 11 + 4
    for index in range(len(mixture)):
        sample = mixture[index]
        check_sample(sample, mixture.modalities)
        labelled = {
            n
            for n in mixture.modalities
            if not bool((sample[n] == (0 if n in ("depth", "normals") else 255)).all())
        }
        expected = {
            "camvid": {"segmentation"},
            "sevenscenes": {"depth", "normals"},
            "bsds500": {"edges"},
        }
        assert labelled == expected[sample["source"]]
    batch = collate([mixture[i] for i in (0, 5, 16)])
    assert batch["source"] == ["camvid", "sevenscenes", "bsds500"]
    assert json.loads(json.dumps(mixture.describe()))["parts"][1]["source"] == "sevenscenes"


def test_order_follows_the_weights(parts: list[data.SceneDataset]) -> None:
    mixture = data.Mixture([(parts[0], 2.0), (parts[1], 1.0), (parts[2], 1.0)])
    order = mixture.sampling_order(0, torch.Generator().manual_seed(1))
    assert len(order) == len(mixture)
    drawn = [mixture.locate(index)[0] for index in order]
    assert Counter(drawn[:16]) == {0: 8, 1: 4, 2: 4}
    for start in range(0, 16, 4):  # every batch of four has its proportions
        assert Counter(drawn[start : start + 4]) == {0: 2, 1: 1, 2: 1}
    seen = Counter(index for index in order if mixture.locate(index)[0] == 0)
    assert max(seen.values()) - min(seen.values()) <= 1
    assert order == mixture.sampling_order(0, torch.Generator().manual_seed(1))
    assert order != mixture.sampling_order(1, torch.Generator().manual_seed(2))


def test_loader_uses_the_order(parts: list[data.SceneDataset]) -> None:
    mixture = data.Mixture([(part, 1.0) for part in parts])
    sources = [batch["source"] for batch in train_loader(mixture, batch_size=3, batches=4, seed=0)]
    assert all(sorted(batch) == ["bsds500", "camvid", "sevenscenes"] for batch in sources)


def test_balanced_by_hand() -> None:
    """S and E in one part, D and N in a second, E in a third: 1.5 : 2 : 0.5 of 4."""
    shares = task_balanced([("segmentation", "edges"), ("depth", "normals"), ("edges",)], ("segmentation", "depth", "normals", "edges"))  # fmt: skip
    assert shares == [0.375, 0.5, 0.125]


def test_one_class_list(tmp_path: Path) -> None:
    camvid = data.CamVid(fakes.camvid.write(tmp_path / "c"), modalities=("segmentation",))
    city = data.Cityscapes(fakes.cityscapes.write(tmp_path / "k"), modalities=("segmentation",))
    with pytest.raises(DataError, match="different class tables"):
        data.Mixture([(camvid, None), (city, None)])
    rename = {"camvid": {"pavement": "sidewalk", "tree": "vegetation", "sign": "traffic sign", "pedestrian": "person", "bicyclist": None}}  # fmt: skip
    with pytest.raises(DataError, match=r"'pavement' of camvid is not in `classes`"):
        data.Mixture([(camvid, None), (city, None)], classes=labels.CITYSCAPES_19)
    mixture = data.Mixture(
        [(camvid, None), (city, None)], classes=labels.CITYSCAPES_19, rename=rename
    )
    own, common = camvid[0]["segmentation"], mixture[0]["segmentation"]
    assert torch.equal(common == 8, own == 5)  # tree is vegetation
    assert torch.equal(common == 255, own == 255)
    assert torch.equal(mixture[4]["segmentation"], city[0]["segmentation"])


def test_bad_arguments(parts: list[data.SceneDataset]) -> None:
    for arguments, message in (
        ({"parts": []}, "empty"),
        ({"parts": [(parts[0], 0.0)]}, "above 0"),
        ({"parts": [(parts[0], 1.0), (parts[1], None)]}, "above 0"),
        ({"parts": [(parts[0], 1.0)], "modalities": ("depth",)}, "'depth'"),
    ):
        with pytest.raises(DataError, match=message):
            data.Mixture(**arguments)
    with pytest.raises(IndexError):
        data.Mixture([(parts[0], 1.0)])[4]


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_bad_counts_and_reports(tmp_path: Path, workers: int) -> None:
    root = fakes.camvid.write(tmp_path, train=5)
    dataset = data.CamVid(root)
    broken = dataset.frames[1].files["segmentation"]
    broken.write_bytes(broken.read_bytes()[:40])
    dataset.frames[3].files["image"].unlink()
    skipping = data.SkipBad(dataset)
    assert skipping.classes == dataset.classes
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        context = "fork" if workers else None
        loader = DataLoader(
            skipping, batch_size=5, num_workers=workers, multiprocessing_context=context
        )
        names = [name for batch in loader for name in batch["name"]]
    good = [dataset.frames[i].name for i in (0, 2, 2, 4, 4)]
    assert names == good
    report = skipping.report()
    assert report == {"skipped": 2, "of": 5, "frames": [dataset.frames[i].name for i in (1, 3)]}
    if workers == 0:
        assert any(str(broken) in str(w.message) for w in caught)
    for frame in dataset.frames:
        frame.files["image"].unlink(missing_ok=True)
    with (
        pytest.raises(DataError, match="none of the 5"),
        pytest.warns(RuntimeWarning, match="skipped"),
    ):
        data.SkipBad(dataset)[0]


def test_metrics_by_dataset_and_task(tmp_path: Path) -> None:
    """Two rooms label depth: each has its own error, and theirs together is the mixture's."""
    from crosstask.evaluation.evaluate import evaluate
    from crosstask.tasks import Depth

    class Constant(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
            return {"depth": [torch.zeros_like(image[:, :1])]}

    rooms = data.SevenScenes(fakes.sevenscenes.write(tmp_path / "rooms"), modalities=("depth",))
    nyu = data.NYUDv2(fakes.nyudv2.write(tmp_path / "nyu", size=(48, 64)), modalities=("depth",))
    both = data.Mixture([(rooms, 1.0), (nyu, 1.0)])
    task = Depth(near=0.2, far=10.0)
    found = evaluate(Constant(), (task,), both, batch_size=4)
    for part in (rooms, nyu):
        alone = evaluate(Constant(), (task,), part, batch_size=1)
        assert found[f"{part.source}/depth/rmse"] == pytest.approx(alone["depth/rmse"])
        assert not any(key.startswith(part.source) for key in alone)
    rmse = {s: found[f"{s}/depth/rmse"] for s in ("sevenscenes", "nyudv2")}
    assert min(rmse.values()) < found["depth/rmse"] < max(rmse.values())


def test_edges_are_those_of_the_classes_that_the_mixture_has(tmp_path: Path) -> None:
    """Classes that become one have no edge between them; hidden edges stay hidden."""
    part = data.CamVid(fakes.camvid.write(tmp_path), "train", ("segmentation", "edges"))
    merged = ClassTable(("thing",))
    renamed = {"camvid": dict.fromkeys(labels.CAMVID_11.names, "thing")}
    one = data.Mixture([(part, 1.0)], classes=merged, rename=renamed)
    same = data.Mixture([(part, 1.0)])
    assert any(bool((part[i]["edges"] == 1).any()) for i in range(len(part)))
    for index in range(len(part)):
        sample = one[index]
        assert not bool((sample["edges"] == 1).any())
        drawn = edges_from_labels(sample["segmentation"], 255).float()
        assert torch.equal(sample["edges"], drawn)
        assert torch.equal(same[index]["edges"], part[index]["edges"])
    hidden = torch.full((1, 4, 4), 255.0)
    assert torch.equal(redrawn(hidden, torch.zeros(4, 4, dtype=torch.int64), 255), hidden)
