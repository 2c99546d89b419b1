"""The teacher of self-training: a moving average of the network that labels target images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crosstask.regimes.adaptation import self_training as st
from crosstask.regimes.adaptation.self_training import SelfTrainingSettings
from crosstask.tasks import Task

Batch = Mapping[str, Any]


class Teacher(AveragedModel):
    """Pseudo labels for target images, and the mixed images that teach them to the network.

    It stays in eval mode and takes no gradient. State-dict keys: `module.*` (the averaged network)
    and `n_averaged`.

    Args:
        network: what is averaged; copied.
        tasks: ordered tasks.
        settings: see `SelfTrainingSettings`.
    """

    def __init__(
        self, network: nn.Module, tasks: Sequence[Task], settings: SelfTrainingSettings
    ) -> None:
        average = growing_average(settings.decay, settings.start)
        super().__init__(network, multi_avg_fn=cast(Any, average), use_buffers=True)
        self.tasks, self.settings = tuple(tasks), settings
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Teacher":
        super().train(False)
        return self

    def active(self, step: int) -> bool:
        """Whether its labels are used at this optimiser step."""
        return step >= self.settings.start

    def copy_weights(self, network: nn.Module) -> None:
        """Begins again from the network's weights."""
        self.module.load_state_dict(network.state_dict())

    def mixed_batch(self, batch: Batch, target_image: Tensor) -> dict[str, Any]:
        """Mixed images, their intrinsics, and targets from source labels and pseudo labels.

        Args:
            batch: of `DomainPairs`: labelled source samples, target images beside them.
            target_image: (B,3,H,W), those images in the network's memory layout.
        """
        camera, network = batch.get("target_intrinsics"), cast(nn.Module, self.module)
        pseudo = st.teach(network, self.tasks, target_image, camera)
        mask = self._mask(batch)
        settings = self.settings
        mixed = st.mix(self.tasks, batch, pseudo, mask, settings.trusted, settings.least_share)
        mixed["image"] = st.recolor(mixed["image"], settings.jitter)
        return mixed

    def _mask(self, batch: Batch) -> Bool[Tensor, "b 1 h w"]:
        """Where source pixels are pasted."""
        image = batch["target_image"]
        size = (int(image.shape[-2]), int(image.shape[-1]))
        if self.settings.mixing == "none":
            return torch.zeros(len(image), 1, *size, dtype=torch.bool, device=image.device)
        for task in self.tasks:
            if task.class_table is not None:
                return st.class_mask(batch[task.name], task.channels, int(task.void))
        return st.box_mask(len(image), size, image.device)


def growing_average(
    decay: float, grows_for: int
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]:
    """A moving average with decay min(`decay`, (1 + n) / (10 + n)) at update n < `grows_for`, then `decay`.

    While its labels are not used the teacher forgets the random start: after 100 updates it looks
    back about 12 steps, after 1000 about 110. From the step on at which they are used it must be
    slow: a teacher that follows at once learns its own mistakes back from the network within some
    dozen steps. Integer buffers are copied.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], number: Tensor) -> None:
        grown = torch.clamp((1.0 + number) / (10.0 + number), max=decay)
        share = 1.0 - torch.where(number < grows_for, grown, torch.full_like(grown, decay))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, share.to(average.dtype))
            else:
                average.copy_(value)

    return update
