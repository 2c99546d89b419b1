"""What lies in a folder of one's own and is not read, and which name it may have been meant for."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from crosstask.geometry.camera_files import NAMES
from crosstask.media.listing import files_in

KNOWN = (
    "images", "segmentation", "depth", "normals", "edges", "saliency", "intrinsics", "intrinsics.txt",
    "classes.txt", "folder.yaml", "splits",
)  # fmt: skip
# What others call these, in small letters.
OTHER_NAMES = {
    "images": (
        "image", "img", "imgs", "rgb", "photo", "photos", "frames", "jpegimages", "color", "left",
        "pixelvalues",
    ),
    "segmentation": (
        "mask", "masks", "label", "labels", "annotation", "annotations", "segmentationclass", "semantic",
        "seg", "groundtruth", "gt", "semantics", "labelids", "segmentations", "segmentationmask",
    ),
    "depth": ("depths", "depthmap", "depthmaps", "range", "lidar"),
    "normals": ("normal", "surfacenormals", "normalmaps"),
    "edges": ("edge", "boundary", "boundaries", "contours"),
    "saliency": ("salient", "saliencymaps"),
    "intrinsics.txt": (
        "camera", "cameras", "calib", "calibration", "camerainfo", "cameraintrinsics", "k", "cam",
        "camerainfos", "intrinsic", "intrinsics",
    ),
    "classes.txt": ("labels.txt", "labelmap", "classes", "classnames", "palette", "obj.names", "names"),
    "splits": ("split", "lists", "imagesets", "filelists", "train.txt", "val.txt", "test.txt"),
}  # fmt: skip


@dataclass(frozen=True)
class Unread:
    """An entry that is not read.

    Attributes:
        why: a phrase such as "is not an image".
        meant: name that is read and that it looks like, "" without one.
    """

    path: Path
    why: str
    meant: str = ""

    def __str__(self) -> str:
        hint = f"; was {self.meant} meant? Rename it, or move it away" if self.meant else ""
        return f"{self.path} {self.why} and is not read{hint}"


def unread_entries(root: Path) -> list[Unread]:
    """Entries of a folder dataset's root that its tree does not know."""
    here = {path.name for path in files_in(root)}
    camera = next((name for name in NAMES if name in here), None)
    found = []
    for path in files_in(root):
        if path.name in KNOWN or path.name == camera:
            continue
        meant = _meant(path)
        of_camera = meant in ("intrinsics", "intrinsics.txt")
        absent = meant not in here and not (of_camera and (camera or "intrinsics" in here))
        kind = "folder" if path.is_dir() else "file"
        why = f"is a {kind} that the tree does not know"
        found.append(
            Unread(path, why, (meant + "/" * ("." not in meant)) if meant and absent else "")
        )
    return found


def _meant(path: Path) -> str:
    name = path.name.lower()
    plain = re.sub(r"[^a-z]", "", name if path.is_dir() else path.stem.lower())
    folder = path.is_dir()
    for known, others in OTHER_NAMES.items():
        fits = folder or known.endswith(".txt") or known == "splits"
        if fits and (name in others or plain in others):
            return known if not (folder and known == "intrinsics.txt") else "intrinsics"
    candidates = [k for k in KNOWN if folder == ("." not in k)]
    return next(iter(get_close_matches(name, candidates, n=1, cutoff=0.75)), "")
