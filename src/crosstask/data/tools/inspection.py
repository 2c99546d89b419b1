"""Looking through a whole dataset: every file, every value, in several processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crosstask.data.axes import CONVENTIONS, AxesReport, compare_axes, paired_normals
from crosstask.data.dataset import SceneDataset
from crosstask.data.derive import close_margins, depth_to_normals, labels_to_edges, smooth_depth
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError
from crosstask.data.tools.findings import DEPTH_EDGES, POSITIVE, Findings, add_counts
from crosstask.data.tools.values import away, value_defects
from crosstask.data.worker_pool import in_workers
from crosstask.media.value_range import few_levels

_NORMALS_FRAMES, _NORMALS_PIXELS = 60, 2000
_SMOOTHING_SHARE = 90  # depth is averaged over this part of the width around: 6 of 560 pixels


def inspect_frame(dataset: SceneDataset, index: int) -> Findings:
    """Read every file of a frame; each that cannot be read is one defect, and the rest is read.

    Label files that are not there are `missing`, and the frame is read as one without them; what
    labels need (a camera) is a defect.
    """
    findings = Findings(frames=1)
    frame = _without_missing(dataset, dataset.frames[index], findings)
    try:
        image = dataset.load_image(frame)
    except DataError as error:
        findings.defects.append(str(error))
        return findings
    size = _measure_image(findings, dataset, frame, image)
    loaded = _load_all(findings, dataset, frame, size)
    camera = loaded.get("intrinsics")
    if camera is not None and float(camera[0, 0]) > 0:
        findings.note("intrinsics", camera, camera[:2, :2].diagonal())
    for name, value in loaded.items():
        if name != "intrinsics":
            findings.defects += value_defects(dataset, frame, name, value)
            _measure_depth_range(findings, dataset, frame, name, value)
            _measure(findings, dataset, frame, name, dataset.cut_far(name, value))
            if name == "normals" and name in frame.files:
                pointing, known = away(value, camera)
                findings.facing.update({"away": pointing, "known": known})
        if (text := dataset.remark(frame, name)) is not None:
            findings.remarks.setdefault(name, []).append(text)
    if findings.pixels:
        share = findings.void.total() / findings.pixels.total()
        findings.shares.append((share, frame.name))
    _measure_derived_edges(findings, dataset, frame, loaded)
    every = max(1, len(dataset) // _NORMALS_FRAMES)
    if index % every == 0 and "normals" in loaded:
        _pair_normals(dataset, frame, loaded, size, findings)
    return findings


def _without_missing(dataset: SceneDataset, frame: Frame, findings: Findings) -> Frame:
    """The frame without label files that are not there; they are noted as missing."""
    labels = [name for name in frame.files if name in dataset.targets]
    absent = [name for name in labels if not frame.files[name].exists()]
    if not absent:
        return frame
    findings.missing = {name: [str(frame.files[name])] for name in absent}
    there = {name: path for name, path in frame.files.items() if name not in absent}
    return replace(frame, files=there)


def _measure_image(
    findings: Findings, dataset: SceneDataset, frame: Frame, image: Tensor
) -> tuple[int, int]:
    """Size, range and grey levels of an image; returns its height and width."""
    levels = few_levels(image, dataset.value_range)
    if levels is not None:
        findings.grey_levels.append(f"{frame.name}: {levels}")
    size = (int(image.shape[-2]), int(image.shape[-1]))
    findings.sizes[f"{size[0]}x{size[1]}"] += 1
    findings.files["image"] += 1
    white = 255 if image.dtype == torch.uint8 else 1
    findings.widen("image", float(image.min()) / white, float(image.max()) / white)
    return size


def _load_all(
    findings: Findings, dataset: SceneDataset, frame: Frame, size: tuple[int, int]
) -> dict[str, Tensor]:
    """Stored targets and camera of a frame; without those that cannot be read, which are defects."""
    loaded: dict[str, Tensor] = {}
    steps: dict[str, Callable[[], Any]] = {
        name: partial(dataset.stored_target, frame, name, size)
        for name in dataset.stored()
        if name in dataset.targets
    }
    steps["intrinsics"] = partial(dataset.upright_intrinsics, frame, size)
    for name, load in steps.items():
        try:
            loaded[name] = load()
        except DataError as error:
            if str(error) not in findings.defects:
                findings.defects.append(str(error))
    return loaded


def _measure_derived_edges(
    findings: Findings, dataset: SceneDataset, frame: Frame, loaded: dict[str, Tensor]
) -> None:
    """Edges that come from the labels' boundaries."""
    if "edges" not in dataset.modalities or dataset.derived.get("edges") != "segmentation":
        return
    if (labels := loaded.get("segmentation")) is not None:
        void = int(dataset.targets["segmentation"].void)
        edges = labels_to_edges(close_margins(labels, dataset.margin, void), void)
        _measure(findings, dataset, frame, "edges", edges)


def _measure_depth_range(
    findings: Findings, dataset: SceneDataset, frame: Frame, name: str, value: Tensor
) -> None:
    """Of a distance, before `far` cuts it: how much lies too deep, and whether anything is known."""
    target = dataset.targets[name]
    if not target.distance or name not in frame.files:
        return
    known = value[~target.void_mask(value)[None].expand_as(value)]
    if known.numel() == 0:
        findings.defects.append(f"{frame.files[name]} has no valid pixel: every value is unknown")
    limit = dataset.far or dataset.deepest
    if limit is not None:
        findings.measured[name] += known.numel()
        findings.too_deep[name] += int((known > limit).sum())


def _measure(
    findings: Findings, dataset: SceneDataset, frame: Frame, name: str, value: Tensor
) -> None:
    void = dataset.targets[name].void_mask(value)
    if name in frame.files:
        findings.note(name, value, value[..., ~void])
    findings.pixels[name] += void.numel()
    findings.void[name] += int(void.sum())
    findings.labelled_frames[name] += not bool(void.all())
    if name in POSITIVE:
        findings.positive[name] += int((value == 1).sum())
    if name == "segmentation":
        findings.labels = add_counts(findings.labels, np.bincount(value.numpy().ravel()))
    if name == "depth" and bool((~void & torch.isfinite(value[0])).any()):
        known = value[0][~void & torch.isfinite(value[0])].numpy()
        findings.depth += np.bincount(
            np.digitize(known, DEPTH_EDGES), minlength=len(DEPTH_EDGES) + 1
        )
        findings.depth_range = (float(known.min()), float(known.max()))


def _pair_normals(
    dataset: Any, frame: Frame, loaded: dict[str, Tensor], size: tuple[int, int], findings: Findings
) -> None:
    """A sample of pixels with stored normals and normals from the depth beside them."""
    depth = loaded.get("depth")  # None also where it is damaged, which is told
    if depth is None or "intrinsics" not in loaded or "normals" not in frame.files:
        return
    # Normals of a sensor's depth as it is are tens of degrees off.
    depth = smooth_depth(depth, depth.shape[-1] // _SMOOTHING_SHARE)
    measured = depth_to_normals(depth, loaded["intrinsics"], size)
    stored = dataset.load_stored_normals(frame)
    if stored is None:
        return
    stored, measured = paired_normals(stored, measured)
    step = max(1, stored.shape[1] // _NORMALS_PIXELS)
    findings.normals.append((stored[:, ::step], measured[:, ::step]))


def compare_normals(dataset: Any, findings: Findings) -> AxesReport | None:
    """The reader's axis convention against all 48; None where no pixel has both."""
    if not findings.normals:
        return None
    stored, measured = (
        torch.cat(list(part), dim=1) for part in zip(*findings.normals, strict=True)
    )
    if stored.shape[1] == 0:
        return None
    return compare_axes(stored, measured, CONVENTIONS[dataset.axes])


def inspect(dataset: SceneDataset, indices: Sequence[int], workers: int = 0) -> Iterator[Findings]:
    """Findings of these frames, in any order; with `workers` above 0 in as many processes."""
    size = 8 if workers else 1
    chunks = [indices[start : start + size] for start in range(0, len(indices), size)]
    return in_workers(partial(_inspect_chunk, dataset), chunks, workers)


def _inspect_chunk(dataset: SceneDataset, indices: Sequence[int]) -> Findings:
    total = Findings()
    for index in indices:
        total.add(inspect_frame(dataset, index))
    return total
