"""Output-space alignment: discriminators on predictions, and the adversarial loss against them.

MTL-UDA of DenseMTL (section 4.4, table 6), after ADVENT (Vu et al., CVPR 2019): one discriminator
for each task and supervised level; the network learns to make target predictions look like source
predictions.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from crosstask.evaluation.evaluate import resize_output
from crosstask.models.companions.discriminator import PatchDiscriminator
from crosstask.tasks import Task

Outputs = Mapping[str, Sequence[Tensor]]
SOURCE, TARGET = 0.0, 1.0
COLLAPSED = 0.995


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """How outputs are aligned; the defaults are the paper's.

    Attributes:
        weight: of the adversarial loss, which is the mean over discriminators.
        start: optimiser step from which on discriminators and network play.
        lr, betas: Adam's, for the discriminators; the rate falls by `schedule`.
        width: channels after a discriminator's first convolution.
        window: optimiser steps over which a discriminator's accuracy is judged.
    """

    weight: float = 0.005
    start: int = 0
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    width: int = 64
    window: int = 500

    def __post_init__(self) -> None:
        if self.weight < 0 or self.lr <= 0 or self.start < 0 or self.window < 1:
            raise ValueError(
                f"`weight` is {self.weight}, `lr` {self.lr}, `start` {self.start}, `window` "
                f"{self.window}; expected weight, start >= 0, lr > 0, window >= 1"
            )

    def schedule(self, steps: int) -> Callable[[int], float]:
        """The factor on `lr` by step: (1 - step / steps) ** 0.9."""
        return lambda step: (1.0 - min(step / max(steps, 1), 1.0)) ** 0.9


class OutputAlignment(nn.Module):
    """The discriminators of all tasks and supervised levels, and the losses of both sides.

    Args:
        tasks: ordered tasks.
        levels: {task: number of its supervised levels}.
        settings: see `AlignmentSettings`.
        seed: of the discriminators' weights.
    """

    accuracy: Tensor
    batches: Tensor
    judged: int = -1  # the step of the last look at `accuracy`

    def __init__(
        self,
        tasks: Sequence[Task],
        levels: Mapping[str, int],
        settings: AlignmentSettings,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.tasks, self.settings = tuple(tasks), settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.discriminators = nn.ModuleDict(
                {
                    f"{task.name}_{level}": PatchDiscriminator(
                        task.alignment_channels, settings.width
                    )
                    for task in tasks
                    for level in range(levels[task.name])
                }
            )
        self.register_buffer("accuracy", torch.zeros(len(self.discriminators)))
        self.register_buffer("batches", torch.zeros(()))

    def maps(
        self, outputs: Outputs, size: Sequence[int], references: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Tensor]:
        """What each discriminator sees: every output at image size, through `alignment_map`.

        Args:
            size: height and width of the image.
            references: `alignment_reference` of each task on the source batch, for both domains.
        """
        return {
            f"{task.name}_{level}": task.alignment_map(
                resize_output(output, size), **references[task.name]
            )
            for task in self.tasks
            for level, output in enumerate(outputs[task.name])
        }

    def references(self, batch: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What alignment maps need to know of the labelled batch (the range of inverse depth)."""
        camera = batch.get("intrinsics")
        return {t.name: t.alignment_reference(batch[t.name], camera) for t in self.tasks}

    def active(self, step: int) -> bool:
        """Whether outputs are aligned at this optimiser step."""
        return step >= self.settings.start

    def losses(
        self, source: Outputs, target: Outputs, batch: Mapping[str, Any], step: int
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """(weight x adversarial loss, discriminator loss) of both domains' raw outputs.

        The first reaches the network alone, the second the discriminators alone.
        """
        size, references = batch["image"].shape[-2:], self.references(batch)
        theirs = self.maps(target, size, references)
        with torch.no_grad():
            ours = self.maps(source, size, references)
        adversarial = self.adversarial_loss(theirs)
        self.judge_at(step)
        return self.settings.weight * adversarial, self.discriminator_loss(ours, theirs)

    def adversarial_loss(self, target: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """The network's side: target maps should be classified as source; discriminators frozen."""
        with _frozen(self.discriminators):
            losses = [
                _against(discriminator(target[key], _coin()), SOURCE)
                for key, discriminator in self.discriminators.items()
            ]
        return torch.stack(losses).mean()

    def discriminator_loss(
        self, source: Mapping[str, Tensor], target: Mapping[str, Tensor]
    ) -> Float[Tensor, ""]:
        """The discriminators' side, on detached maps; also counts how often they are right."""
        losses, right = [], []
        for key, discriminator in self.discriminators.items():
            ours = discriminator(source[key].detach(), _coin())
            theirs = discriminator(target[key].detach(), _coin())
            losses.append(_against(ours, SOURCE) + _against(theirs, TARGET))
            right.append(((ours < 0).float().mean() + (theirs > 0).float().mean()).detach() / 2)
        self.accuracy += torch.stack(right)
        self.batches += 1
        return torch.stack(losses).mean()

    def judge_at(self, step: int) -> None:
        """`judge`, once every `window` optimiser steps."""
        played = step - self.settings.start
        if played > 0 and played % self.settings.window == 0 and self.judged != step:
            self.judged = step
            self.judge()

    @torch.no_grad()
    def judge(self) -> None:
        """Warns of every discriminator that was nearly always right since the last call."""
        mean = (self.accuracy / self.batches.clamp_min(1)).tolist()
        self.accuracy.zero_()
        self.batches.zero_()
        for name, value in zip(self.discriminators, mean, strict=True):
            if value > COLLAPSED:
                warnings.warn(
                    f"the discriminator {name} was right on {100 * value:.2f} % of the patches over "
                    f"{self.settings.window} steps: it has won, and the network learns nothing from "
                    "it any more. Try a smaller `--discriminator-width` or `--adversarial-lr`, a larger "
                    "`--adversarial-weight`, or `--method self_training`",
                    stacklevel=2,
                )


def count_levels(
    network: nn.Module,
    tasks: Sequence[Task],
    used: Callable[[Sequence[Tensor]], Sequence[Tensor]] = lambda levels: levels,
) -> dict[str, int]:
    """{task: number of its supervised outputs}, from one small image.

    Args:
        used: of the outputs of a task those that are supervised.
    """
    training = network.training
    network.eval()
    with torch.no_grad():
        parameter = next(network.parameters())
        outputs = network(torch.zeros(1, 3, 64, 64, device=parameter.device))
    network.train(training)
    return {task.name: len(used(outputs[task.name])) for task in tasks}


def _against(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _coin() -> bool:
    return bool(torch.rand(()) < 0.5)


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """No gradient reaches the module's parameters, and no forward changes its buffers."""
    training = module.training
    module.requires_grad_(False).eval()
    try:
        yield
    finally:
        module.requires_grad_(True).train(training)
