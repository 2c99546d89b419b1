"""What is unusual in a folder's file, and no defect: `crosstask data check` tells it."""

from pathlib import Path

from crosstask.data.files import image_size
from crosstask.data.folder.depth_maps import read_depth
from crosstask.geometry.camera import off_the_middle
from crosstask.geometry.camera_files import read_camera
from crosstask.media.orientation import stored_size


def depth_remark(path: Path, image: Path, depth_scale: float | None) -> str | None:
    """Of a depth map: a scale of its own, or fewer pixels than its image has."""
    stored = read_depth(path, depth_scale)
    size, found = image_size(image), stored.metres.shape
    texts = [stored.note] if stored.note else []
    if found != size:
        texts.append(f"it is {found[0]}x{found[1]} and enlarged to its image's {size[0]}x{size[1]}")
    return f"{path}: {'; '.join(texts)}" if texts else None


def camera_remark(path: Path, image: Path, orientation: int, undistort: bool) -> str | None:
    """Of a camera file: distortion, another resolution, a principal point far off the middle.

    Args:
        path: the camera file.
        image: of the frame.
        orientation: EXIF orientation by which the image is turned.
        undistort: whether the distortion is applied.
    """
    camera, stored = read_camera(path), stored_size(image_size(image), orientation)
    texts = [camera.note] if camera.note else []
    if texts and undistort:
        texts = [
            f"{path} has the distortion {camera.coefficients}: image (bilinear) and labels (nearest) "
            "are undistorted; `undistort: false` in folder.yaml where they are already"
        ]
    if camera.size not in (None, stored):
        texts.append(f"{path} is of {camera.size} (height, width) and scaled to {stored}")
    if off_the_middle(camera.for_image(stored), stored):
        texts.append(
            f"the principal point of {path} lies far off the middle, alike in both directions: is "
            "it the camera of another resolution?"
        )
    return "; ".join(texts) or None
