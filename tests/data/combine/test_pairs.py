"""Two domains in one stream, and class lists made equal."""

import warnings
from typing import Any

import pytest
import torch

from crosstask.data.combine.class_map import MappedClasses
from crosstask.data.combine.pairs import DomainPairs
from crosstask.data.loading import train_loader
from crosstask.data.sample import DataError, check_sample
from crosstask.data.samples import Samples
from crosstask.tasks.classes import ClassTable


class Numbers(Samples):
    """Sample i is an image of grey i/1000 (plus seeded noise) with label `i % 3`."""

    def __init__(
        self,
        length: int,
        source: str,
        modalities: tuple[str, ...] = (),
        names: tuple[str, ...] = ("a", "b", "c"),
        size: tuple[int, int] = (32, 32),
    ) -> None:
        self.length, self.source, self.modalities, self.size = length, source, modalities, size
        self.names = names

    def __len__(self) -> int:
        return self.length

    @property
    def classes(self) -> ClassTable:
        return ClassTable(self.names)

    def __getitem__(self, i: int) -> dict[str, Any]:
        sample = {"image": torch.full((3, *self.size), i / 1000) + torch.rand(()) / 5000}
        if "segmentation" in self.modalities:
            sample["segmentation"] = torch.full(self.size, i % 3)
        return sample | {"intrinsics": torch.eye(3), "name": str(i), "source": self.source}


def stream(pairs: DomainPairs, batches: int, start: int = 0) -> list[dict[str, Any]]:
    return list(train_loader(pairs, batch_size=2, batches=batches, seed=5, start=start))


def test_a_pair_has_the_sources_labels_and_only_the_targets_image() -> None:
    with pytest.warns(UserWarning, match=r"labels \(segmentation\).*ignored"):
        pairs = DomainPairs(
            Numbers(4, "sim", ("segmentation",)), Numbers(3, "real", ("segmentation",))
        )
    sample = pairs[4 * 2 + 3]
    check_sample(sample, ("segmentation",))
    assert (sample["name"], sample["target_name"]) == ("3", "2")
    assert (sample["source"], sample["target_source"]) == ("sim", "real")
    assert [k for k in sample if k.startswith("target_")] == [
        "target_image",
        "target_intrinsics",
        "target_name",
        "target_source",
    ]
    assert pairs.describe()["target_labels"] == "not used in training"


@pytest.mark.parametrize(("own", "other"), [(4, 10), (10, 4), (6, 6)])
def test_a_pass_covers_both_domains_evenly(own: int, other: int) -> None:
    pairs = DomainPairs(Numbers(own, "sim"), Numbers(other, "real"))
    assert len(pairs) == max(own, other)
    samples = stream(pairs, len(pairs) // 2)
    for key, size in (("name", own), ("target_name", other)):
        seen = [int(n) for s in samples for n in s[key]]
        counts = torch.bincount(torch.tensor(seen), minlength=size)
        assert int(counts.min()) >= len(pairs) // size and int(counts.max()) <= -(
            -len(pairs) // size
        )


def test_the_stream_is_a_function_of_seed_and_position() -> None:
    pairs = DomainPairs(Numbers(5, "sim", ("segmentation",)), Numbers(7, "real"))
    whole, tail = stream(pairs, 9), stream(pairs, 9, start=4)
    assert len(tail) == 5
    for a, b in zip(whole[4:], tail, strict=True):
        assert a["name"] == b["name"] and a["target_name"] == b["target_name"]
        assert torch.equal(a["image"], b["image"])  # the seeded noise too
        assert torch.equal(a["target_image"], b["target_image"])
    orders = [[n for s in whole for n in s[key]] for key in ("name", "target_name")]
    assert orders[0][:5] != orders[0][5:10] and orders[0] != orders[1]


def test_domains_that_do_not_fit_are_errors() -> None:
    with pytest.raises(DataError, match="the target domain has no images"):
        DomainPairs(Numbers(3, "sim"), Numbers(0, "real"))
    with pytest.raises(DataError, match=r"3 and 2 classes; only source: c; only target: none"):
        DomainPairs(Numbers(3, "sim"), Numbers(3, "real", names=("a", "b")))
    with pytest.raises(DataError, match="is 32x32, the target image 0 is 32x64"):
        DomainPairs(Numbers(3, "sim"), Numbers(3, "real", size=(32, 64)))[0]


def test_very_uneven_domains_are_warned_about() -> None:
    with pytest.warns(UserWarning, match="the source domain has 2 images, the other 102.*51"):
        DomainPairs(Numbers(2, "sim"), Numbers(102, "real"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DomainPairs(Numbers(2, "sim"), Numbers(100, "real"))


def test_mapped_classes_rename_void_and_draw_edges_anew() -> None:
    class Halves(Numbers):
        def __getitem__(self, i: int) -> dict[str, Any]:
            labels = torch.zeros(self.size, dtype=torch.int64)
            labels[:, 8:16], labels[:, 16:24], labels[:, 24:] = 1, 2, 255
            edges = torch.zeros(1, *self.size)
            return super().__getitem__(i) | {"segmentation": labels, "edges": edges}

    table = ClassTable(("ground", "thing"))
    data = MappedClasses(
        Halves(2, "sim", ("segmentation", "edges")),
        table,
        {"a": "ground", "b": "thing"},
        ("depth", "normals"),
    )
    sample = data[1]
    check_sample(sample, ("segmentation", "edges", "depth", "normals"))
    row = sample["segmentation"][0]
    assert row[:16].tolist() == [0] * 8 + [1] * 8 and bool((row[16:] == 255).all())
    assert sample["edges"][0, 0, 6:10].tolist() == [0, 1, 1, 0]
    assert float(sample["depth"].abs().max()) == 0 and data.modalities[-1] == "normals"
    assert data.describe()["class_map"] == {"a": "ground", "b": "thing"}
    DomainPairs(data, MappedClasses(Numbers(2, "real"), table, {}))  # one list: no error
    with pytest.raises(DataError, match="`names` has 'x'"):
        MappedClasses(Numbers(2, "sim"), table, {"x": "ground"})
    with pytest.raises(DataError, match="`names` has 'y'"):
        MappedClasses(Numbers(2, "sim"), table, {"a": "y"})


class Cropped(Numbers):
    """Stored wider than it is trained on, and drawn in an order of its own."""

    def stored_size(self, index: int) -> tuple[int, int] | None:
        return 375, 1242 + index

    def sampling_order(self, epoch: int, generator: torch.Generator) -> list[int]:
        return [0, 0, *range(2, self.length)] if epoch % 2 else [*range(self.length)]


def test_a_domain_is_drawn_in_its_own_order_and_prediction_is_given_target_images() -> None:
    pairs = DomainPairs(Cropped(5, "sim"), Cropped(9, "real"))
    order = pairs.sampling_order(3, torch.Generator())
    assert [index % 5 for index in order] == [0, 1, 2, 3, 4, 0, 0, 2, 3]  # its passes 6 and 7
    assert [index // 5 for index in order] == [0, 0, 2, 3, 4, 5, 6, 7, 8]  # its pass 3
    assert pairs.stored_size(7) == (375, 1249)  # target 7, not source 2
