"""What was measured of a split, as JSON values."""

from typing import Any

import numpy as np

from crosstask.data.axes import AxesReport, axes_text
from crosstask.data.dataset import SceneDataset
from crosstask.data.tools.findings import DEPTH_EDGES, POSITIVE, Findings


def split_facts(
    dataset: SceneDataset, findings: Findings, axes: AxesReport | None
) -> dict[str, Any]:
    """Counts, sizes, ranges and shares of a split.

    Args:
        dataset: the split.
        findings: of all its frames, or of some.
        axes: stored normals held against the depth, where both are there.
    """
    worst = sorted(findings.shares, key=lambda pair: (-pair[0], pair[1]))[:3]
    facts: dict[str, Any] = {
        "frames": len(dataset),
        "official": dataset.official_size(dataset.split),
        "hash": dataset.describe()["hash"],
        "sizes": dict(findings.sizes),
        "image": _image(dataset, findings),
        "camera": _camera(findings),
        "modalities": _modalities(dataset, findings),
        "computed": _computed(dataset, findings),
        "most_void": [{"name": name, "void": round(share, 4)} for share, name in worst],
    }
    if findings.depth.any():
        facts["depth"] = depth_report(findings)
    if dataset.classes is not None and findings.labels.any():
        facts["classes"] = class_report(dataset.classes.names, findings.labels)
    if axes is not None:
        facts["normals"] = {
            "axes": axes_text(axes.given),
            "mean_angle": round(axes.given_angle, 2),
            "best_axes": axes_text(axes.best),
            "best_mean_angle": round(axes.best_angle, 2),
        }
    return facts


def _image(dataset: SceneDataset, findings: Findings) -> dict[str, Any]:
    """Files of the images, the stored values that are black and white, and the range of what is read."""
    low, high = findings.ranges.get("image", (0.0, 0.0))
    values = dataset.describe()["value_range"]
    rule = "the range of the data type" if values == "auto" else str(values)
    told = dataset.read_as().get("image", "RGB in [0, 1]")
    return {
        "files": findings.files["image"],
        "range": [round(low, 4), round(high, 4)],
        "read_as": _located(dataset, "image", f"{told}; black to white is {rule}"),
    }


def _camera(findings: Findings) -> dict[str, Any]:
    """Frames with a known camera, and its focal lengths in pixels."""
    low, high = findings.ranges.get("intrinsics", (0.0, 0.0))
    return {"frames": findings.files["intrinsics"], "focal": [round(low, 2), round(high, 2)]}


def _modalities(dataset: SceneDataset, findings: Findings) -> dict[str, dict[str, Any]]:
    rules = _assumed(dataset)
    report: dict[str, dict[str, Any]] = {}
    for name, pixels in findings.pixels.items():
        if name in dataset.derived:
            continue
        void = findings.void[name]
        report[name] = {
            "files": findings.files[name],
            "sizes": dict(findings.shapes.get(name, {})),
            "range": [round(end, 4) for end in findings.ranges.get(name, ())],
            "labelled_frames": findings.labelled_frames[name],
            "void": round(void / pixels, 4),
            "read_as": rules[name],
        }
        if name in POSITIVE:
            report[name]["positive"] = round(findings.positive[name] / max(1, pixels - void), 6)
    return report


def _computed(dataset: SceneDataset, findings: Findings) -> dict[str, str]:
    """By target that comes from another: from which, and what was measured of it."""
    report = {}
    for name, origin in dataset.derived.items():
        if name not in dataset.modalities:
            continue
        facts = [f"from {origin}"]
        if pixels := findings.pixels[name]:
            known = pixels - findings.void[name]
            share = 100 * findings.positive[name] / max(1, known)
            facts += [f"{100 - 100 * known / pixels:.1f} % void", f"{share:.2f} % positive"]
        report[name] = "; ".join([", ".join(facts), *filter(None, [dataset.read_as().get(name)])])
    return report


def _assumed(dataset: SceneDataset) -> dict[str, str]:
    """By target: the rule its files are read by; the unit of the target where they leave no choice."""
    far = "" if dataset.far is None else f", beyond {dataset.far:g} m void"
    rules = {
        name: f"{target.unit}; void {target.void:g}" + (far if target.distance else "")
        for name, target in dataset.targets.items()
    } | dict(dataset.read_as())
    return {name: _located(dataset, name, rule) for name, rule in rules.items()}


def _located(dataset: SceneDataset, name: str, rule: str) -> str:
    """A rule, after the place that its values come from, where that is told."""
    return "; ".join(filter(None, [dataset.read_from().get(name), rule]))


def class_report(names: tuple[str, ...], counts: np.ndarray) -> dict[str, float]:
    """Share of the labelled pixels by class."""
    labelled = np.pad(counts, (0, max(0, len(names) - len(counts))))[: len(names)]
    total = max(1, int(labelled.sum()))
    return {name: round(int(count) / total, 6) for name, count in zip(names, labelled, strict=True)}


def depth_report(findings: Findings) -> dict[str, Any]:
    """Range, median (to a tenth of a decade) and histogram of the labelled depth in metres."""
    counts = findings.depth
    middle = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
    edges = np.concatenate([[0.0], DEPTH_EDGES, [np.inf]])
    filled = np.flatnonzero(counts)
    histogram = [
        {
            "from": round(float(edges[i]), 3),
            "to": round(float(min(edges[i + 1], 1e6)), 3),
            "pixels": int(counts[i]),
        }
        for i in range(filled[0], filled[-1] + 1)
    ]
    return {
        "min": round(findings.depth_range[0], 4),
        "max": round(findings.depth_range[1], 3),
        "median_about": round(
            float(np.sqrt(max(edges[middle], 0.01) * min(edges[middle + 1], 1e4))), 3
        ),
        "histogram": histogram,
    }
