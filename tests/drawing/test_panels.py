"""Panels, overlays and point clouds: what is in the image, and where."""

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.drawing import panels
from crosstask.drawing.legends import legend, shorten, text_width
from crosstask.media.colormap import palette, scale_colors
from crosstask.tasks import ClassTable, Depth, Edges, Normals, Segmentation

TABLE = ClassTable(("road", "car", "sky"), ((130, 60, 120), (10, 20, 200), (90, 200, 250)))
TASKS = (Segmentation(TABLE), Depth(), Normals(), Edges())


def sample(height=32, width=48):
    normals = torch.zeros(3, height, width)
    normals[2] = -1
    return {
        "image": torch.rand(3, height, width),
        "segmentation": torch.zeros(height, width, dtype=torch.int64),
        "depth": torch.linspace(2, 40, width).expand(1, height, width).contiguous(),
        "normals": normals,
        "edges": torch.zeros(1, height, width),
    }


def has(image, color):
    return int((image == torch.tensor(color, dtype=torch.uint8).view(3, 1, 1)).all(0).sum())


@pytest.mark.parametrize("size", [(32, 48), (90, 33), (31, 200), (600, 800)])
def test_panel_of_any_shape(size):
    maps = sample(*size)
    image = panels.panel(maps["image"], maps, maps, TASKS, title="a title")
    assert image.dtype == torch.uint8
    assert image.shape[0] == 3
    # two rows of cells whose longer side has 400 pixels, five columns
    factor = 400 / max(size)
    assert image.shape[1] > 2 * round(size[0] * factor)
    assert image.shape[2] > 5 * round(size[1] * factor)


def test_cells_are_where_they_belong():
    truth = sample()
    guess = truth | {"segmentation": truth["segmentation"] + 1}
    image = panels.panel(truth["image"], truth, guess, TASKS)
    road = (image == torch.tensor([130, 60, 120], dtype=torch.uint8).view(3, 1, 1)).all(0)
    car = (image == torch.tensor([10, 20, 200], dtype=torch.uint8).view(3, 1, 1)).all(0)
    cell = round(400 * 32 / 48) * 400
    assert 0.95 * cell < road.sum() < 1.05 * cell
    assert 0.95 * cell < car.sum() < 1.05 * cell
    top_of_truth, top_of_guess = (m.any(1).nonzero()[0].item() for m in (road, car))
    assert top_of_truth + 250 < top_of_guess
    # frontal normals are light blue in both rows
    assert has(image, (128, 128, 255)) > 1.9 * cell


def test_prediction_shares_the_depth_scale_of_the_truth():
    truth = sample()
    ends = Depth().color_scale(truth["depth"], 3 * truth["depth"])
    assert ends == Depth().color_scale(truth["depth"])
    far = panels.panel(truth["image"], {"depth": truth["depth"]}, {}, [Depth()])
    near = panels.panel(truth["image"], {}, {"depth": truth["depth"]}, [Depth()])
    assert far.equal(near)
    both = panels.panel(
        truth["image"], {"depth": truth["depth"]}, {"depth": 10 * truth["depth"]}, [Depth()]
    )
    darkest = tuple(scale_colors(torch.ones(1, 1)).flatten().tolist())
    assert has(both, darkest) > has(far, darkest) + 50_000


def test_void_is_dark_grey_and_missing_is_blank():
    maps = sample()
    void = {"depth": torch.zeros(1, 32, 48), "segmentation": maps["segmentation"]}
    image = panels.panel(maps["image"], void, {"segmentation": void["segmentation"]}, TASKS)
    cell = 400 * 267
    assert has(image, (52, 52, 58)) == pytest.approx(cell, rel=0.01)
    # no depth prediction, no normals, no edges in either row
    assert has(image, (236, 237, 240)) == pytest.approx(5 * cell, rel=0.02)


def test_legend_lists_the_classes_that_are_shown():
    labels = torch.tensor([[0, 0, 255, 2]])
    key = panels._to_tensor(legend(Segmentation(TABLE), [labels], 300, 14))
    assert has(key, (130, 60, 120)) > 100
    assert has(key, (90, 200, 250)) > 100
    assert has(key, (10, 20, 200)) == 0


def test_depth_legend_runs_from_near_to_far():
    key = np.asarray(legend(Depth(), [torch.tensor([[[1.0, 80.0]]])], 300, 14)).astype(int)
    bar = key[12, 30:270].sum(-1)
    assert bar[0] > bar[120] > bar[-1]
    assert (np.diff(bar) <= 1).all()


def test_texts_that_do_not_fit_are_cut():
    assert shorten("short", 14, 200) == "short"
    cut = shorten("a very long name of a class", 14, 80)
    assert cut.endswith("…")
    assert text_width(cut, 14) <= 80


def test_overlay_by_hand():
    image = torch.full((3, 1, 1), 0.4)
    colors = torch.full((3, 1, 1), 200, dtype=torch.uint8)
    assert panels.overlay(image, colors, 0.25).flatten().tolist() == [126] * 3  # 102 + 98 / 4
    assert panels.overlay(image, colors, 0.0).flatten().tolist() == [102] * 3
    assert panels.overlay(image, colors, 1.0).equal(colors)
    with pytest.raises(ValueError, match="`alpha` is 2"):
        panels.overlay(image, colors, 2.0)


def test_stack_and_save(tmp_path):
    a = torch.zeros(3, 10, 20, dtype=torch.uint8)
    b = torch.full((3, 5, 30), 7, dtype=torch.uint8)
    sheet = panels.stack([a, b], gap=2)
    assert sheet.shape == (3, 17, 30)
    assert sheet[:, :10, 20:].min() == 255
    assert sheet[:, 12:].equal(b)
    panels.save(tmp_path / "a.part", sheet)
    with Image.open(tmp_path / "a.part") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), sheet.permute(1, 2, 0).numpy())
    panels.save(tmp_path / "a.jpg", sheet)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "JPEG"
    with pytest.raises(ValueError, match="`panels` is empty"):
        panels.stack([])


def test_point_cloud(tmp_path):
    points = torch.tensor([[1.0, 2.0, 5.0], [-1.0, 4.0, 5.0], [3.0, 6.0, 0.0]]).view(3, 1, 3)
    colors = torch.arange(9, dtype=torch.uint8).view(3, 1, 3)
    number = panels.write_ply(tmp_path / "cloud.ply", points, colors)
    assert number == 2  # the third lies in the camera's plane
    head, body = (tmp_path / "cloud.ply").read_bytes().split(b"end_header\n")
    assert b"element vertex 2" in head
    record = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    cloud = np.frombuffer(body, dtype=record)
    assert cloud["xyz"].tolist() == [[1, 1, -3], [2, -4, -6]]
    assert cloud["rgb"].tolist() == [[0, 3, 6], [1, 4, 7]]


def test_scale_gets_steadily_darker():
    colors = scale_colors(torch.linspace(0, 1, 50).view(1, 50)).float()
    lightness = (colors * torch.tensor([0.3, 0.6, 0.1]).view(3, 1, 1)).sum(0)[0]
    assert (lightness.diff() < 0).all()
    assert scale_colors(torch.tensor([[-3.0, 9.0]])).equal(scale_colors(torch.tensor([[0.0, 1.0]])))


def test_palette_colours_are_far_apart():
    colors = torch.tensor(palette(24)).float()
    distance = torch.cdist(colors, colors) + 1e3 * torch.eye(24)
    assert distance.min() > 40
