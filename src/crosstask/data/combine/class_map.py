"""One class list for two datasets: labels renamed by a table, the rest void."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.utils.data import Dataset

from crosstask.data.sample import DataError, target_of
from crosstask.data.samples import Wrapped
from crosstask.geometry.pinhole import edges_from_labels
from crosstask.media.label_range import void_label
from crosstask.tasks.classes import ClassTable


def redrawn(
    edges: Float[Tensor, "1 h w"], labels: Integer[Tensor, "h w"], void: int
) -> Float[Tensor, "1 h w"]:
    """Edges of labels whose classes were merged or left out; hidden edges, all void, stay hidden."""
    if bool((edges == target_of("edges").void).all()):
        return edges
    return edges_from_labels(labels, void).float()


class MappedClasses(Wrapped):
    """A dataset whose segmentation speaks another class list.

    Classes that the table does not name become void; so does a modality that the dataset cannot
    have (`voids`). Edges are drawn anew from the mapped labels.

    Args:
        dataset: samples with `segmentation` in the classes of `dataset.classes`.
        classes: the class list to speak.
        names: {name in the dataset: name in `classes`}.
        voids: targets to add without a single label, so that both domains have the same keys.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        classes: ClassTable,
        names: Mapping[str, str],
        voids: tuple[str, ...] = (),
    ) -> None:
        super().__init__(dataset)
        own = () if self.dataset.classes is None else self.dataset.classes.names
        self._classes, self.voids = classes, voids
        self.modalities = self.modalities + voids
        wrong = [n for n in names if n not in own] + [
            n for n in names.values() if n not in classes.names
        ]
        if wrong:
            raise DataError(
                f"`names` has {wrong[0]!r}, which is in neither list; expected a map from "
                f"{', '.join(own)} to {', '.join(classes.names)}"
            )
        self.void_targets = {name: target_of(name) for name in voids}
        self.names = dict(names)
        self.void = void_label(len(classes))
        self.table = [classes.names.index(names[n]) if n in names else self.void for n in own]

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = dict(self.dataset[index])
        if "segmentation" in sample:
            sample["segmentation"] = self._mapped(sample["segmentation"])
            if "edges" in sample:
                sample["edges"] = redrawn(sample["edges"], sample["segmentation"], self.void)
        size = (int(sample["image"].shape[-2]), int(sample["image"].shape[-1]))
        return sample | {name: t.void_map(size) for name, t in self.void_targets.items()}

    @property
    def classes(self) -> ClassTable:
        return self._classes

    def _mapped(self, labels: Tensor) -> Tensor:
        size = void_label(len(self.table)) + 1
        table = torch.full((size,), self.void, dtype=torch.int64)
        table[: len(self.table)] = torch.tensor(self.table)
        return table[labels]

    def describe(self) -> dict[str, Any]:
        """The dataset's own record with the map."""
        return {**super().describe(), "size": len(self), "class_map": self.names}
