"""What loaders, engine and evaluation ask of a dataset, and its defaults for a plain one."""

from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from crosstask.data import Samples, SkipBad
from crosstask.data.loading import train_loader
from crosstask.data.sample import DataError
from crosstask.data.samples import as_samples


class Plain(Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": torch.full((3, 4, 4), float(index)), "name": f"n{index}"}


class Backwards(Samples):
    source, modalities = "backwards", ("depth",)

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        return Plain()[index]

    def sampling_order(self, epoch: int, generator: torch.Generator) -> list[int]:
        return [4, 3, 2, 1, 0]


def test_a_plain_dataset_gets_the_defaults() -> None:
    samples = as_samples(Plain())
    assert len(samples) == 5 and samples.describe() == {"size": 5}
    assert (samples.source, samples.modalities, samples.classes) == ("", (), None)
    assert samples.frame_name(3) == "3" and samples[3]["name"] == "n3"
    order = samples.sampling_order(0, torch.Generator().manual_seed(1))
    assert order == torch.randperm(5, generator=torch.Generator().manual_seed(1)).tolist()
    with pytest.raises(DataError, match="`--split` needs one dataset of stored images"):
        samples.of_split("test")
    with pytest.raises(DataError, match="`--window` needs a dataset of stored images"):
        samples.use_native_size()
    assert as_samples(samples) is samples


def test_the_loader_takes_the_datasets_own_order_through_a_wrapper() -> None:
    wrapped = SkipBad(Backwards())
    assert (wrapped.source, wrapped.modalities) == ("backwards", ("depth",))
    loader = train_loader(wrapped, batch_size=1, batches=5, seed=0)
    assert [batch["name"][0] for batch in loader] == ["n4", "n3", "n2", "n1", "n0"]
