"""What every network of `create_model` is: an image in, raw outputs of every task out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.encoders.encoder import Encoder
from crosstask.models.exchanges.base import Exchange
from crosstask.models.layers.recompute import run
from crosstask.models.layers.sizes import pad_to_multiple

SMALLEST = 32


class SceneNetwork(nn.Module):
    """Image to ``{task: [coarse, ..., fine]}``, the last one at image size, in two halves.

    ``encode(image) -> features`` and ``decode(features, size) -> outputs``. Images may have any
    height and width from 32 on: they are padded at the right and the bottom by repeating the
    border, to a multiple of the encoder's stride, and outputs are cropped.

    A subclass implements `decode` and `streams`, and sets the four attributes without a default
    (in an order that it keeps: optimiser states in checkpoints number the parameters by it).

    Args:
        tasks: names, in order.

    Attributes:
        encoder: see `Encoder`.
        decoders: one for each task.
        exchanges: name to a module that maps ``{task: features}`` to the same keys and shapes; an
            exchange at one level is named after it.
        levels: at which the decoders work, coarse to fine; level l has output stride 2^l.
        final_only: leave the coarse predictions out (inference).
        recompute: exchanges and decoders run again in the backward pass instead of keeping their
            activations; `recompute_activations` sets it.
        spec: how `create_model` made it, JSON-safe.
    """

    encoder: nn.Module
    decoders: nn.ModuleDict
    exchanges: nn.ModuleDict
    levels: tuple[int, ...]

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.final_only = False
        self.recompute = False
        self.spec: dict[str, Any] = {}

    def encode(self, image: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """Features, fine to coarse, of the padded image (RGB in [0,1], or the channels of training)."""
        return self.encoder(pad_image(image, self.multiple))

    def encode_frozen(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The first half of `encode`, which a frozen encoder leaves the same for the same image."""
        return cast(Encoder, self.encoder).pretrained_maps(pad_image(image, self.multiple))

    def decode_frozen(self, maps: list[Tensor], size: tuple[int, int]) -> dict[str, Any]:
        """What `forward` gives for an image of this size, from its `encode_frozen`."""
        return self.decode(cast(Encoder, self.encoder).from_pretrained(maps), size)

    @property
    def in_channels(self) -> int:
        """Channels of the image."""
        return cast(Encoder, self.encoder).in_channels

    @property
    def multiple(self) -> int:
        """Images are padded to multiples of this, in pixels."""
        return cast(Encoder, self.encoder).multiple

    def decode(self, features: list[Tensor], size: tuple[int, int] | None = None) -> dict[str, Any]:
        """Outputs from features; `size` is the image's (H, W), by default that of the padded image."""
        raise NotImplementedError

    def forward(self, image: Float[Tensor, "b c h w"]) -> dict[str, Any]:
        return self.decode(self.encode(image), (image.shape[-2], image.shape[-1]))

    def padded_size(self, features: list[Tensor]) -> tuple[int, int]:
        """Height and width of the padded image that these features are of."""
        stride = cast(Encoder, self.encoder).strides[0]
        return features[0].shape[-2] * stride, features[0].shape[-1] * stride

    def prediction_layers(self, task: str) -> Sequence[nn.Module]:
        """The layers of a task whose bias is the output's starting value."""
        return cast(Any, self.decoders[task]).prediction_layers()

    def streams(self, image: Float[Tensor, "b c h w"], level: int) -> dict[str, Tensor]:
        """Each task's features at a level, as an exchange at that level reads them."""
        raise NotImplementedError

    def run_exchange(self, name: str, *inputs: Any) -> Any:
        """One exchange, recomputed in the backward pass where asked for, as a whole or in parts."""
        exchange = self.exchanges[name]
        if isinstance(exchange, Exchange) and exchange.recomputes_parts:
            return exchange(*inputs)
        return run(exchange, self.recompute, exchange, *inputs)

    def attention_levels(self) -> tuple[int, ...]:
        """Levels whose exchange has attention over positions, finest first."""
        return tuple(
            sorted(
                int(name)
                for name, exchange in self.exchanges.items()
                if name.isdigit() and isinstance(exchange, Exchange) and exchange.has_attention
            )
        )

    def attention(
        self,
        image: Float[Tensor, "b c h w"],
        target: str,
        source: str,
        pixel: tuple[int, int],
        level: int | None = None,
    ) -> Float[Tensor, "b hs ws"]:
        """Weights with which `target` at one pixel of the image reads `source`, on the attention grid.

        Args:
            image: RGB in [0,1].
            pixel: row and column in the image.
            level: of the exchange; the only one, or the finest, by default.

        Raises:
            ValueError: no exchange there, or one without attention over positions.
        """
        levels = [int(name) for name in self.exchanges if name.isdigit()]
        chosen = min(levels, default=None) if level is None else level
        if chosen is None or chosen not in levels:
            raise ValueError(f"`level` is {level}; this network has exchanges at {tuple(levels)}.")
        exchange = self.exchanges[str(chosen)]
        if not isinstance(exchange, Exchange):
            raise ValueError(f"{type(exchange).__name__} has no attention over positions.")
        cell = (pixel[0] // 2**chosen, pixel[1] // 2**chosen)
        return exchange.attention(self.streams(image, chosen), target, source, cell)


def pad_image(image: Float[Tensor, "b c h w"], multiple: int) -> Float[Tensor, "b c H W"]:
    """Repeat the last row and column until height and width are multiples of `multiple`."""
    height, width = image.shape[-2:]
    if height < SMALLEST or width < SMALLEST:
        raise ValueError(
            f"the image is {height}x{width}; expected at least {SMALLEST}x{SMALLEST}; enlarge it."
        )
    return pad_to_multiple(image, multiple)


def by_level(modules: Mapping[int, nn.Module]) -> dict[str, nn.Module]:
    """Modules named by their level, coarse to fine."""
    return {str(level): modules[level] for level in sorted(modules, reverse=True)}


def requires_two_tasks(tasks: Iterable[str], way_out: str) -> ValueError:
    """The error of a network that exchanges and was given one task; `way_out` says what to do."""
    return ValueError(
        f"`tasks` has one task ({next(iter(tasks))!r}); an exchange requires at least two; {way_out}."
    )
