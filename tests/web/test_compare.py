"""Two models beside each other: their colours, legends, pixels and ways of reading an image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from crosstask.drawing.legends import legend
from crosstask.media.video import write_video
from crosstask.predict.model import SceneModel
from crosstask.predict.prediction import Prediction
from crosstask.predict.views import task_legend
from crosstask.tasks import Depth
from crosstask.web import album, html
from crosstask.web.album import Album, Camera, Item
from crosstask.web.session import Limits, Scene, Studio
from fakes.served import tiny_model

DEPTH = Depth()
WIDTH, TEXT = 720, 27  # of the page's legends


@pytest.fixture(scope="module")
def studios() -> list[Studio]:
    model = tiny_model("multi_task", (DEPTH,))
    return [Studio(model, name=name) for name in ("first", "second")]


def scene(depth: Tensor, kind: str) -> Scene:
    height, width = depth.shape[-2:]
    image = torch.zeros(3, height, width)
    prediction = Prediction(image, {"depth": depth}, None, {"depth": kind})
    return Scene(prediction, None, "", (height // 2, width // 2), 0.0)


def ramp(low: float, high: float, size: tuple[int, int] = (8, 50)) -> Tensor:
    return torch.linspace(low, high, size[0] * size[1]).view(1, *size)


def uri(drawn: Tensor) -> str:
    return html.data_uri(drawn, 1024, False)


def test_the_legend_of_two_maps_is_that_of_their_common_scale(studios: list[Studio]) -> None:
    near, far = ramp(1, 3), ramp(20, 90)
    album = Album((Item("x", (scene(near, "metric"), scene(far, "metric"))),))
    shown = html.compare(album, studios)
    joined = torch.cat([near.flatten(), far.flatten()])
    common = DEPTH.color_scale(joined)
    assert all(uri(DEPTH.colorize(map_, **common)) in shown for map_ in (near, far))
    key = html.data_uri(legend(DEPTH, [joined], WIDTH, TEXT, "metric"), WIDTH, False)
    assert key in shown and shown.count('class="ct-legend"') == 1


def test_metres_and_depth_up_to_scale_have_a_scale_and_a_legend_each(
    studios: list[Studio],
) -> None:
    metres, other = scene(ramp(5, 60), "metric"), scene(ramp(0.2, 0.9), "up to scale")
    shown = html.compare(Album((Item("x", (metres, other)),)), studios)
    for name, one in zip("AB", (metres, other), strict=True):
        value = one.prediction["depth"]
        assert uri(DEPTH.colorize(value, **DEPTH.color_scale(value))) in shown
        key = html.data_uri(task_legend(one.prediction, DEPTH, WIDTH, TEXT), WIDTH, False)
        assert f'alt="legend of {name}" src="{key}"' in shown
    assert shown.count('class="ct-legend"') == 2


class OneCamera(SceneModel):
    """As exported with a focal length of its own."""

    @property
    def own_focal(self) -> float:
        return 70.0


def pair(second: SceneModel) -> list[Studio]:
    """A model that shrinks images to 5000 pixels, and another."""
    limits = Limits(shown_pixels=5000, frames=2)
    first = tiny_model("multi_task", (DEPTH,))
    return [Studio(first, limits, name="first"), Studio(second, limits, name="second")]


def one_camera() -> SceneModel:
    model = tiny_model("multi_task", (DEPTH,))
    return OneCamera(model.network, model.tasks, model.description)


def ranged(text: str) -> SceneModel:
    model = tiny_model("multi_task", (DEPTH,))
    return SceneModel(model.network, model.tasks, {**model.description, "value_range": text})


def test_each_model_reads_an_image_by_its_own_range(tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    Image.fromarray(np.full((40, 60), 4095, np.uint16)).save(file)
    (taken,), wrong = album.read(pair(ranged("0..4095")), [file])
    assert not wrong and not file.exists()
    dark, white = (float(image.pixels.mean()) for image in taken.images)
    assert dark == pytest.approx(4095 / 65535) and white == pytest.approx(1)


def test_a_file_that_only_one_model_can_read_names_the_other(tmp_path: Path) -> None:
    file = tmp_path / "bytes.png"
    Image.new("RGB", (60, 40)).save(file)
    found, wrong = album.read(pair(ranged("0..4095")), [file])
    assert not found and not file.exists()
    assert "bytes.png" in wrong[0] and wrong[0].endswith("(for the model second)")
    assert str(tmp_path) not in wrong[0]


def test_models_that_read_alike_share_what_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (60, 40)).save(file)
    (taken,), _ = album.read(pair(tiny_model("multi_task", (DEPTH,))), [file])
    assert taken.images[0] is taken.images[1]


def test_a_model_of_one_camera_beside_another_sees_images_and_frames_whole(tmp_path: Path) -> None:
    image, clip = tmp_path / "a.png", tmp_path / "clip.mp4"
    Image.new("RGB", (200, 100)).save(image)
    write_video(clip, [torch.zeros(3, 128, 256, dtype=torch.uint8)] * 2)
    studios = pair(one_camera())
    studios[0].limits = studios[1].limits = Limits(
        shown_pixels=5000, frames=2, together_pixels=20_000
    )
    taken, wrong = album.read(studios, [image, clip])
    assert not wrong and [(one.name, one.frame) for one in taken] == [
        ("a", None), ("clip frame 0", 0), ("clip frame 1", 1),
    ]  # fmt: skip
    shapes = [tuple(image.pixels.shape[1:]) for one in taken for image in one.images]
    assert shapes[:2] == [(50, 100), (100, 200)] and shapes[3] == shapes[5] == (128, 256)
    assert shapes[2] == shapes[4] == (70, 141)  # of 10 000 pixels
    assert all(image.size == one.images[0].size for one in taken for image in one.images)
    assert not list(tmp_path.iterdir())


def test_a_clicked_place_is_the_same_in_images_of_two_sizes(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (200, 100)).save(file)
    studios = pair(one_camera())
    taken, _ = album.read(studios, [file])
    found, _ = album.predict(studios, taken, Camera())
    assert [one.size for one in found.item.scenes] == [(50, 100), (100, 200)]
    large = found.show(studios, 0, 1)
    assert large.item.scenes[0].pixel == (25, 50)  # looking at another model moves nothing
    pytest.importorskip("gradio", reason="the web page needs gradio")
    pytest.importorskip("plotly", reason="the web page needs plotly")
    import gradio

    from crosstask.web.page import Page

    page = Page(studios, tmp_path, [])
    for one, (row, column), other in (
        (large, (99, 199), (49, 99)),
        (large, (0, 101), (0, 50)),
        (found, (49, 0), (99, 1)),
    ):
        data = {"row": row, "column": column}
        clicked, reading, _ = page.take_click(one, gradio.EventData(None, data))
        pixels = [one.pixel for one in clicked.item.scenes]
        assert pixels == ([other, (row, column)] if one is large else [(row, column), other])
        assert reading.count("<dl") == 2
