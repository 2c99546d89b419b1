"""The ground as the rays meet it: asphalt with its markings, kerbs, slabs and grass."""

import torch
from jaxtyping import Int64
from torch import Tensor

from crosstask.data.streets.classes import Street
from crosstask.data.streets.road import Road
from crosstask.data.streets.surfaces import Sight, Surface
from crosstask.data.streets.texture import Atlas, pulse, step

_SLAB = 0.75


def _columns(road: Road, scene: Int64[Tensor, "k"]) -> tuple[list[Tensor], Tensor]:
    numbers = (
        road.bend[:, None],
        road.half_width[:, None],
        road.verge,
        road.sidewalk,
        road.crossing,
        road.paved.float(),
        road.dash,
        road.edge[:, None],
        road.zebra,
        road.shift,
        road.mingle[:, None],
    )
    table = torch.cat((*numbers, road.colors.flatten(1)), dim=1)
    rows = table.T.contiguous().index_select(1, scene)
    return list(rows[:-15]), rows[-15:].unflatten(0, (5, 3))


def _markings(
    columns: list[Tensor],
    out: Tensor,
    lateral: Tensor,
    ahead: Tensor,
    footprint: Tensor,
    far: Tensor,
) -> tuple[Tensor, Tensor]:
    """Coverage by paint, and the width of what is painted: lines along the road and a zebra crossing across it."""
    half, period, duty, thick, edge, start, length = (
        columns[i] for i in (1, 10, 11, 12, 13, 14, 15)
    )
    central = out < 0.5 * half
    width = torch.where(central, thick, edge)
    line = torch.where(central, out, (out - (half - 0.3)).abs())
    dashes = torch.where(central, pulse(ahead / period, duty, far / period), 1.0)
    lines = step(0.5 * width - line, footprint) * (width / footprint).clamp_(max=1.0) * dashes
    on_zebra = step(torch.minimum(ahead - start, start + length - ahead), far) * (length > 0)
    stripes = pulse(lateral, out.new_tensor(0.5), footprint) * step(half - 0.4 - out, footprint)
    return torch.lerp(lines, stripes, on_zebra), torch.where(on_zebra > 0.5, 0.5, width)


def shade_ground(road: Road, scene: Int64[Tensor, "k"], sight: Sight, atlas: Atlas) -> Surface:
    """Surfaces of the ground.

    Args:
        scene: index of each pixel's scene.

    A marking is labelled only where it is at least a pixel wide; farther off it is road.
    """
    columns, (asphalt, paint, paving, kerb, grass) = _columns(road, scene)
    bend, half, verge_l, verge_r, walk_l, walk_r, middle, cross, paved_l, paved_r = columns[:10]
    ahead, footprint = sight.point[2], sight.footprint
    lateral = sight.point[0] - 0.5 * bend * ahead**2
    right, out = lateral > 0, lateral.abs()
    far = footprint / sight.ray[1].abs().clamp_(min=1e-3)
    verge = torch.where(right, verge_r, verge_l)
    inner = half + verge
    outer = inner + torch.where(right, walk_r, walk_l)
    crossing = (ahead - middle).abs()
    crossed = cross > 0
    on_cross = step(cross - crossing, far) * crossed
    on_road = torch.maximum(step(half - out, footprint), on_cross)
    paved = torch.where(right, paved_r, paved_l) > 0.5
    slabs = ((out > inner) & ((out < outer) | paved)) | ((crossing < cross + 2.0) & crossed)
    on_kerb = step(half + 0.16 - out, footprint) * (verge == 0) * (1 - on_cross)
    marking, width = _markings(columns, out, lateral, ahead, footprint, far)
    marking = marking * on_road * (1 - on_cross)

    u, v = (lateral + columns[16]) / 3.0, (ahead + columns[17]) / 3.0
    grain, clump, stain, _ = atlas.sample(u, v, (far * footprint).sqrt_() / 3.0).unbind(1)
    thin = out.new_tensor(0.06)
    joint = (1 - pulse(lateral / _SLAB, thin, footprint / _SLAB)) * (
        1 - pulse(ahead / _SLAB, thin, far / _SLAB)
    )
    mingle = columns[18]
    common = 0.09 * grain + 0.08 * clump + 0.08 * stain
    slab = paving * (0.65 + 0.35 * joint + torch.lerp(0.05 * grain + 0.06 * stain, common, mingle))
    lush = 0.10 * grain + 0.18 * clump + 0.08 * stain
    lawn = grass * (1 + torch.lerp(lush, common, mingle)).clamp_(min=0.3)
    side = torch.lerp(torch.where(slabs, slab, lawn), kerb, on_kerb)
    rough = torch.lerp(0.09 * grain + 0.10 * stain, common, mingle)
    worn = 0.05 * grain + 0.05 * stain
    tar = torch.lerp(asphalt * (1 + rough), paint * (1 + worn), marking)
    color = torch.lerp(side, tar, on_road).clamp_(0.0, 1.2)

    label = torch.where(slabs | (on_kerb > 0.5), float(Street.SIDEWALK), float(Street.TERRAIN))
    painted = (marking > 0.5) & (footprint < width)
    tarred = torch.where(painted, float(Street.LANE_MARKING), float(Street.ROAD))
    normal = torch.zeros_like(color)
    normal[1] = -1
    return Surface(color, normal, torch.where(on_road > 0.5, tarred, label), torch.zeros_like(out))
