"""Encoder, one decoder per task, and exchanges between them: the network of every architecture here."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.encoders.encoder import Encoder
from crosstask.models.layers.recompute import run, run_exchange
from crosstask.models.layers.sizes import cell_count, crop, pad_to_multiple

SMALLEST = 32


@runtime_checkable
class TaskDecoder(Protocol):
    """What `Network` asks of a decoder: levels, coarse to fine, run one after the other.

    Level l has output stride 2^l; prediction levels are some of the levels.
    """

    levels: tuple[int, ...]
    prediction_levels: tuple[int, ...]

    def stage(self, level: int, x: Tensor | None, features: Sequence[Tensor]) -> Tensor: ...
    def predict(self, level: int, x: Tensor, size: tuple[int, int]) -> Tensor: ...
    def prediction_layers(self) -> list[nn.Conv2d]: ...


class Network(nn.Module):
    """Image to raw outputs: ``{task: [coarse, ..., fine]}``, the last one at image size.

    The decoders run level by level. At a level with an exchange, predictions are read before it
    (deep supervision without exchange) and the next level reads what comes out of it; at the last
    level the prediction is read after it.

    Images of any height and width from 32 on: they are padded at the right and the bottom by
    repeating the border, to a multiple of the encoder's stride, and outputs are cropped. An output
    of level l covers ceil(H / 2^l) x ceil(W / 2^l).

    Args:
        encoder: see `Encoder`.
        decoders: one for each task; their order is the order of the tasks.
        exchanges: level to a module that maps ``{task: features}`` to the same keys and shapes.

    Attributes:
        final_only: leave the coarse predictions out (inference).
        spec: how `create_model` made it, JSON-safe.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoders: Mapping[str, nn.Module],
        exchanges: Mapping[int, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        exchanges = exchanges or {}
        self.tasks = tuple(decoders)
        self.encoder = encoder
        self.decoders = nn.ModuleDict(dict(decoders))
        self.exchanges = nn.ModuleDict(
            {str(level): exchanges[level] for level in sorted(exchanges, reverse=True)}
        )
        self.levels = self._decoder(self.tasks[0]).levels
        self.final_only = False
        self.spec: dict[str, Any] = {}
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
            raise ValueError(
                f"one task ({self.tasks[0]!r}) has nobody to exchange with; take the architecture "
                "'single_task' or 'single_task_matched', or add a task."
            )

    def _decoder(self, task: str) -> TaskDecoder:
        return cast(TaskDecoder, self.decoders[task])

    def encode(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features, fine to coarse, of the padded image (RGB in [0,1])."""
        return self.encoder(pad_image(image, cast(Encoder, self.encoder).multiple))

    def decode(
        self, features: list[Tensor], size: tuple[int, int] | None = None
    ) -> dict[str, list[Tensor]]:
        """Outputs from features; `size` is the image's (H, W), by default that of the padded image."""
        stride = cast(Encoder, self.encoder).strides[0]
        padded = (features[0].shape[-2] * stride, features[0].shape[-1] * stride)
        streams: dict[str, Tensor] = {}
        outputs: dict[str, list[Tensor]] = {task: [] for task in self.tasks}
        for level in self.levels:
            last = level == self.levels[-1]
            for task in self.tasks:
                given = self._features_of(task, features)
                decoder = self._decoder(task)
                stage = (decoder.stage, level, streams.get(task), given)
                streams[task] = run(cast(nn.Module, decoder), *stage)
            exchanged = streams
            if str(level) in self.exchanges:
                exchanged = run_exchange(self.exchanges[str(level)], streams)
            for task in self.tasks:
                if level in self._decoder(task).prediction_levels and (last or not self.final_only):
                    read = exchanged[task] if last else streams[task]
                    output = self._decoder(task).predict(level, read, padded)
                    outputs[task].append(crop_output(output, level, size or padded))
            streams = dict(exchanged)
        return outputs

    def _features_of(self, task: str, features: list[Tensor]) -> list[Tensor]:
        """What the task's decoder may see; overridden where tasks share nothing."""
        return features

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> dict[str, list[Tensor]]:
        return self.decode(self.encode(image), (image.shape[-2], image.shape[-1]))

    def prediction_layers(self, task: str) -> list[nn.Conv2d]:
        """The layers of a task whose bias is the output's starting value."""
        return self._decoder(task).prediction_layers()

    def streams(self, image: Float[Tensor, "b 3 h w"], level: int) -> dict[str, Tensor]:
        """Each task's features at a level, as an exchange at that level reads them."""
        features = self.encode(image)
        streams: dict[str, Tensor] = {}
        for current in self.levels:
            for task in self.tasks:
                given = self._features_of(task, features)
                streams[task] = self._decoder(task).stage(current, streams.get(task), given)
            if current == level:
                return streams
            if str(current) in self.exchanges:
                streams = dict(self.exchanges[str(current)](streams))
        raise ValueError(f"`level` is {level}; expected one of {self.levels}.")

    def attention(
        self,
        image: Float[Tensor, "b 3 h w"],
        target: str,
        source: str,
        pixel: tuple[int, int],
        level: int | None = None,
    ) -> Float[Tensor, "b hs ws"]:
        """Where `target` at one pixel of the image looks in `source`, on the attention grid.

        Args:
            image: RGB in [0,1].
            pixel: row and column in the image.
            level: of the exchange; the only one, or the finest, by default.

        Raises:
            ValueError: no exchange there, or one without attention over positions.
        """
        levels = [int(key) for key in self.exchanges]
        chosen = min(levels, default=None) if level is None else level
        if chosen is None or chosen not in levels:
            raise ValueError(f"`level` is {level}; this network has exchanges at {tuple(levels)}.")
        exchange = cast(Any, self.exchanges[str(chosen)])
        if not hasattr(exchange, "attention"):
            raise ValueError(f"{type(exchange).__name__} has no attention over positions.")
        cell = (pixel[0] // 2**chosen, pixel[1] // 2**chosen)
        return exchange.attention(self.streams(image, chosen), target, source, cell)


def pad_image(image: Float[Tensor, "b 3 h w"], multiple: int) -> Float[Tensor, "b 3 H W"]:
    """Repeat the last row and column until height and width are multiples of `multiple`."""
    height, width = image.shape[-2:]
    if height < SMALLEST or width < SMALLEST:
        raise ValueError(
            f"the image is {height}x{width}; expected at least {SMALLEST}x{SMALLEST}; enlarge it."
        )
    return pad_to_multiple(image, multiple)


def crop_output(
    output: Float[Tensor, "b c H W"], level: int, size: tuple[int, int]
) -> Float[Tensor, "b c h w"]:
    """Cut the padding off an output of a level."""
    stride = 2**level
    return crop(output, (cell_count(size[0], stride), cell_count(size[1], stride)))
