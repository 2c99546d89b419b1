"""What an exported file computes: image in, named quantities out, every rule of feeding inside."""

import copy
from collections.abc import Callable

import torch
from timm.layers import Conv2dSame, to_2tuple
from timm.layers.pool2d_same import AvgPool2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from crosstask.data.feeding import Place
from crosstask.deploy.interface import Interface, output_names
from crosstask.models.layers.sizes import crop, is_fixed
from crosstask.models.networks.scene_network import SceneNetwork
from crosstask.predict.model import SceneModel


class Graph(nn.Module):
    """Image (and focal length) -> a tuple of outputs, named by `names`; `outputs` is each task's.

    Args:
        model: stays as it was; the graph has a copy of its network, on the CPU.
        interface: see there.
        traced: with convolutions and pools whose padding is a constant, which tracing needs.
    """

    def __init__(self, model: SceneModel, interface: Interface, traced: bool = True) -> None:
        super().__init__()
        self.tasks, self.interface, self.rule = model.tasks, interface, place_rule(model, interface)
        self.channels = model.channels.names
        network = copy.deepcopy(model.network)
        self.network = (with_even_padding(network) if traced else network).cpu().eval()
        if isinstance(self.network, SceneNetwork):
            self.network.final_only = True
        self.dtype = torch.float32
        self.outputs = output_names(model.tasks, interface)
        self.names = tuple(name for names in self.outputs.values() for name in names)

    @property
    def takes_focal(self) -> bool:
        """Whether the focal length is an input."""
        aware = any(task.camera_aware for task in self.tasks)
        decoded = self.interface.outputs == "decoded"
        return aware and decoded and self.interface.focal == "input"

    def half(self) -> "Graph":
        """From now on the network computes in 16 bits; what is around it stays in 32."""
        self.network.half()
        self.dtype = torch.float16
        return self

    def forward(self, image: Tensor, focal: Tensor | None = None) -> tuple[Tensor, ...]:
        if self.interface.input == "uint8":
            image = image.permute(0, 3, 1, 2).float() / 255.0
        height, width = image.shape[-2:]
        place = self.rule(height, width)
        seen, whole = place.content, self.interface.size == "native"
        given = image if whole else fed(image, place)
        outputs = self.network(given.to(self.dtype))
        raw = {task.name: outputs[task.name][-1].float() for task in self.tasks}
        if self.interface.outputs == "raw":
            return tuple(raw.values())
        camera = self._camera(focal, (seen[0] * seen[1] / (height * width)) ** 0.5)
        found: list[Tensor] = []
        for task in self.tasks:
            output = raw[task.name]
            if not whole:
                output = unfed(output, place, (height, width))
            found += task.decode_in_graph(output, camera).values()
        return tuple(found)

    def _camera(self, focal: Tensor | None, factor: float) -> Tensor | None:
        """Intrinsics of what the network sees, of which tasks read the focal length."""
        if focal is None and isinstance(self.interface.focal, str):
            return None
        given = torch.tensor([float(self.interface.focal)]) if focal is None else focal
        pixels = given * factor
        return torch.diag_embed(torch.stack([pixels, pixels, torch.ones_like(pixels)], dim=-1))

    def example(self, size: tuple[int, int], batch: int = 2) -> tuple[Tensor, ...]:
        """Inputs of noise, at this size or the one that is taken."""
        height, width = self.interface.image_size or size
        if self.interface.image_size is not None:
            batch = 1
        image = torch.randint(0, 256, (batch, len(self.channels), height, width)) / 255.0
        if self.interface.input == "uint8":
            image = (image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return (image, torch.full((batch,), float(width))) if self.takes_focal else (image,)


def place_rule(model: SceneModel, interface: Interface) -> Callable[[int, int], Place]:
    """(height, width) of an image -> its place in the network's input; also of symbolic sizes."""
    size = interface.size
    if size == "native":
        return lambda height, width: Place((height, width), (height, width))
    return lambda height, width: model.place(height, width, None if size == "dynamic" else size)


def fed(image: Tensor, place: Place) -> Tensor:
    """As `crosstask.data.feeding.feed`, without a question about sizes, which tracing would answer
    once for all images."""
    small = image
    if not _same(image, place.content):
        small = F.interpolate(
            image, size=place.content, mode="bilinear", align_corners=False, antialias=True
        )
    if place.content is place.canvas:
        return small
    down, right = (c - s for c, s in zip(place.canvas, place.content, strict=True))
    return F.pad(small, (0, right, 0, down))


def unfed(output: Tensor, place: Place, size: tuple[int, int]) -> Tensor:
    """A raw output of what `fed` gave, at the image's size."""
    if place.content is not place.canvas:
        output = crop(output, place.content)
    if _same(output, size):
        return output
    return F.interpolate(output, size=size, mode="bilinear", align_corners=False)


def _same(image: Tensor, size: tuple[int, int]) -> bool:
    """Whether there is nothing to resize, for every image that the file takes."""
    return is_fixed(*image.shape[-2:], *size) and tuple(image.shape[-2:]) == size


class EvenSamePool(nn.Module):
    """timm's AvgPool2dSame where sizes are multiples of its stride, as inside our networks.

    Its padding then is a constant, so that no symbolic rounding reaches the exported graph.
    """

    def __init__(self, pool: AvgPool2dSame) -> None:
        super().__init__()
        self.kernel, self.stride = to_2tuple(pool.kernel_size), to_2tuple(pool.stride)
        self.counts_padding = pool.count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        (height, width), (down, right) = self.kernel, self.stride
        rows, columns = max(height - down, 0), max(width - right, 0)
        pad = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        padded = F.pad(x, pad)
        return F.avg_pool2d(padded, self.kernel, self.stride, 0, False, self.counts_padding)


class EvenSameConv(nn.Module):
    """timm's Conv2dSame (encoders of TensorFlow's kind) where sizes are multiples of its stride.

    Its padding then is a constant. Computed from the size it nests from stride to stride, and tracing free
    sizes takes an hour in place of a minute.
    """

    def __init__(self, conv: Conv2dSame) -> None:
        super().__init__()
        self.conv = conv
        self.pad: list[int] = []
        for kernel, stride, dilation in reversed(
            list(zip(conv.kernel_size, conv.stride, conv.dilation, strict=True))
        ):
            total = max((kernel - 1) * dilation + 1 - stride, 0)
            self.pad += [total // 2, total - total // 2]

    def forward(self, x: Tensor) -> Tensor:
        c = self.conv
        padded = F.pad(x, self.pad)
        return F.conv2d(padded, c.weight, c.bias, c.stride, (0, 0), c.dilation, c.groups)


def with_even_padding(network: nn.Module) -> nn.Module:
    """The network with constant padding in place of timm's "same" for convolutions and pools, in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, AvgPool2dSame):
                setattr(parent, name, EvenSamePool(child))
            elif isinstance(child, Conv2dSame):
                setattr(parent, name, EvenSameConv(child))
    return network
