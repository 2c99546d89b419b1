"""`crosstask data check`: is what lies on the disk what the dataset should be?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from crosstask.data.axes import axes_text
from crosstask.data.dataset import SceneDataset
from crosstask.data.sample import WrongRoot
from crosstask.data.tools.inspection import DEPTH_EDGES, POSITIVE, Findings, compare_normals


def split_report(dataset: SceneDataset, findings: Findings, partial: bool) -> dict[str, Any]:
    """One split: counts, sizes, shares and defects, as JSON values.

    Args:
        dataset: The split.
        findings: Of all its frames, or of some.
        partial: Whether fewer frames than the official split has are a note, no defect.
    """
    defects: list[str] = list(dict.fromkeys(findings.defects))
    notes: list[str] = []
    official = dataset.official_size(dataset.split)
    if official is not None and official != len(dataset):
        text = f"{len(dataset)} frames; the official {dataset.split} split has {official}"
        (notes if partial else defects).append(text)
    if findings.frames < len(dataset):
        notes.append(f"looked at {findings.frames} of {len(dataset)} frames")
    if findings.grey_levels:
        notes.append(f"{len(findings.grey_levels)} images, such as {findings.grey_levels[0]}")
    _tell_unread(dataset, defects, notes)
    for name, measured in findings.measured.items():
        if 2 * findings.too_deep[name] > measured:
            limit = dataset.far or dataset.deepest
            defects.append(
                f"half of {name} lies beyond {limit:g} m: is its unit right (integers of own folders by "
                "`depth_scale`, floats in metres)? Give `far` for scenes that are deeper"
            )
    _tell_missing(findings, defects, notes, partial)
    for name, texts in findings.remarks.items():
        notes.append(f"{name}: {len(texts)} files, such as {texts[0]}")
    for name, pixels in findings.pixels.items():
        if name in dataset.derived:
            continue  # its source is told
        if pixels and findings.void[name] == pixels:
            withheld = notes if dataset.split == "test" else defects  # test labels often are
            withheld.append(f"no frame has a single labelled pixel of {name}")
        elif name in POSITIVE and pixels and not findings.positive[name]:
            defects.append(
                f"no frame has a single positive pixel of {name}; are its files what they should be?"
            )
    report: dict[str, Any] = {
        "frames": len(dataset),
        "official": official,
        "hash": dataset.describe()["hash"],
        "sizes": dict(findings.sizes),
        "image": _image(dataset, findings),
        "camera": _camera(findings),
        "modalities": _modalities(dataset, findings),
        "computed": _computed(dataset, findings),
        "most_void": [
            {"name": name, "void": round(share, 4)}
            for share, name in sorted(findings.shares, key=lambda pair: (-pair[0], pair[1]))[:3]
        ],
    }
    if findings.depth.any():
        report["depth"] = depth_report(findings)
    if dataset.classes is not None and findings.labels.any():
        report["classes"] = class_report(dataset.classes.names, findings.labels)
        absent = [name for name, share in report["classes"].items() if share == 0]
        if absent:
            more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
            notes.append(f"classes without a pixel: {', '.join(absent[:8])}{more}")
        _tell_one_class(dataset.classes.names, findings, defects, notes)
    _tell_away(findings, defects)
    axes = compare_normals(dataset, findings)
    if findings.normals and axes is None:
        notes.append("no pixel has stored normals and depth: the axes of normals are not compared")
    if axes is not None:
        given, best = axes_text(axes.given), axes_text(axes.best)
        report["normals"] = {
            "axes": given,
            "mean_angle": round(axes.given_angle, 2),
            "best_axes": best,
            "best_mean_angle": round(axes.best_angle, 2),
        }
        if axes.wrong:
            defects.append(
                f"stored normals do not fit the depth: axes {given} are {axes.given_angle:.1f} degrees off "
                f"on average, {best} {axes.best_angle:.1f}; give the right `axes`"
            )
    return report | {"defects": defects, "notes": notes}


def _tell_missing(findings: Findings, defects: list[str], notes: list[str], partial: bool) -> None:
    """Files that frames should have: each a defect, or one note a modality of a part of a dataset."""
    for name, paths in findings.missing.items():
        if partial:
            notes.append(
                f"{name}: {len(paths)} of {findings.frames} frames have no file, such as {paths[0]}; "
                "training stops at them: name the others in a `split_file`, or give `--skip-bad`"
            )
        else:
            defects += [
                f"{path} is missing; restore it, or take its frame out of the split"
                for path in dict.fromkeys(paths)
            ]


def _tell_unread(dataset: SceneDataset, defects: list[str], notes: list[str]) -> None:
    """Entries that look like labels are defects: they would be missing from the training."""
    unread = dataset.unread()
    defects += [str(entry) for entry in unread if entry.meant]
    for why in dict.fromkeys(entry.why for entry in unread if not entry.meant):
        some = [entry for entry in unread if entry.why == why and not entry.meant]
        more = f" ({len(some) - 1} more)" if len(some) > 1 else ""
        notes.append(f"{some[0]}{more}")


def _tell_away(findings: Findings, defects: list[str]) -> None:
    """Normals of what is seen face the camera."""
    known = findings.facing["known"]
    if known and 2 * findings.facing["away"] > known:
        share = 100 * findings.facing["away"] / known
        defects.append(
            f"stored normals point away from the camera on {share:.0f} % of the pixels; expected the side "
            "that is seen: give the right `axes`, or turn them round"
        )


def _image(dataset: SceneDataset, findings: Findings) -> dict[str, Any]:
    """Files of the images, the stored values that are black and white, and the range of what is read."""
    low, high = findings.ranges.get("image", (0.0, 0.0))
    values = dataset.describe()["value_range"]
    rule = "the range of the data type" if values == "auto" else str(values)
    return {
        "files": findings.files["image"],
        "range": [round(low, 4), round(high, 4)],
        "read_as": f"RGB in [0, 1]; black to white is {rule}",
    }


def _camera(findings: Findings) -> dict[str, Any]:
    """Frames with a known camera, and its focal lengths in pixels."""
    low, high = findings.ranges.get("intrinsics", (0.0, 0.0))
    return {"frames": findings.files["intrinsics"], "focal": [round(low, 2), round(high, 2)]}


def _tell_one_class(
    names: tuple[str, ...], findings: Findings, defects: list[str], notes: list[str]
) -> None:
    """Where all labels are of one class, something is wrong, or at least nothing is learned."""
    present = np.flatnonzero(findings.labels[: len(names)])
    if len(present) != 1 or len(names) < 2:
        return
    if present[0] == 0 and findings.void["segmentation"]:
        defects.append(
            f"all stored values of segmentation are 0 ({names[0]}) and void, and {len(names)} classes "
            "are declared; are the masks 0/255 of two classes, or is the list of classes another's?"
        )
    else:
        notes.append(
            f"every labelled pixel is {names[present[0]]}: any network that says so scores 1.000"
        )


def report_lines(split: str, entry: Mapping[str, Any]) -> list[str]:
    """A split's report as lines for a person."""
    sizes = ", ".join(f"{size} ({count})" for size, count in entry["sizes"].items())
    facts = f"{entry['frames']} frames, {sizes or 'no readable image'}; hash {entry['hash']}"
    lines = [f"{split}: {facts if entry['frames'] else 'not there'}"]
    if image := entry.get("image"):
        lines.append(
            f"  image: {image['files']} files, {_range(image)}; read as {image['read_as']}"
        )
    for name, values in entry["modalities"].items():
        lines.append(f"  {name}: {_facts(values)}; read as {values['read_as']}")
    lines += [f"  {name}: computed {origin}" for name, origin in entry.get("computed", {}).items()]
    if camera := entry.get("camera"):
        low, high = camera["focal"]
        focal = f"focal length {low:g} to {high:g} pixels" if camera["frames"] else "none is known"
        lines.append(f"  camera: of {camera['frames']} frames, {focal}")
    worst = [one for one in entry.get("most_void", []) if one["void"] > 0]
    if worst:
        shown = ", ".join(f"{one['name']} ({100 * one['void']:.1f} %)" for one in worst)
        lines.append(f"  most void: {shown}")
    if depth := entry.get("depth"):
        ends = f"{depth['min']} to {depth['max']} m"
        lines.append(f"  depth from {ends}, median about {depth['median_about']} m")
    if normals := entry.get("normals"):
        off = f"{normals['mean_angle']} degrees on average from the depth's"
        lines.append(f"  normals {normals['axes']}: {off}")
    lines += [f"  note: {text}" for text in entry["notes"]]
    return lines + [f"  DEFECT: {text}" for text in entry["defects"]]


def _facts(values: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{size} ({count})" for size, count in values["sizes"].items())
    facts = [f"{values['files']} files" + (f" of {sizes}" if sizes else "")]
    facts += [f"{values['labelled_frames']} labelled frames", f"{100 * values['void']:.1f} % void"]
    if (positive := values.get("positive")) is not None:
        facts.append(f"{100 * positive:.2f} % positive")
    return ", ".join([*facts, _range(values)])


def _range(values: Mapping[str, Any]) -> str:
    ends = values["range"]
    return f"values {ends[0]:g} to {ends[1]:g}" if ends else "no values"


def absent_report(
    split: str, error: Exception, partial: bool, present: SceneDataset
) -> dict[str, Any]:
    """A split that cannot be opened: a defect, unless it is not there and need not be.

    Test splits may be absent (their labels are often withheld), and so may, with `partial` or
    where no official count is known, a split without a single frame. A damaged list of frames is
    always a defect.
    """
    official = present.official_size(split)
    optional = split == "test" or (isinstance(error, WrongRoot) and (partial or official is None))
    text = str(error).split("; expected the tree")[0]
    return {
        "frames": 0,
        "official": official,
        "hash": None,
        "sizes": {},
        "modalities": {},
        "defects": [] if optional else [text],
        "notes": [text] if optional else [],
    }


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
    return {
        name: f"{target.unit}; void {target.void:g}" + (far if target.distance else "")
        for name, target in dataset.targets.items()
    } | dict(dataset.read_as())


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


def overlap(datasets: Mapping[str, SceneDataset]) -> list[str]:
    """Defects of splits that share frames."""
    found = []
    names = {split: {frame.name for frame in d.frames} for split, d in datasets.items()}
    splits = [split for split in names if split != "all"]
    for place, first in enumerate(splits):
        for second in splits[place + 1 :]:
            shared = sorted(names[first] & names[second])
            if shared:
                found.append(f"{first} and {second} share {len(shared)} frames, e.g. {shared[0]}")
    return found
