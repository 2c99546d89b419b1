"""Views of a prediction and of the attention behind it, against values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crosstask.models import create_model
from crosstask.predict import attention, views
from crosstask.predict.attention import AttentionReader, heat_image, spread
from crosstask.predict.prediction import Prediction
from crosstask.tasks import ClassTable, HumanParts, Saliency, Segmentation
from crosstask.tasks.normals import describe_normal
from fakes.scenes import scene_tasks

TASKS = scene_tasks()
# Two rows, three columns; focal length 2, principal point in column 1, between the rows.
CAMERA = torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]])


def prediction(camera: Tensor | None = CAMERA) -> Prediction:
    up = torch.tensor([0.0, -1.0, 0.0]).view(3, 1, 1).expand(3, 2, 3)
    values = {
        "segmentation": torch.tensor([[0, 1, 1], [2, 0, 0]]),
        "depth": torch.tensor([[[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]]),
        "normals": up,
        "edges": torch.full((1, 2, 3), 0.25),
    }
    kind = "up to scale" if camera is None else "metric"
    return Prediction(torch.full((3, 2, 3), 0.2), values, camera, {"depth": kind})


def test_a_pixel_in_words() -> None:
    found = views.read_pixel(prediction(), TASKS, row=0, column=2)
    assert [(r.task, r.text) for r in found] == [
        ("segmentation", "wall"),
        ("depth", "4.00 m"),
        ("normals", "faces up (x +0.00, y -1.00, z +0.00)"),
        ("edges", "probability 0.25"),
    ]
    unknown = views.read_pixel(prediction(camera=None), TASKS, row=1, column=0)
    assert unknown[0].text == "box" and unknown[1].text == "8.00 (up to scale)"


def test_any_set_of_tasks() -> None:
    second = Segmentation(ClassTable(("calm", "wild_water")), name="state")
    tasks = (HumanParts(), Saliency(), second)
    values = {
        "human_parts": torch.full((2, 3), 3),
        "saliency": torch.full((1, 2, 3), 0.5),
        "state": torch.ones(2, 3, dtype=torch.int64),
    }
    made = Prediction(torch.zeros(3, 2, 3), values, None)
    texts = [r.text for r in views.read_pixel(made, tasks, 0, 0)]
    assert texts == ["upper arm", "probability 0.50", "wild water"]
    assert views.class_names(made, tasks[0]) == ["upper_arm"]
    assert tuple(views.task_image(made, tasks[0])[:, 0, 0].tolist()) == (255, 224, 102)
    assert views.task_legend(made, tasks[2], 200, 12).width == 200
    with pytest.raises(ValueError, match="expected one of depth"):
        views.point_cloud(made, tasks)


@pytest.mark.parametrize("pixel", [(-1, 0), (2, 0), (0, 3)])
def test_a_pixel_outside_is_refused(pixel: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1, 0 to 2"):
        views.read_pixel(prediction(), TASKS, *pixel)


@pytest.mark.parametrize(
    ("normal", "words"),
    [
        ((0.0, 0.0, -1.0), "faces towards the camera (x +0.00, y +0.00, z -1.00)"),
        ((-0.6, 0.0, -0.8), "faces towards the camera and left (x -0.60, y +0.00, z -0.80)"),
        ((0.8, 0.6, 0.0), "faces right and down (x +0.80, y +0.60, z +0.00)"),
        ((0.0, 0.0, 0.0), "no direction"),
    ],
)
def test_normals_in_words(normal: tuple[float, float, float], words: str) -> None:
    # a zero of either sign is a zero: + 0.0 turns -0.0 into 0.0
    assert describe_normal(torch.tensor(normal) + 0.0) == words


def test_points_lie_where_the_camera_puts_them() -> None:
    cloud = views.point_cloud(prediction(), TASKS, "segmentation")
    # column 2, row 0, 4 m away: x = (2 - 1) / 2 * 4, y = (0 - 0.5) / 2 * 4
    assert cloud.points[:, 0, 2].tolist() == [2.0, -1.0, 4.0]
    assert cloud.colors[:, 1, 0].tolist() == [200, 40, 40]  # the box's colour
    assert views.point_cloud(prediction(), TASKS).colors[0, 0, 0] == 51  # 0.2 * 255
    with pytest.raises(ValueError, match="`color` is 'flow'"):
        views.point_cloud(prediction(), TASKS, "flow")


def test_an_unknown_camera_sees_sixty_degrees() -> None:
    camera = views.camera_of(prediction(camera=None))
    # half of three pixels over the tangent of 30 degrees
    assert camera[0, 0].item() == pytest.approx(2.598076, abs=1e-5)
    assert camera[:2, 2].tolist() == [1.0, 0.5]


def test_the_file_holds_the_points_upright(tmp_path: Path) -> None:
    cloud = views.nearest(views.point_cloud(prediction(), TASKS), 0.5)
    assert views.save_cloud(str(tmp_path / "scene.ply"), cloud) == 3  # 1, 2 and 4 m
    content = (tmp_path / "scene.ply").read_bytes()
    body = content[content.index(b"end_header\n") + 11 :]
    points = np.frombuffer(body, dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])
    assert points["xyz"][2].tolist() == [2.0, 1.0, -4.0] and points["rgb"][2].tolist() == [51] * 3


def test_a_sample_of_the_points() -> None:
    # six points, two wanted: every second row and column
    points, colors = views.sample(views.point_cloud(prediction(), TASKS), 2)
    assert points[1].tolist() == [2.0, 1.0, -4.0] and points.shape == colors.shape == (2, 3)
    with pytest.raises(ValueError, match="`share` is 0"):
        views.nearest(views.point_cloud(prediction(), TASKS), 0.0)


def test_large_images_shrink_and_small_ones_stay() -> None:
    image = torch.rand(3, 40, 90)
    assert views.shrink(image, 3600) is image
    assert views.shrink(image, 900).shape == (3, 20, 45)


def test_a_cell_covers_its_pixels() -> None:
    # two cells of two positions each, at stride 2: four pixels a cell, the last cut by the image
    heat = spread(torch.tensor([[0.25, 0.75]]), (2, 4), level=1, size=(3, 7))
    assert heat.tolist() == [[0.25] * 4 + [0.75] * 3] * 3
    # five positions in three cells: cells of two, of which the last has one
    assert spread(torch.tensor([[1.0, 2.0, 3.0]]), (1, 5), 0, (1, 5)).tolist() == [[1, 1, 2, 2, 3]]


def test_colours_of_the_heat() -> None:
    image = heat_image(torch.ones(3, 1, 2), torch.tensor([[0.02, 0.0]]))
    # 0.8 * 255 of the image's grey, mixed with three quarters of the brightest, one of the darkest
    assert image[:, 0, 0].tolist()[::2] == [51 + 189, 51 + 138]
    assert image[0, 0, 1] == 153 + 4
    assert heat_image(torch.ones(3, 1, 2), torch.zeros(1, 2))[0, 0, 0] == 153 + 4


def network(name: str, **options: object) -> nn.Module:
    made = create_model(
        name, TASKS, encoder="test_resnet", pretrained=False, width=0.125, **options
    )
    return made.eval()


def test_attention_is_what_the_network_says() -> None:
    made, image = network("densemtl"), torch.rand(3, 64, 96)
    reader = AttentionReader(made, image)
    maps = reader.read(40, 70)
    assert reader.levels == (1,)
    assert [(m.target, m.source) for m in maps][:3] == [
        ("segmentation", "depth"), ("segmentation", "normals"), ("segmentation", "edges"),
    ]  # fmt: skip
    assert len(maps) == 12
    expected = made.attention(image[None], "depth", "edges", (40, 70))[0]  # type: ignore[operator]
    found = next(m for m in maps if (m.target, m.source) == ("depth", "edges"))
    assert found.weights is not None and torch.allclose(found.weights, expected, atol=1e-6)
    assert found.share == pytest.approx(1, abs=1e-5)
    assert found.alpha == 0.0  # an untrained network does not use what it reads


def test_an_even_attention_is_spread_over_every_cell() -> None:
    made = network("densemtl")
    query = made.exchanges["1"].direction("edges", "depth").correlation.query  # type: ignore
    nn.init.zeros_(query[0].weight)
    found = AttentionReader(made, torch.rand(3, 64, 64)).read(0, 0)
    even = next(m for m in found if (m.target, m.source) == ("depth", "edges"))
    assert even.weights is not None and even.heat is not None
    assert even.weights.shape == (8, 8)  # stride 2, cells of 4 positions
    assert torch.allclose(even.heat, torch.full((64, 64), 1 / 64))
    assert even.cells_of_half == (32, 64)


@pytest.mark.parametrize("name", ["window", "n_to_one", "densemtl_linear", "sca_mtl", "atrc"])
def test_other_kinds_of_attention(name: str) -> None:
    reader = AttentionReader(network(name), torch.rand(3, 48, 80))
    assert reader.levels
    for level in reader.levels:
        maps = reader.read(47, 79, level)
        assert len(maps) == 12
        for found in maps:
            if found.heat is None:
                assert name == "atrc" and "no attention over positions" in found.reason
            else:
                assert found.heat.shape == (48, 80) and 0 < found.share < 1.0001
    if name == "n_to_one":  # the sources of one target share one softmax
        assert sum(m.share for m in maps if m.target == "depth") == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("multi_task", "no exchange between tasks"),
        ("padnet", "no attention over positions"),
    ],
)
def test_networks_without_attention_say_so(name: str, reason: str) -> None:
    made = network(name)
    assert AttentionReader(made, torch.rand(3, 64, 64)).levels == ()
    assert reason in attention.why_no_attention(made)
    with pytest.raises(ValueError, match="`level` is 1"):
        AttentionReader(made, torch.rand(3, 64, 64)).read(0, 0, 1)


def test_channel_attention_has_no_places() -> None:
    maps = AttentionReader(network("densemtl", correlation="channel"), torch.rand(3, 64, 64)).read(
        0, 0
    )
    assert maps[0].weights is None and "channel" in maps[0].reason and maps[0].share == 0
