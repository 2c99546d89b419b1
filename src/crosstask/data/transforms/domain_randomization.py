"""Domain randomisation: rendered streets vary so much that a photograph is one variation more.

After Tobin et al., "Domain randomization for transferring deep neural networks from simulation to the
real world", IROS 2017. Steps of a `JointTransform`; random numbers come from torch's global generator,
which the loader seeds for every sample. Images come and go in [0,1].
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from crosstask.data.sample import Sample
from crosstask.data.transforms import JointTransform, RandomScaleCrop
from crosstask.data.transforms.tensor_types import TargetMap
from crosstask.geometry.pinhole import edges_from_labels

OCTAVES = (4, 8, 16, 32, 64, 128)


def fractal_noise(channels: int, size: tuple[int, int], roughness: float) -> Float[Tensor, "c h w"]:
    """Noise of zero mean and unit spread whose octaves weigh cells**(-1 + roughness): 0 is smooth, 1 rough."""
    total = torch.zeros(channels, *size)
    for cells in OCTAVES:
        if cells > max(size):
            break
        lattice = torch.randn(1, channels, max(1, cells * size[0] // max(size)) + 1, cells + 1)
        enlarged = functional.interpolate(lattice, size=size, mode="bilinear", align_corners=True)
        total += cells ** (roughness - 1) * enlarged[0]
    return (total - total.mean((1, 2), keepdim=True)) / total.std((1, 2), keepdim=True).clamp(
        min=1e-6
    )


def _chance(probability: float) -> bool:
    return float(torch.rand(())) < probability


def _between(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))


class RaggedRegions:
    """Outlines of some classes become ragged and full of holes, as leaves are: image and labels together.

    Pixels in and around a region are taken from a place that rough noise displaces them to; every map
    of the sample is displaced alike, so that labels stay true, and edges are derived anew.

    Args:
        classes: whose regions.
        among: classes that a region may grow into and that may show through its holes.
        reach: largest displacement, as a share of the image's height.
        probability: of doing anything.
    """

    def __init__(
        self,
        classes: tuple[int, ...],
        among: tuple[int, ...],
        reach: float = 0.07,
        probability: float = 0.8,
    ) -> None:
        self.classes, self.among = classes, (*classes, *among)
        self.reach, self.probability = reach, probability

    def __call__(self, sample: Sample) -> Sample:
        labels = sample["segmentation"].as_subclass(Tensor)
        region = torch.isin(labels, labels.new_tensor(self.classes))
        if not bool(region.any()) or not _chance(self.probability):
            return sample
        height, width = labels.shape
        reach = _between(0.2, 1.0) * self.reach * height
        near = _dilated(region, reach)
        shift = fractal_noise(2, (height, width), _between(0.5, 1.0)) * (0.5 * reach) * near
        rows = torch.arange(height)[:, None] + shift[0].round().long()
        columns = torch.arange(width) + shift[1].round().long()
        source = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
        free = torch.isin(labels, labels.new_tensor(self.among))
        here = torch.arange(height * width).view(height, width)
        return _displaced(sample, torch.where(free & free.flatten()[source], source, here))


def _dilated(region: Bool[Tensor, "h w"], reach: float) -> Float[Tensor, "h w"]:
    """1 within about `reach` pixels of the region, on a grid of 4 pixels, else 0."""
    coarse = functional.max_pool2d(region.float()[None, None], 4, 4, ceil_mode=True)
    around = 2 * max(1, round(reach / 4)) + 1
    grown = functional.max_pool2d(coarse, around, 1, around // 2)
    return functional.interpolate(grown, size=region.shape, mode="nearest")[0, 0]


def _displaced(sample: Sample, source: Int64[Tensor, "h w"]) -> Sample:
    def moved(value: Tensor) -> Tensor:
        return value.as_subclass(Tensor).flatten(-2)[..., source]

    result = dict(sample)
    for name, value in sample.items():
        if isinstance(value, tv_tensors.Image):
            result[name] = tv_tensors.Image(moved(value))
        elif isinstance(value, TargetMap):
            result[name] = TargetMap(moved(value), value.declaration)
    return _with_edges(result)


class RegionTextures:
    """Each class gets, by chance, a texture and a tint of its own for this image: neither tells it any more.

    Args:
        share: probability for each class.
        texture, tint: largest relative amplitude of the noise, and of the change of colour.
    """

    def __init__(self, share: float = 0.4, texture: float = 0.25, tint: float = 0.2) -> None:
        self.share, self.texture, self.tint = share, texture, tint

    def __call__(self, sample: Sample) -> Sample:
        labels = sample["segmentation"].as_subclass(Tensor)
        image = sample["image"].as_subclass(Tensor).clone()
        size = (labels.shape[0], labels.shape[1])
        noises = [fractal_noise(1, size, roughness) for roughness in (0.1, 0.5, 0.9)]
        for label in labels.unique():
            if not _chance(self.share):
                continue
            noise = noises[int(torch.randint(len(noises), ()))].roll(
                int(torch.randint(size[1], ())), -1
            )
            gain = 1 + _between(0.0, self.texture) * noise
            tint = 1 + self.tint * (2 * torch.rand(3, 1, 1) - 1)
            image = torch.where(labels == label, image * gain * tint, image)
        return {**sample, "image": tv_tensors.Image(image.clamp_(0, 1))}


class Foliage:
    """More trees: crowns of any shape before some classes, with a label and without a distance.

    Depth and normals are void there; edges are derived anew.

    Args:
        tree: the class of the crowns.
        onto: classes that they may cover.
        probability: of doing anything.
    """

    def __init__(self, tree: int, onto: tuple[int, ...], probability: float = 0.4) -> None:
        self.tree, self.onto, self.probability = tree, onto, probability

    def __call__(self, sample: Sample) -> Sample:
        labels = sample["segmentation"].as_subclass(Tensor)
        if not _chance(self.probability):
            return sample
        size = (labels.shape[0], labels.shape[1])
        shape = fractal_noise(1, size, _between(0.0, 0.5))[0] > _between(0.4, 1.4)
        crown = shape & torch.isin(labels, labels.new_tensor(self.onto))
        shade = 1 + _between(0.1, 0.5) * fractal_noise(1, size, _between(0.6, 1.0))
        leaf = _between(0.1, 0.6) * (1 + torch.tensor([0.3, 0.5, 0.2]) * (2 * torch.rand(3) - 0.7))
        image = torch.where(crown, leaf[:, None, None] * shade, sample["image"].as_subclass(Tensor))
        result = {**sample, "image": tv_tensors.Image(image.clamp(0, 1))}
        for name, value in sample.items():
            if isinstance(value, TargetMap):
                void = float(self.tree) if name == "segmentation" else value.declaration.void
                plain = value.as_subclass(Tensor).masked_fill(crown, void)
                result[name] = TargetMap(plain, value.declaration)
        return _with_edges(result)


def _with_edges(sample: Sample) -> Sample:
    """Edges, where the sample has any, derived anew from its segmentation."""
    if "edges" not in sample:
        return sample
    labels = sample["segmentation"].as_subclass(Tensor)
    edges = edges_from_labels(labels[None])[0].to(sample["edges"].dtype)
    return {**sample, "edges": TargetMap(edges, sample["edges"].declaration)}


class BareBranches:
    """Some classes become, by chance, dark branches before the sky, as trees are in winter.

    Branches are the ridges of rough noise; between them the mean colour of the sky shows, mixed with
    the region's own. The image alone changes.

    Args:
        classes: whose regions.
        sky: the class that shows between the branches; without a pixel of it, light grey does.
        probability: of doing anything.
    """

    def __init__(self, classes: tuple[int, ...], sky: int, probability: float = 0.5) -> None:
        self.classes, self.sky, self.probability = classes, sky, probability

    def __call__(self, sample: Sample) -> Sample:
        labels = sample["segmentation"].as_subclass(Tensor)
        image = sample["image"].as_subclass(Tensor)
        region = torch.isin(labels, labels.new_tensor(self.classes))
        if not bool(region.any()) or not _chance(self.probability):
            return sample
        behind = labels == self.sky
        light = image[:, behind].mean(1) if bool(behind.any()) else torch.full((3,), 0.8)
        light = light[:, None, None]
        ridges = 1 - fractal_noise(1, (labels.shape[0], labels.shape[1]), _between(0.6, 1.0)).abs()
        branches = torch.sigmoid(_between(4, 12) * (ridges - _between(0.0, 0.7)))
        bark = _between(0.05, 0.4) * (1 + 0.3 * (2 * torch.rand(3, 1, 1) - 1))
        leaves = _between(0.0, 0.7)
        between = leaves * image + (1 - leaves) * light
        bare = torch.lerp(between, bark.expand_as(image), branches)
        return {**sample, "image": tv_tensors.Image(torch.where(region, bare, image))}


class Clutter:
    """Rectangles and ellipses of random colours on large surfaces, which stay what they are.

    Windows, posters, patches of asphalt: what lies on a wall or a road is not a thing for that. The
    image alone changes.

    Args:
        classes: on whose regions.
        most: number of them in an image.
    """

    def __init__(self, classes: tuple[int, ...], most: int = 12) -> None:
        self.classes, self.most = classes, most

    def __call__(self, sample: Sample) -> Sample:
        labels = sample["segmentation"].as_subclass(Tensor)
        image = sample["image"].as_subclass(Tensor).clone()
        region = torch.isin(labels, labels.new_tensor(self.classes))
        height, width = labels.shape
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        for _ in range(int(torch.randint(self.most + 1, ()))):
            y, x = _between(0, height), _between(0, width)
            tall, wide = (_between(0.01, 0.12) * height * 2 ** _between(-1, 1) for _ in range(2))
            down, across = ((rows - y) / tall).abs(), ((columns - x) / wide).abs()
            inside = torch.maximum(down, across) < 1 if _chance(0.7) else down**2 + across**2 < 1
            cover = _between(0.2, 0.9) * (inside & region)
            image = torch.lerp(image, torch.rand(3, 1, 1).expand_as(image), cover.expand_as(image))
        return {**sample, "image": tv_tensors.Image(image)}


class Sensor:
    """Another camera: white balance, tone, colours, blur, noise and compression, each by chance."""

    def __init__(self) -> None:
        self.steps = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.3, 0.35, 0.5, 0.04)], p=0.8),
                v2.RandomGrayscale(0.05),
                v2.RandomApply([v2.GaussianBlur(5, (0.2, 1.6))], p=0.4),
                v2.RandomApply([v2.GaussianNoise(sigma=0.02)], p=0.3),
                v2.RandomApply([v2.ToDtype(torch.uint8, scale=True), v2.JPEG((25, 95))], p=0.4),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __call__(self, sample: Sample) -> Sample:
        image = sample["image"].as_subclass(Tensor)
        gains = 1 + 0.12 * (2 * torch.rand(3, 1, 1) - 1)
        image = (image * gains).clamp(0, 1) ** (2 ** _between(-0.5, 0.5))
        return {**sample, "image": tv_tensors.Image(self.steps(tv_tensors.Image(image)))}


def randomized(
    size: tuple[int, int],
    trees: tuple[int, ...],
    behind: tuple[int, ...],
    walls: tuple[int, ...],
    grounds: tuple[int, ...],
    sky: int,
    scale: tuple[float, float] = (0.9, 2.0),
) -> JointTransform:
    """Random zoom and window of `size`, mirror, other trees, clutter, textures and sensor.

    Args:
        trees, behind: classes and `among` of `RaggedRegions`; trees are bare by chance.
        walls, sky: what further crowns may cover, see `Foliage`.
        grounds: where clutter lies, as on walls.
        scale: range of the zoom, see `RandomScaleCrop`.

    The sample needs `segmentation`.
    """
    return JointTransform(
        [
            RaggedRegions(trees, behind),
            RandomScaleCrop(size, scale),
            v2.RandomHorizontalFlip(0.5),
            Foliage(trees[0], (*walls, sky)),
            BareBranches(trees, sky),
            Clutter((*walls, *grounds)),
            RegionTextures(),
            Sensor(),
        ]
    )
