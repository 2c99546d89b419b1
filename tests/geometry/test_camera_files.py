"""Camera files of the programs that people use give one matrix."""

import json
from pathlib import Path

import pytest

from crosstask.geometry.camera import CameraError
from crosstask.geometry.camera_files import given_camera, read_camera

MATRIX = [[60.0, 0.0, 47.5], [0.0, 58.0, 23.5], [0.0, 0.0, 1.0]]
ROWS = [60.0, 0.0, 47.5, 0.0, 58.0, 23.5, 0.0, 0.0, 1.0]
SIDES = {"width": 96, "height": 48}
ROS = """image_width: 96
image_height: 48
camera_matrix:
  rows: 3
  cols: 3
  data: [60.0, 0.0, 47.5, 0.0, 58.0, 23.5, 0.0, 0.0, 1.0]
distortion_coefficients:
  data: [-0.3, 0.1, 0, 0, 0]
"""
FILES = {
    "four.txt": "60, 58, 47.5, 23.5  # of the left one",
    "matrix.txt": "60 0 47.5\n0 58 23.5\n0 0 1\n",
    "P.txt": "60 0 47.5 3\n0 58 23.5 0\n0 0 1 0\n",
    "cameras.txt": "# Camera list\n1 PINHOLE 96 48 60 58 48 24\n",
    "ros.yaml": ROS,
    "opencv.yml": "%YAML:1.0\n---\ncamera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n"
    "   data: [60, 0, 47.5, 0, 58, 23.5, 0, 0, 1]\n",
    "realsense.json": json.dumps(
        SIDES | {"fx": 60, "fy": 58, "ppx": 47.5, "ppy": 23.5, "coeffs": [0, 0, 0, 0, 0]}
    ),
    "open3d.json": json.dumps(
        {"intrinsic": SIDES | {"intrinsic_matrix": [60, 0, 0, 0, 58, 0, 47.5, 23.5, 1]}}
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_matrix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    camera = read_camera(tmp_path / name)
    assert camera.matrix.tolist() == MATRIX
    assert camera.for_image((48, 96)).tolist() == MATRIX
    assert bool(camera.note) == (name == "ros.yaml")
    assert given_camera(str(tmp_path / name)).matrix.tolist() == MATRIX


def test_a_named_size_is_scaled_to_the_image(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ROS)
    camera = read_camera(tmp_path / "a.yaml")
    assert camera.for_image((96, 192)).tolist() == [[120, 0, 95.5], [0, 116, 47.5], [0, 0, 1]]
    with pytest.raises(CameraError, match="another aspect"):
        camera.for_image((96, 96))
    assert "not applied" in camera.note


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not a sound json file"),
        ("a.json", "[1, 2]", "no names"),
        ("a.json", '{"fx": 1, "fy": 2}', "has no cx"),
        ("a.yaml", "a: [", "not a sound yaml file"),
        ("a.yaml", "K: [a, b]", "not a number"),
        ("a.txt", "60 60 x 3", "not a number"),
        ("a.txt", "1 PINHOLE 96 48 60 58 48 24\n2 PINHOLE 96 48 60 58 48 24", "2 cameras"),
        ("a.txt", "0 0 0 0", "above 0"),
    ],
)
def test_what_is_no_camera_names_the_file(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CameraError, match=message) as caught:
        read_camera(tmp_path / name)
    assert name in str(caught.value)


def test_the_command_lines_numbers() -> None:
    assert given_camera("60,58,47.5,23.5").matrix.tolist() == MATRIX
    for text in ("1,2", "nobody.txt"):
        with pytest.raises(CameraError, match="expected fx,fy,cx,cy"):
            given_camera(text)


FOUR = {"fx": 60, "fy": 58, "cx": 47.5, "cy": 23.5}


@pytest.mark.parametrize(
    ("more", "expected", "lens"),
    [
        ({"k1": -0.3, "k2": 0.1, "p1": 0.001, "p2": 0.0}, (-0.3, 0.1, 0.001, 0.0), ""),
        ({"k1": -0.3, "k3": 0.01}, (-0.3, 0.0, 0.0, 0.0, 0.01), ""),
        ({"distortion_coeffs": [-0.3, 0.1, 0, 0]}, (-0.3, 0.1, 0.0, 0.0), ""),
        ({"distortion": {"k1": -0.3, "k2": 0.1, "p1": 0, "p2": 0}}, (-0.3, 0.1, 0.0, 0.0), ""),
        ({"distortion_coefficients": [0.1, 0.2, 0.3, 0.4], "fisheye_model": 1}, (), "fisheye"),
        ({"k1": 0.1, "k4": 0.2, "model": "fisheye"}, (), "fisheye"),
        ({"distortion": "none"}, (), ""),
    ],
)
def test_the_lens_is_read_wherever_it_is_named(
    tmp_path: Path, more: dict[str, object], expected: tuple[float, ...], lens: str
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(FOUR | more))
    camera = read_camera(tmp_path / "a.json")
    assert camera.matrix.tolist() == MATRIX
    assert (camera.distortion, camera.lens) == (expected, lens)
    (tmp_path / "b.json").write_text(json.dumps({"intrinsic": FOUR, **more}))
    assert read_camera(tmp_path / "b.json").distortion == expected


def test_four_radial_numbers_without_a_model_are_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(FOUR | {"k1": 1, "k2": 2, "k3": 3, "k4": 4}))
    with pytest.raises(CameraError, match="may be those of a fisheye"):
        read_camera(tmp_path / "a.json")


@pytest.mark.parametrize(
    "sides", [{"width": 96.0, "height": 48.0}, {"resolution": [96, 48]}, SIDES], ids=str
)
def test_the_size_is_read_wherever_it_is_named(tmp_path: Path, sides: dict[str, object]) -> None:
    (tmp_path / "a.json").write_text(json.dumps(FOUR | sides))
    assert read_camera(tmp_path / "a.json").size == (48, 96)
