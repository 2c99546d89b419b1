"""Encoder, one decoder per task, and exchanges between them: the network of most architectures."""

from collections.abc import Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.encoders.pyramid_maps import fit_output
from crosstask.models.layers.recompute import run
from crosstask.models.networks.scene_network import SceneNetwork, by_level, requires_two_tasks


@runtime_checkable
class TaskDecoder(Protocol):
    """What `Network` asks of a decoder: levels, coarse to fine, run one after the other.

    Level l has output stride 2^l; prediction levels are some of the levels.
    """

    levels: tuple[int, ...]
    prediction_levels: tuple[int, ...]

    def stage(self, level: int, x: Tensor | None, features: Sequence[Tensor]) -> Tensor: ...
    def predict(self, level: int, x: Tensor, size: tuple[int, int]) -> Tensor: ...
    def prediction_layers(self) -> Sequence[nn.Module]: ...


class Network(SceneNetwork):
    """Image to raw outputs: ``{task: [coarse, ..., fine]}``, the last one at image size.

    The decoders run level by level. At a level with an exchange, predictions are read before it
    (deep supervision without exchange) and the next level reads what comes out of it; at the last
    level the prediction is read after it. An output of level l covers ceil(H / 2^l) x ceil(W / 2^l).

    Args:
        encoder: see `Encoder`.
        decoders: one for each task; their order is the order of the tasks.
        exchanges: level to a module that maps ``{task: features}`` to the same keys and shapes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoders: Mapping[str, nn.Module],
        exchanges: Mapping[int, nn.Module] | None = None,
    ) -> None:
        exchanges = exchanges or {}
        super().__init__(decoders)
        self.encoder = encoder
        self.decoders = nn.ModuleDict(dict(decoders))
        self.exchanges = nn.ModuleDict(by_level(exchanges))
        self.levels = self._decoder(self.tasks[0]).levels
        self._check(exchanges)

    def _check(self, exchanges: Mapping[int, nn.Module]) -> None:
        if any(self._decoder(task).levels != self.levels for task in self.tasks):
            raise ValueError("decoders have different levels; expected the same for every task.")
        wrong = [level for level in exchanges if level not in self.levels]
        if wrong:
            raise ValueError(
                f"exchange at level {wrong[0]}, but the decoders have levels {self.levels}."
            )
        if exchanges and len(self.tasks) < 2:
            raise requires_two_tasks(
                self.tasks,
                "take the architecture 'single_task' or 'single_task_matched', or add a task",
            )

    def _decoder(self, task: str) -> TaskDecoder:
        return cast(TaskDecoder, self.decoders[task])

    def decode(
        self, features: list[Tensor], size: tuple[int, int] | None = None
    ) -> dict[str, list[Tensor]]:
        """Outputs from features; `size` is the image's (H, W), by default that of the padded image."""
        padded = self.padded_size(features)
        streams: dict[str, Tensor] = {}
        outputs: dict[str, list[Tensor]] = {task: [] for task in self.tasks}
        for level in self.levels:
            last = level == self.levels[-1]
            self._stage(level, streams, features)
            exchanged = streams
            if str(level) in self.exchanges:
                exchanged = self.run_exchange(str(level), streams)
            for task in self.tasks:
                if level in self._decoder(task).prediction_levels and (last or not self.final_only):
                    read = exchanged[task] if last else streams[task]
                    output = self._decoder(task).predict(level, read, padded)
                    outputs[task].append(fit_output(output, 2**level, size or padded))
            streams = dict(exchanged)
            del exchanged  # its maps may go as soon as the next level has read them
        return outputs

    def _stage(self, level: int, streams: dict[str, Tensor], features: list[Tensor]) -> None:
        """Replaces every task's features by those of the next level."""
        for task in self.tasks:
            given = self._features_of(task, features)
            stage = (self._decoder(task).stage, level, streams.get(task), given)
            streams[task] = run(self.decoders[task], self.recompute, *stage)

    def _features_of(self, task: str, features: list[Tensor]) -> list[Tensor]:
        """What the task's decoder may see; overridden where tasks share nothing."""
        return features

    def streams(self, image: Float[Tensor, "b c h w"], level: int) -> dict[str, Tensor]:
        """Each task's features at a level, as an exchange at that level reads them."""
        features = self.encode(image)
        streams: dict[str, Tensor] = {}
        for current in self.levels:
            self._stage(current, streams, features)
            if current == level:
                return streams
            if str(current) in self.exchanges:
                streams = dict(self.exchanges[str(current)](streams))
        raise ValueError(f"`level` is {level}; expected one of {self.levels}.")
