"""Images of the self-supervised regime: how well neighbours explain the target; depth as a video."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from crosstask.data.samples import as_samples
from crosstask.data.spacing import evenly
from crosstask.evaluation.evaluate import batch_of_one
from crosstask.media.colormap import scale_colors
from crosstask.media.files import atomic_path
from crosstask.media.video import write_video
from crosstask.regimes.self_supervised.view_synthesis import Synthesis
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth

if TYPE_CHECKING:
    from crosstask.regimes.self_supervised.regime import SelfSupervised

_MARGIN, _LABEL = 4, 14  # pixels
_ERROR_SCALE = 0.4  # photometric error shown as the brightest colour


def synthesis_panel(
    image: Float[Tensor, "3 h w"], found: Synthesis, depth: SelfSupervisedDepth, index: int = 0
) -> UInt8[Tensor, "3 ph pw"]:
    """Target, warped neighbour, depth above; error before and after, auto-mask below, with captions.

    Args:
        image: the target.
        found: of a batch; `index` picks the sample.
        depth: colours the depth map.
    """
    before, after = found.before[index], found.after[index]
    moving = found.moving[index].float().expand(3, -1, -1)
    tiles = [
        ("target", _bytes(image)),
        ("neighbour, warped to it", _bytes(found.warped[index, 0])),
        (f"depth ({depth.kind.replace('_', ' ')})", depth.colorize(found.depth[index])),
        (f"error before: {float(before.mean()):.3f}", _error_colors(before)),
        (f"error after: {float(after.mean()):.3f}", _error_colors(after)),
        (f"auto-mask: {float(moving.mean()):.0%} teaches", _bytes(moving)),
    ]
    zoom = max(1, -(-240 // image.shape[-1]))  # narrow images are enlarged, for the captions
    shown = [_captioned(text, tile, zoom) for text, tile in tiles]
    return torch.cat([torch.cat(shown[:3], dim=2), torch.cat(shown[3:], dim=2)], dim=1)


def _bytes(image: Float[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h w"]:
    return (image.clamp(0, 1).cpu() * 255).round().to(torch.uint8)


def _error_colors(error: Float[Tensor, "1 h w"]) -> UInt8[Tensor, "3 h w"]:
    return scale_colors(1.0 - (error[0].cpu() / _ERROR_SCALE).clamp(0, 1))


def _captioned(text: str, tile: UInt8[Tensor, "3 h w"], zoom: int) -> UInt8[Tensor, "3 th tw"]:
    big = F.interpolate(tile[None], scale_factor=float(zoom), mode="nearest")[0]
    height, width = big.shape[-2:]
    canvas = Image.new("RGB", (width + 2 * _MARGIN, height + _LABEL + _MARGIN), (255, 255, 255))
    canvas.paste(Image.fromarray(big.permute(1, 2, 0).contiguous().numpy()), (_MARGIN, _LABEL))
    ImageDraw.Draw(canvas).text((_MARGIN, 1), text, fill=(0, 0, 0))
    pixels = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8)
    return pixels.view(canvas.height, canvas.width, 3).permute(2, 0, 1).contiguous()


def write_images(
    regime: "SelfSupervised", folder: Path, dataset: Any, device: Any, samples: int = 3
) -> list[Path]:
    """`photometric.png` of evenly spaced samples, and `depth.mp4` of a dataset that is a video.

    The video needs the extra ``crosstask[video]`` and is left out without it.
    """
    panels = []
    for index in evenly(len(dataset), samples):
        batch = batch_of_one(dataset[index], device)
        found = regime.synthesis(batch)
        found = Synthesis(*(value.cpu() for value in found))
        panels.append(synthesis_panel(batch["image"][0].cpu(), found, regime.depth))
    files = [folder / "photometric.png"]
    with atomic_path(files[0]) as temporary:
        image = torch.cat(panels, dim=1).permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(image).save(temporary, format="PNG")
    if as_samples(dataset).is_video and importlib.util.find_spec("av") is not None:
        files.append(folder / "depth.mp4")
        write_video(files[1], depth_frames(regime, dataset, device))
    return files


@torch.no_grad()
def depth_frames(
    regime: "SelfSupervised", dataset: Any, device: Any
) -> Iterator[UInt8[Tensor, "3 h2 w"]]:
    """Each frame above its depth, in the dataset's order; one colour scale for the whole sequence."""
    network = regime.inference_network().eval()
    low = high = None
    for index in range(len(dataset)):
        batch = batch_of_one(dataset[index], device)
        output = network(batch["image"])[regime.depth.name][-1].float()
        depth = regime.depth.decode(output)[0].cpu()
        if low is None:  # the first frame sets the scale, so that colours do not flicker
            values = depth.flatten().sort().values
            low, high = float(values[len(values) // 100]), float(values[-1 - len(values) // 100])
            high = max(cast(float, high), low * 1.01)
        colors = regime.depth.colorize(depth, low=low, high=high)
        yield torch.cat([_bytes(batch["image"][0]), colors], dim=1)
