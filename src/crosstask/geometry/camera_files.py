"""Files that cameras, calibration and reconstruction programs write about a pinhole camera."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from crosstask.geometry.camera import CameraError, camera_matrix, check_camera
from crosstask.geometry.lens import LENGTHS
from crosstask.geometry.pinhole import scale_intrinsics
from crosstask.media.reading import MOST_YAML, check_file, read_lines, read_text

SUFFIXES = (".txt", ".yaml", ".yml", ".json")
# Names in a folder of images, the first that is there counts.
NAMES = (
    "intrinsics.txt", "intrinsics.yaml", "intrinsics.yml", "intrinsics.json", "camera_info.yaml",
    "camera_info.yml", "camera.yaml", "camera.yml", "camera.json", "cameras.txt",
)  # fmt: skip
# COLMAP's models: places of fx, fy, cx, cy among the parameters; what follows is distortion.
_COLMAP = {
    "SIMPLE_PINHOLE": (0, 0, 1, 2), "PINHOLE": (0, 1, 2, 3), "SIMPLE_RADIAL": (0, 0, 1, 2),
    "RADIAL": (0, 0, 1, 2), "OPENCV": (0, 1, 2, 3), "FULL_OPENCV": (0, 1, 2, 3),
    "OPENCV_FISHEYE": (0, 1, 2, 3), "SIMPLE_RADIAL_FISHEYE": (0, 0, 1, 2), "RADIAL_FISHEYE": (0, 0, 1, 2),
    "FOV": (0, 1, 2, 3), "THIN_PRISM_FISHEYE": (0, 1, 2, 3),
}  # fmt: skip
# OpenCV's order is k1 k2 p1 p2 k3 ...; these models have no p1 and p2.
_RADIAL_ONLY = ("SIMPLE_RADIAL", "RADIAL")
_LENSES = (
    "distortion_coefficients", "distortion_coeffs", "dist_coeffs", "coeffs", "distortion", "dist", "D", "d",
)  # fmt: skip
_COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_BENT_OTHERWISE = (
    "fisheye", "equidistant", "kannala", "ftheta", "f-theta", "fov", "omni", "inverse", "modified",
    "double_sphere",
)  # fmt: skip
_HALF = 0.5  # COLMAP's integer coordinates lie at the corners of pixels, ours at their centres


@dataclass(frozen=True)
class CameraFile:
    """What a file says about a camera.

    Attributes:
        matrix: (3,3) in pixels, integer coordinates at pixel centres.
        size: (height, width) of the images that it belongs to, None where the file names none.
        distortion: OpenCV's coefficients of the lens, 4, 5, 8, 12 or 14; empty where all are 0.
        lens: name of a model that is not supported, such as a fisheye's; empty otherwise.
    """

    path: Path
    matrix: Tensor
    size: tuple[int, int] | None = None
    distortion: tuple[float, ...] = ()
    lens: str = ""

    def for_image(self, size: tuple[int, int]) -> Tensor:
        """The matrix for images of (height, width) `size`: scaled where the file names another one.

        Raises:
            CameraError: another aspect than the file's, no camera of such an image, or a fisheye.
        """
        if self.lens:
            raise CameraError(
                f"{self.path} is of a lens of the model {self.lens!r}, which is not supported: expected a "
                "pinhole with OpenCV's coefficients (plumb_bob, rational); undistort images and labels "
                "first (cv2.fisheye.undistortImage) and give the camera of the result"
            )
        matrix = self.matrix
        if self.size is not None and self.size != size:
            down, across = size[0] / self.size[0], size[1] / self.size[1]
            if abs(down / across - 1) > 0.02:
                raise CameraError(
                    f"{self.path} is of images of {self.size[1]} x {self.size[0]} pixels (width x "
                    f"height), but the image is {size[1]} x {size[0]}, of another aspect; give the "
                    "camera of the image as it is stored"
                )
            matrix = scale_intrinsics(matrix, across, down)
        check_camera(matrix, str(self.path), size)
        return matrix

    @property
    def note(self) -> str:
        """What is told where the images of a lens that bends lines are taken as they are."""
        if not self.distortion:
            return ""
        return (
            f"{self.path} has the distortion {self.coefficients}, which is not applied: undistort the "
            "images (and labels) first, or expect bent geometry near their borders"
        )

    @property
    def coefficients(self) -> str:
        return ", ".join(f"{value:g}" for value in self.distortion)


def read_camera(path: Path) -> CameraFile:
    """A camera from a file.

    Text of fx fy cx cy, of a 3x3 or a 3x4 matrix; COLMAP's cameras.txt with one camera; ROS'
    camera_info.yaml and OpenCV's; the JSON of RealSense, of Open3D, or of fx, fy, cx, cy.

    Raises:
        DataError: unreadable, or no camera; names the file and what to do.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _mapping(path, _parsed(path, json.loads))
    if suffix in (".yaml", ".yml"):
        check_file(path, MOST_YAML)
        return _mapping(path, _parsed(path, _yaml))
    lines = [line.split("#")[0].split() for line in read_lines(path)]
    rows = [words for words in lines if len(words) > 4 and words[1] in _COLMAP]
    if rows:
        return _colmap(path, rows)
    words = " ".join(" ".join(line) for line in lines).replace(",", " ").replace(";", " ").split()
    return CameraFile(path, camera_matrix(_numbers(path, words), str(path)))


def _numbers(path: Path, values: Any) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise CameraError(
            f"{path} holds something that is not a number ({error}); expected fx fy cx cy, a 3x3 or a "
            "3x4 matrix"
        ) from error


def _parsed(path: Path, parse: Any) -> Mapping[str, Any]:
    try:
        found = parse(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, CameraError):
            raise
        first = str(error).split("\n")[0]
        raise CameraError(f"{path} is not a sound {path.suffix[1:]} file ({first})") from error
    if not isinstance(found, Mapping):
        raise CameraError(f"{path} holds no names with values; expected fx, fy, cx, cy")
    return found


def _yaml(text: str) -> Any:
    import yaml

    plain = [line for line in text.split("\n") if not line.startswith("%YAML")]
    try:
        return yaml.safe_load("\n".join(plain).replace("!!opencv-matrix", ""))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _mapping(path: Path, found: Mapping[str, Any]) -> CameraFile:
    inner = found.get("intrinsic", found)
    found = {**found, **inner} if isinstance(inner, Mapping) else found
    size = _size(found)
    matrix = next((found[k] for k in ("camera_matrix", "K", "k", "intrinsics") if k in found), None)
    if isinstance(matrix, Mapping):
        matrix = matrix.get("data")
    if matrix is None and "intrinsic_matrix" in found:  # Open3D: column by column
        values = _numbers(path, _flat(found["intrinsic_matrix"]))
        matrix = [values[place] for place in (0, 3, 6, 1, 4, 7, 2, 5, 8)] if len(values) == 9 else values  # fmt: skip
    if matrix is None:
        keys = ("fx", "fy", "ppx" if "ppx" in found else "cx", "ppy" if "ppy" in found else "cy")
        missing = [key for key in keys if key not in found]
        if missing:
            raise CameraError(
                f"{path} has no {missing[0]}; expected fx, fy, cx, cy (or ppx, ppy), camera_matrix, K, "
                f"or intrinsic_matrix; it has {', '.join(map(str, list(found)[:8]))}"
            )
        matrix = [found[key] for key in keys]
    lens = _lens(path, found)
    other = _unsupported(found, lens)
    return CameraFile(
        path,
        camera_matrix(_numbers(path, _flat(matrix)), str(path), size),
        size,
        () if other else _distortion(path, _numbers(path, _flat(lens or ()))),
        other,
    )


def _lens(path: Path, found: Mapping[str, Any]) -> Any:
    """The distortion coefficients k1, k2, p1, p2, k3, ...: a list under a usual name, or one by one."""
    named = next((found[k] for k in _LENSES if isinstance(found.get(k), list | tuple | Mapping)), None)  # fmt: skip
    if isinstance(named, Mapping) and "data" in named:
        named = named["data"]
    if named is not None and not isinstance(named, Mapping):
        return named
    single = found if named is None else named
    given = [number for number, key in enumerate(_COEFFICIENTS, 1) if key in single]
    if "k4" in single and "p1" not in single and not _model(found):
        raise CameraError(
            f"{path} has k4 and no p1: k1 to k4 may be those of a fisheye lens; name the model (`model: "
            "fisheye` or `model: plumb_bob`)"
        )
    return [single.get(key, 0.0) for key in _COEFFICIENTS[: max(given, default=0)]]


def _size(found: Mapping[str, Any]) -> tuple[int, int] | None:
    for high, wide in (("image_height", "image_width"), ("height", "width")):
        sides = (found.get(high), found.get(wide))
        whole = [int(side) for side in sides if isinstance(side, int | float) and side == int(side)]
        if len(whole) == 2 and min(whole) > 0:
            return whole[0], whole[1]
    wide_high = found.get("resolution")  # Kalibr, EuRoC
    if isinstance(wide_high, list) and len(wide_high) == 2 and all(isinstance(v, int) for v in wide_high):  # fmt: skip
        return wide_high[1], wide_high[0]
    return None


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        return [value]
    return [inner for item in value for inner in _flat(item)]


def _distortion(path: Path, values: list[float]) -> tuple[float, ...]:
    if not any(values):
        return ()
    length = next((length for length in LENGTHS if length >= len(values)), None)
    if length is None:
        raise CameraError(f"{path} has {len(values)} distortion coefficients; expected at most 14")
    return tuple(values) + (0.0,) * (length - len(values))


def _model(found: Mapping[str, Any]) -> str:
    """The name of the lens model; empty where none is given."""
    if found.get("fisheye_model"):  # OpenCV's calibration sample
        return "fisheye"
    model = next((found[k] for k in ("distortion_model", "model") if k in found), "")
    return str(model).lower().removeprefix("distortion.").replace(" ", "_")


def _unsupported(found: Mapping[str, Any], lens: Any) -> str:
    model = _model(found)
    # RealSense's cameras say "inverse", and have coefficients of 0.
    if model.startswith(("inverse", "modified")) and not any(_flat(lens or ())):
        return ""
    return model if any(word in model for word in _BENT_OTHERWISE) else ""


def _colmap(path: Path, rows: list[list[str]]) -> CameraFile:
    if len(rows) > 1:
        raise CameraError(
            f"{path} holds {len(rows)} cameras; expected one, or a file for each image, "
            "intrinsics/NAME.txt"
        )
    _, model, width, height, *rest = rows[0]
    parameters, places = _numbers(path, rest), _COLMAP[model]
    if len(parameters) <= max(places) or not (width.isdigit() and height.isdigit()):
        raise CameraError(f"{path} has too few numbers for COLMAP's camera {model}")
    fx, fy, cx, cy = (parameters[place] for place in places)
    size = (int(height), int(width))
    matrix = camera_matrix([fx, fy, cx - _HALF, cy - _HALF], str(path), size)
    lens = parameters[max(places) + 1 :]
    if model in _RADIAL_ONLY:
        lens = [*lens, *[0.0] * (4 - len(lens))]
    elif len(lens) > 4:  # FULL_OPENCV: k3 to k6 follow p1 and p2, as in OpenCV
        lens = lens[:8]
    other = model.lower() if any(word in model.lower() for word in _BENT_OTHERWISE) else ""
    return CameraFile(path, matrix, size, () if other else _distortion(path, lens), other)


def given_camera(text: str) -> CameraFile:
    """A camera from the command line: "fx,fy,cx,cy", a matrix, or the path of a file."""
    path = Path(text)
    try:
        there = path.is_file()
    except (OSError, ValueError):  # too long a name
        there = False
    if there:
        return read_camera(path)
    words = text.replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in (4, 9, 12):
        raise CameraError(
            f"`intrinsics` is {text!r}; expected fx,fy,cx,cy, a file with these four numbers or a 3x3 "
            "or 3x4 matrix, or a camera file of ROS, RealSense, Open3D or COLMAP"
        )
    return CameraFile(path, camera_matrix(numbers))
