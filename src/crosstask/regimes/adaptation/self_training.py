"""Self-training: a teacher labels target images, and source objects are pasted into them.

After DACS (Tranheden et al., WACV 2021) and DAFormer (Hoyer et al., CVPR 2022), carried over from
segmentation to every dense task: pseudo labels of all tasks, each trusted where its own confidence
says so, and a mixture in which the image and all targets change at the same pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as photometric

from crosstask.geometry.pinhole import edges_from_labels
from crosstask.tasks import Task

Batch = Mapping[str, Any]
Pseudo = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class SelfTrainingSettings:
    """How the teacher's labels are used.

    Attributes:
        weight: of the loss on mixed images, relative to the loss on source images.
        start: optimiser step from which on pseudo labels are used.
        decay: of the teacher, a moving average of the network.
        mixing: "class": half of the source image's classes are pasted into the target image
            (random boxes where segmentation is not among the tasks); "none": target images
            alone.
        trusted: {name of a task: confidence from which on a pseudo label counts}, for those where
            it is not the task's own `trusted`; `least_share` of the pixels count in any case. What
            a confidence is, the task's `pseudo_label` says.
        least_share: of the pixels of each predicted class, or of all pixels of the other tasks, the
            most confident so many count even below the threshold. With a threshold alone only easy
            classes teach, and those spread (class-balanced self-training, Zou et al., ECCV 2018).
        jitter: strength of random brightness, contrast and saturation on mixed images.
    """

    weight: float = 1.0
    start: int = 0
    decay: float = 0.999
    mixing: str = "class"
    trusted: Mapping[str, float] = field(default_factory=dict)
    least_share: float = 0.2
    jitter: float = 0.3

    def __post_init__(self) -> None:
        if self.mixing not in ("class", "none"):
            raise ValueError(f"`mixing` is {self.mixing!r}; expected 'class' or 'none'")
        if not 0 < self.decay < 1:
            raise ValueError(f"`decay` is {self.decay}; expected a number in (0, 1), such as 0.999")
        if not 0 <= self.least_share <= 1:
            raise ValueError(f"`least_share` is {self.least_share}; expected a share in [0, 1]")
        if self.weight < 0 or self.start < 0 or not 0 <= self.jitter < 1:
            raise ValueError(
                f"`weight` is {self.weight}, `start` {self.start}, `jitter` {self.jitter}; expected "
                "weight, start >= 0 and jitter in [0, 1)"
            )


def pseudo_label(
    task: Task,
    output: Float[Tensor, "b c h w"],
    mirrored: Float[Tensor, "b c h w"],
    camera: Float[Tensor, "b 3 3"] | None,
) -> Pseudo:
    """A target of the task and its confidence (B,1,H,W) in [0,1].

    Args:
        output: raw output for the image.
        mirrored: raw output for its mirror image, mirrored back.
    """
    return replace(task, protocol="correct").pseudo_label(output, mirrored, camera)


@torch.no_grad()
def teach(
    teacher: nn.Module,
    tasks: Sequence[Task],
    image: Float[Tensor, "b 3 h w"],
    camera: Float[Tensor, "b 3 3"] | None,
) -> dict[str, Pseudo]:
    """{task: (label, confidence)} of target images; two forward passes in one batch."""
    outputs = teacher(torch.cat([image, image.flip(-1)]))
    count = len(image)
    labels = {}
    for task in tasks:
        output = outputs[task.name][-1].float()
        labels[task.name] = pseudo_label(task, output[:count], task.hflip(output[count:]), camera)
    return labels


def void_untrusted(
    task: Task, pseudo: Pseudo, threshold: float, least_share: float = 0.0
) -> Shaped[Tensor, "b *t"]:
    """The pseudo label with void where its confidence is below the threshold.

    Args:
        least_share: of the pixels of each predicted class (segmentation) or of all pixels, over the
            batch, the most confident so many are kept in any case.
    """
    label, confidence = pseudo
    trusted = confidence >= threshold
    if label.ndim == 3:
        trusted = trusted[:, 0]
        for index in label.unique():  # a class that is not there adds nothing
            mine = label == index
            trusted |= mine & _most_confident(confidence[:, 0], mine, least_share)
    else:
        trusted |= _most_confident(confidence, torch.ones_like(trusted), least_share)
    return torch.where(trusted, label, torch.full_like(label, task.void))


def _most_confident(confidence: Tensor, among: Tensor, share: float) -> Tensor:
    """Where `confidence` is above 0 and reaches the value that the upper `share` of the pixels `among` reach."""
    values = confidence[among]
    count = int(share * values.numel())
    if count == 0:
        return torch.zeros_like(among)
    return (confidence >= values.topk(count).values[-1]) & (confidence > 0)


def class_mask(
    labels: Int[Tensor, "b h w"], classes: int, void: int = 255
) -> Bool[Tensor, "b 1 h w"]:
    """True on half (rounded up) of the classes of each image, drawn at random."""
    inside = labels != void
    index = torch.where(inside, labels, classes)
    present = torch.zeros(len(labels), classes + 1, dtype=torch.bool, device=labels.device)
    present.scatter_(1, index.flatten(1), True)
    present = present[:, :classes]
    order = torch.rand(len(labels), classes).to(labels.device).masked_fill(~present, 2.0)
    rank = order.argsort(1).argsort(1)
    chosen = present & (rank < (present.sum(1, keepdim=True) + 1) // 2)
    chosen = torch.cat([chosen, torch.zeros_like(chosen[:, :1])], 1)
    return chosen.gather(1, index.flatten(1)).view_as(labels)[:, None]


def box_mask(count: int, size: tuple[int, int], device: Any = None) -> Bool[Tensor, "b 1 h w"]:
    """True inside one random box an image, half as large as the image (CutMix)."""
    mask = torch.zeros(count, 1, *size, dtype=torch.bool)
    for i in range(count):
        share = 0.5 + 0.5 * float(torch.rand(()))  # of the height; height x width = half
        height, width = round(share * size[0]), round(0.5 / share * size[1])
        top = int(torch.randint(0, size[0] - height + 1, ()))
        left = int(torch.randint(0, size[1] - width + 1, ()))
        mask[i, :, top : top + height, left : left + width] = True
    return mask.to(device)


def mix(
    tasks: Sequence[Task],
    batch: Batch,
    pseudo: Mapping[str, Pseudo],
    mask: Bool[Tensor, "b 1 h w"],
    trusted: Mapping[str, float],
    least_share: float = 0.0,
) -> dict[str, Any]:
    """Source pixels where `mask` is, target pixels elsewhere, in the image and every target.

    A source target goes over to the target's camera, see `Task.moved`. Where the mask's
    border runs between two classes there is an edge; without classes to compare it is void.
    """
    mixed: dict[str, Any] = {
        "image": torch.where(mask, batch["image"], batch["target_image"]),
        "intrinsics": batch.get("target_intrinsics"),
    }
    for task in tasks:
        threshold = trusted.get(task.name, task.trusted)
        target = void_untrusted(task, pseudo[task.name], threshold, least_share)
        own = task.moved(batch[task.name], batch.get("intrinsics"), mixed["intrinsics"])
        where = mask[:, 0] if target.ndim == 3 else mask
        mixed[task.name] = torch.where(where, own, target)
        if task.draws_boundaries:
            mixed[task.name] = _edges_at_border(tasks, batch, pseudo, mask, mixed[task.name])
    return mixed


def _edges_at_border(
    tasks: Sequence[Task],
    batch: Batch,
    pseudo: Mapping[str, Pseudo],
    mask: Bool[Tensor, "b 1 h w"],
    edges: Float[Tensor, "b 1 h w"],
) -> Float[Tensor, "b 1 h w"]:
    border = edges_from_labels(mask[:, 0].long()) == 1
    new = torch.full_like(edges, 255.0)
    for task in tasks:
        if task.class_table is not None:
            labels = torch.where(mask[:, 0], batch[task.name], pseudo[task.name][0])
            new = edges_from_labels(labels, int(task.void))
            break
    return torch.where(border, new, edges)


def trusted_share(task: Task, target: Shaped[Tensor, "b *t"]) -> Float[Tensor, ""]:
    """Share of labelled pixels; what a pseudo loss is weighed with."""
    return task.valid(target).float().mean()


def recolor(image: Float[Tensor, "b 3 h w"], strength: float) -> Float[Tensor, "b 3 h w"]:
    """Brightness, contrast and saturation of each image times 1 +- `strength`, at random."""
    if strength == 0:
        return image
    result = []
    for recolored in image:
        low, high = 1 - strength, 1 + strength
        factors = [float(torch.empty(()).uniform_(low, high)) for _ in range(3)]
        recolored = photometric.adjust_brightness(recolored, factors[0])
        recolored = photometric.adjust_contrast(recolored, factors[1])
        result.append(photometric.adjust_saturation(recolored, factors[2]))
    return torch.stack(cast(list[Tensor], result))
