"""What is wrong with a split, and what is unusual: defects and notes, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from crosstask.data.axes import AxesReport, axes_text
from crosstask.data.dataset import SceneDataset
from crosstask.data.tools.findings import POSITIVE, Findings


@dataclass
class Verdict:
    """Texts of a split's report."""

    defects: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verdict(
    dataset: SceneDataset,
    findings: Findings,
    partial: bool,
    classes: Mapping[str, float],
    axes: AxesReport | None,
) -> Verdict:
    """Every defect and note of a split.

    Args:
        dataset: the split.
        findings: of all its frames, or of some.
        partial: whether fewer frames than the official split has are a note, no defect.
        classes: share of the labelled pixels by class; empty without labels.
        axes: stored normals held against the depth, where both are there.
    """
    told = Verdict(list(dict.fromkeys(findings.defects)))
    _tell_frames(dataset, findings, told, partial)
    _tell_unread(dataset, told)
    _tell_too_deep(dataset, findings, told)
    _tell_missing(findings, told, partial)
    for name, texts in findings.remarks.items():
        told.notes.append(f"{name}: {len(texts)} files, such as {texts[0]}")
    _tell_empty(dataset, findings, told)
    if classes:
        _tell_classes(classes, findings, told)
    _tell_away(findings, told)
    _tell_axes(findings, told, axes)
    return told


def _tell_frames(dataset: SceneDataset, findings: Findings, told: Verdict, partial: bool) -> None:
    """Frames that the split lacks, that were not looked at, and images of few grey levels."""
    official = dataset.official_size(dataset.split)
    if official is not None and official != len(dataset):
        text = f"{len(dataset)} frames; the official {dataset.split} split has {official}"
        (told.notes if partial else told.defects).append(text)
    if findings.frames < len(dataset):
        told.notes.append(f"looked at {findings.frames} of {len(dataset)} frames")
    if findings.grey_levels:
        told.notes.append(f"{len(findings.grey_levels)} images, such as {findings.grey_levels[0]}")


def _tell_too_deep(dataset: SceneDataset, findings: Findings, told: Verdict) -> None:
    """Distances of which half lies too deep are probably in another unit."""
    for name, measured in findings.measured.items():
        if 2 * findings.too_deep[name] > measured:
            limit = dataset.far or dataset.deepest
            told.defects.append(
                f"half of {name} lies beyond {limit:g} m: is its unit right (integers of own folders by "
                "`depth_scale`, floats in metres)? Give `far` for scenes that are deeper"
            )


def _tell_empty(dataset: SceneDataset, findings: Findings, told: Verdict) -> None:
    """Targets without a labelled, or without a positive, pixel; of a derived one its source is told."""
    for name, pixels in findings.pixels.items():
        if name in dataset.derived:
            continue
        if pixels and findings.void[name] == pixels:
            # labels of test splits are often withheld
            withheld = told.notes if dataset.split == "test" else told.defects
            withheld.append(f"no frame has a single labelled pixel of {name}")
        elif name in POSITIVE and pixels and not findings.positive[name]:
            told.defects.append(
                f"no frame has a single positive pixel of {name}; are its files what they should be?"
            )


def _tell_missing(findings: Findings, told: Verdict, partial: bool) -> None:
    """Files that frames should have: each a defect, or one note a modality of a part of a dataset."""
    for name, paths in findings.missing.items():
        if partial:
            told.notes.append(
                f"{name}: {len(paths)} of {findings.frames} frames have no file, such as {paths[0]}; "
                "training stops at them: name the others in a `split_file`, or give `--skip-bad`"
            )
        else:
            told.defects += [
                f"{path} is missing; restore it, or take its frame out of the split"
                for path in dict.fromkeys(paths)
            ]


def _tell_unread(dataset: SceneDataset, told: Verdict) -> None:
    """Entries that look like labels are defects: they would be missing from the training."""
    unread = dataset.unread()
    told.defects += [str(entry) for entry in unread if entry.meant]
    for why in dict.fromkeys(entry.why for entry in unread if not entry.meant):
        some = [entry for entry in unread if entry.why == why and not entry.meant]
        more = f" ({len(some) - 1} more)" if len(some) > 1 else ""
        told.notes.append(f"{some[0]}{more}")


def _tell_classes(classes: Mapping[str, float], findings: Findings, told: Verdict) -> None:
    """Classes that no pixel has; where all labels are of one class, nothing is learned."""
    names, absent = tuple(classes), [name for name, share in classes.items() if share == 0]
    if absent:
        more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
        told.notes.append(f"classes without a pixel: {', '.join(absent[:8])}{more}")
    present = np.flatnonzero(findings.labels[: len(names)])
    if len(present) != 1 or len(names) < 2:
        return
    if present[0] == 0 and findings.void["segmentation"]:
        told.defects.append(
            f"all stored values of segmentation are 0 ({names[0]}) and void, and {len(names)} classes "
            "are declared; are the masks 0/255 of two classes, or is the list of classes another's?"
        )
    else:
        told.notes.append(
            f"every labelled pixel is {names[present[0]]}: any network that says so scores 1.000"
        )


def _tell_away(findings: Findings, told: Verdict) -> None:
    """Normals of what is seen face the camera."""
    known = findings.facing["known"]
    if known and 2 * findings.facing["away"] > known:
        share = 100 * findings.facing["away"] / known
        told.defects.append(
            f"stored normals point away from the camera on {share:.0f} % of the pixels; expected the side "
            "that is seen: give the right `axes`, or turn them round"
        )


def _tell_axes(findings: Findings, told: Verdict, axes: AxesReport | None) -> None:
    """Whether stored normals have the axes that the depth implies."""
    if findings.normals and axes is None:
        told.notes.append(
            "no pixel has stored normals and depth: the axes of normals are not compared"
        )
    if axes is not None and axes.wrong:
        given, best = axes_text(axes.given), axes_text(axes.best)
        told.defects.append(
            f"stored normals do not fit the depth: axes {given} are {axes.given_angle:.1f} degrees off "
            f"on average, {best} {axes.best_angle:.1f}; give the right `axes`"
        )
