"""Several datasets as one, each labelled for some of the tasks."""

import copy
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor

from crosstask.data.combine.class_map import redrawn
from crosstask.data.feeding import Feeding
from crosstask.data.sample import DataError, target_of
from crosstask.data.samples import Samples
from crosstask.data.splits import digest
from crosstask.media.label_range import void_label
from crosstask.tasks.classes import ClassTable
from crosstask.tasks.segmentation import Segmentation, labels_target
from crosstask.tasks.target import declared


class Mixture(Samples):
    """One dataset out of several partly labelled ones; what a part does not label is void.

        Mixture([(CamVid(...), 1.0), (SevenScenes(...), 1.0), (BSDS500(...), 1.0)])

    Indexed, it holds every sample of every part once (evaluation). In training the loader asks for
    `sampling_order`, which draws the parts in proportion to their weights, evenly interleaved, so
    that every batch sees them in these proportions; a small part is repeated in an epoch, of a
    large one another random portion comes in every epoch.

    Args:
        parts: Pairs (dataset, weight). Where every weight is None they are balanced by task: each
            task gets the same share, divided among the parts that label it.
        modalities: Targets of the samples, in order; None takes all that some part has, in the order
            of the parts.
        classes: Class table of the mixture's `segmentation`; needed where parts differ.
        rename: By source, a table from a part's class names to names of `classes`, or None for
            void. Names that are not listed must be in `classes` as they are.

    Raises:
        DataError: No parts, weights that are not above 0, class names that cannot be matched.
    """

    source = "mixture"

    def __init__(
        self,
        parts: Sequence[tuple[Any, float | None]],
        modalities: Sequence[str] | None = None,
        classes: ClassTable | None = None,
        rename: Mapping[str, Mapping[str, str | None]] | None = None,
    ) -> None:
        if not parts:
            raise DataError("`parts` is empty; expected pairs (dataset, weight)")
        self.parts = tuple(dataset for dataset, _ in parts)
        names = [name for part in self.parts for name in part.modalities]
        have = [name for name in dict.fromkeys(names) if name in declared()]
        wanted = have if modalities is None else list(modalities)
        for name in wanted:
            if name not in have:
                raise DataError(f"`modalities` has {name!r}; the parts label {sorted(have)}")
        self.modalities = tuple(wanted)
        self.targets = {name: target_of(name) for name in wanted}
        self.weights = self._shares([weight for _, weight in parts])
        self._classes = self._common_classes(classes)
        self._tables = [
            self._table(part, (rename or {}).get(part.source, {})) for part in self.parts
        ]
        self._merged = [
            table is not None and table[:number].tolist() != list(range(number))
            for table, number in zip(
                self._tables, (len(part.classes or ()) for part in self.parts), strict=True
            )
        ]
        self.starts = [0, *accumulate(len(part) for part in self.parts)]
        if self._classes is not None and "segmentation" in self.targets:
            labels = self.targets["segmentation"]
            self.targets["segmentation"] = labels_target(labels, len(self._classes))
        self.split = self.parts[0].split

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def classes(self) -> ClassTable | None:
        return self._classes

    def locate(self, index: int) -> tuple[int, int]:
        """Part and index within the part."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} samples")
        part = max(p for p, start in enumerate(self.starts[:-1]) if start <= index)
        return part, index - self.starts[part]

    def frame_name(self, index: int) -> str:
        """Source and name of a sample, without reading it."""
        part, within = self.locate(index)
        return f"{self.parts[part].source}/{self.parts[part].frame_name(within)}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        part, within = self.locate(index)
        sample = self.parts[part][within]
        height, width = sample["image"].shape[-2:]
        kept = ("image", "intrinsics", "name", "source", "placed", "view")
        result = {key: sample[key] for key in kept if key in sample}
        for name in self.modalities:
            void = self.targets[name].void_map
            result[name] = sample[name] if name in sample else void((int(height), int(width)))
        table = self._tables[part]
        if table is not None and "segmentation" in self.modalities:
            result["segmentation"] = table[result["segmentation"]]
            if self._merged[part] and "edges" in sample and "edges" in result:
                unlabelled = void_label(len(cast(ClassTable, self._classes)))
                result["edges"] = redrawn(result["edges"], result["segmentation"], unlabelled)
        return result

    def sampling_order(self, epoch: int, generator: torch.Generator) -> list[int]:
        """Indices of one epoch, as many as there are samples, parts interleaved by weight."""
        queues: list[list[int]] = [[] for _ in self.parts]
        taken = [0] * len(self.parts)
        order = []
        for step in range(1, len(self) + 1):
            owed = [w * step - t for w, t in zip(self.weights, taken, strict=True)]
            part = owed.index(max(owed))
            taken[part] += 1
            if not queues[part]:
                queues[part] = torch.randperm(len(self.parts[part]), generator=generator).tolist()
            order.append(self.starts[part] + queues[part].pop())
        return order

    def feeding(self) -> Feeding | None:
        """That of its parts, where it is one."""
        first, *others = (part.feeding() for part in self.parts)
        return first if all(other == first for other in others) else None

    def stored_size(self, index: int) -> tuple[int, int] | None:
        part, within = self.locate(index)
        return self.parts[part].stored_size(within)

    def of_split(self, split: str) -> "Mixture":
        return self._of([part.of_split(split) for part in self.parts])

    def without(self, names: Collection[str]) -> "Mixture":
        inside = [
            {name.removeprefix(f"{p.source}/") for name in names if name.startswith(f"{p.source}/")}
            for p in self.parts
        ]
        return self._of([p.without(own) for p, own in zip(self.parts, inside, strict=True)])

    def _of(self, parts: Sequence[Any]) -> "Mixture":
        """The same mixture of other samples of the same datasets."""
        other = copy.copy(self)
        other.parts, other.split = tuple(parts), parts[0].split
        other.starts = [0, *accumulate(len(part) for part in parts)]
        return other

    def use_native_size(self) -> None:
        for part in self.parts:
            part.use_native_size()

    def describe(self) -> dict[str, Any]:
        """For the record of a run: every part, with its share of the samples."""
        parts = [part.describe() for part in self.parts]
        return {
            "source": self.source,
            "split": self.split,
            "size": len(self),
            "hash": digest([str(part.get("hash")) for part in parts]),
            "modalities": list(self.modalities),
            "classes": None if self.classes is None else len(self.classes),
            "parts": [p | {"share": w} for p, w in zip(parts, self.weights, strict=True)],
        }

    def _shares(self, weights: Sequence[float | None]) -> list[float]:
        if all(weight is None for weight in weights):
            return task_balanced([part.modalities for part in self.parts], self.modalities)
        numbers = [float(weight) for weight in weights if weight is not None]
        if len(numbers) < len(weights) or min(numbers) <= 0:
            raise DataError(
                f"weights are {list(weights)}; expected numbers above 0, or None for all"
            )
        return [number / sum(numbers) for number in numbers]

    def _labelled_parts(self) -> list[Any]:
        return [p for p in self.parts if "segmentation" in p.modalities]

    def _common_classes(self, classes: ClassTable | None) -> ClassTable | None:
        if classes is not None or "segmentation" not in self.modalities:
            return classes
        tables = [part.classes for part in self._labelled_parts()]
        if any(table != tables[0] for table in tables):
            raise DataError(
                "the parts have different class tables ("
                + ", ".join(f"{p.source}: {len(p.classes)}" for p in self._labelled_parts())
                + "); give `classes`, and `rename` for names that differ"
            )
        return tables[0]

    def _table(self, part: Any, rename: Mapping[str, str | None]) -> Tensor | None:
        if self.classes is None or "segmentation" not in part.modalities:
            return None
        unknown = [name for name in rename if name not in part.classes.names]
        if unknown:
            raise DataError(
                f"`rename` of {part.source} has {unknown}; its classes are {part.classes.names}"
            )
        labels = labels_target(Segmentation.target, len(self.classes))
        table = torch.full((void_label(len(part.classes)) + 1,), labels.void, dtype=labels.dtype)
        for index, name in enumerate(part.classes.names):
            target = rename.get(name, name)
            if target is None:
                continue
            if target not in self.classes.names:
                raise DataError(
                    f"class {name!r} of {part.source} is not in `classes`; rename it to one of "
                    f"{', '.join(self.classes.names)}, or to None for void"
                )
            table[index] = self.classes.names.index(target)
        return table


def task_balanced(labelled: Sequence[Sequence[str]], tasks: Sequence[str]) -> list[float]:
    """Shares of the parts: every task gets the same, divided among the parts that label it.

    S in one part, D and N in a second, E in the first and a third: 1.5 : 2 : 0.5 of 4.
    """
    raters = {task: sum(task in part for part in labelled) for task in tasks}
    shares = [sum(1 / raters[task] for task in tasks if task in part) for part in labelled]
    if min(shares) == 0:
        raise DataError(f"a part labels none of {', '.join(tasks)}; leave it out or give weights")
    return [share / sum(shares) for share in shares]
