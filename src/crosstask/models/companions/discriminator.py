"""The patch discriminator of output-space domain adaptation (DenseMTL's MTL-UDA, table 6)."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

SMALLEST = 32


class PatchDiscriminator(nn.Module):
    """Says patch by patch which domain a map of predictions comes from.

    Five 4x4 convolutions of stride 2, padding 1, with bias and spectral norm (Miyato et al., ICLR
    2018), channels in -> w -> 2w -> 4w -> 8w -> 1, LeakyReLU 0.2 after the first four, no
    normalisation layers. A 512x1024 map becomes 16x32 logits. 2,762,689 parameters for one
    channel, 2,769,857 for 8 and 2,778,049 for 16 at width 64.

    Args:
        channels: of the map.
        width: channels after the first convolution.
    """

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        if channels < 1 or width < 1:
            raise ValueError(
                f"`channels` is {channels}, `width` is {width}; expected positive numbers"
            )
        counts = (channels, width, 2 * width, 4 * width, 8 * width, 1)
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(counts)
        )

    def forward(
        self, maps: Float[Tensor, "b c h w"], mirror: bool = False
    ) -> Float[Tensor, "b 1 h5 w5"]:
        """Logits; positive means target.

        Args:
            maps: at least 32 pixels a side.
            mirror: look at the maps' mirror images (one coin for a batch, drawn by the caller).
        """
        if min(maps.shape[-2:]) < SMALLEST:
            raise ValueError(
                f"the map is {maps.shape[-2]}x{maps.shape[-1]}; expected at least "
                f"{SMALLEST}x{SMALLEST}; enlarge it"
            )
        x = maps.flip(-1) if mirror else maps
        for layer in self.layers[:-1]:
            x = leaky_relu(layer(x), 0.2)
        return self.layers[-1](x)
