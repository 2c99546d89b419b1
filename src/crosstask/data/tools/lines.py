"""The report of a split as lines for a person."""

from collections.abc import Mapping, Sequence
from typing import Any


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
    return lines + [f"  DEFECT: {text}" for text in _once(entry["defects"])]


def _once(defects: Sequence[str]) -> list[str]:
    """Defects that begin with a file: one line for all files of which the same is said."""
    alike: dict[str, list[str]] = {}
    for text in defects:
        file, _, said = text.partition(" ")
        alike.setdefault(said if "/" in file else text, []).append(text)
    return [
        f"{first} [the same of {len(others)} more files]" if others else first
        for first, *others in alike.values()
    ]


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
