"""Source images that look like the target's: colour statistics and the sensor's noise."""

import torch
from jaxtyping import Float
from torch import Tensor


def match_colors(
    image: Float[Tensor, "b 3 h w"], like: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Mean and spread of each colour channel moved to those of another image (Reinhard 2001)."""
    spread, mean = torch.std_mean(image, dim=(2, 3), keepdim=True)
    wanted, center = torch.std_mean(like, dim=(2, 3), keepdim=True)
    return ((image - mean) * (wanted / spread.clamp_min(1e-3)) + center).clamp(0, 1)


def noise_level(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 1 1"]:
    """Standard deviation of each channel's pixel noise, from the median of a second difference.

    The mask of Immerkaer (1996) takes constant and linear parts away and has norm 6; the median
    ignores edges, which cover few pixels. Computed in float32 whatever autocast says: the rounding
    of half precision looks like noise.
    """
    line = torch.tensor([1.0, -2.0, 1.0], device=image.device)
    mask = (line[:, None] * line).expand(3, 1, 3, 3)
    with torch.autocast(image.device.type, enabled=False):
        response = torch.nn.functional.conv2d(image.float(), mask, groups=3).abs().flatten(2)
    return (response.median(dim=2).values / (0.6745 * 6))[..., None, None]


def match_noise(
    image: Float[Tensor, "b 3 h w"], like: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Gaussian noise on an image until it is as noisy as another one; nothing if it already is."""
    missing = (noise_level(like).square() - noise_level(image).square()).clamp_min(0).sqrt()
    return (image + missing * torch.randn_like(image)).clamp(0, 1)
