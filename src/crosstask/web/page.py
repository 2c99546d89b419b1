"""The components of the web page, and what happens when they are used. Imports gradio."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from jaxtyping import Float, UInt8
from torch import Tensor

from crosstask.media.images import SUFFIXES
from crosstask.predict import views
from crosstask.web import html
from crosstask.web.session import Example, Scene, Studio
from crosstask.web.style import CLICKS

SESSION_SECONDS = 1800


class Page:
    """The components of the page and what happens when they are used.

    Args:
        studio: what predicts.
        folder: for the files of sessions.
        examples: shown as buttons.
    """

    def __init__(self, studio: Studio, folder: Path, examples: Sequence[Example]) -> None:
        self.studio, self.folder, self.examples = studio, folder, examples
        self.model = studio.model
        self.has_depth = views.depth_task(self.model.tasks) is not None

    def build(self) -> gr.Blocks:
        """The gradio Blocks."""
        with gr.Blocks(
            title="crosstask", analytics_enabled=False, delete_cache=(60, SESSION_SECONDS)
        ) as page:
            gr.HTML(html.header(self.model))
            self.scene = gr.State(None, time_to_live=SESSION_SECONDS)
            with gr.Row():
                with gr.Column(scale=1, min_width=260):
                    self._inputs()
                with gr.Column(scale=4, min_width=320):
                    self.reading = gr.HTML()
                    with gr.Tabs() as self.tabs:
                        self._tabs()
            self._events()
            page.unload(self.forget)
        return page

    def _inputs(self) -> None:
        limits = self.studio.limits
        self.upload = gr.File(
            label="Image",
            file_types=list(SUFFIXES),
            height=150,
            elem_id="upload",
        )
        gr.HTML(html.taken(limits))
        self.focal = gr.Number(
            label="Focal length, pixels",
            info="of the uploaded image, for metres; 0 is unknown",
            value=0,
            minimum=0,
            visible=self.has_depth,
            elem_id="focal",
        )
        self.chosen = gr.HTML(html.examples(self.examples), js_on_load=CLICKS, elem_id="examples")
        self.status = gr.HTML(elem_id="status")

    def _tabs(self) -> None:
        with gr.Tab("Images", id="images"):
            self.images = gr.HTML(
                html.message("Drop an image, or take a rendered street."),
                js_on_load=CLICKS,
                elem_id="images",
            )
        with gr.Tab("Attention", id="attention"):
            self.level = gr.Radio([], label="Exchange at stride", visible=False)
            self.attention = gr.HTML(js_on_load=CLICKS, elem_id="attention")
        with gr.Tab("3-D", id="space") as self.space:
            with gr.Row(visible=self.has_depth):
                colors = ["image", *(task.name for task in self.model.tasks)]
                self.color = gr.Radio(colors, value="image", label="Colour", elem_id="color")
                self.share = gr.Slider(
                    50, 100, 95, step=1, label="Nearest points, %", elem_id="share"
                )
            self.cloud_note = gr.HTML(elem_id="cloud-note")
            self.plot = gr.Plot(show_label=False, elem_id="plot", visible=self.has_depth)
            self.download = gr.DownloadButton(
                "Download .ply", elem_id="download", visible=self.has_depth
            )

    def _events(self) -> None:
        views = [self.scene, self.status, self.images, self.reading, self.attention, self.level]
        views += [self.tabs, self.upload]
        model: dict[str, Any] = {
            "concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private",
        }  # fmt: skip
        quiet: dict[str, Any] = {**model, "show_progress": "hidden"}
        self.upload.upload(self.take_upload, [self.upload, self.focal], views, **model)
        self.chosen.click(self.take_example, None, views, **model)
        pixel = [self.scene, self.reading, self.attention]
        self.images.click(self.take_click, self.scene, pixel, **quiet)
        self.attention.click(self.take_click, self.scene, pixel, **quiet)
        self.level.input(self.take_level, [self.scene, self.level], pixel, **quiet)
        space = [self.cloud_note, self.plot, self.download]
        given = [self.scene, self.color, self.share]
        self.space.select(self.show_cloud, given, space, **model)
        self.color.input(self.show_cloud, given, space, **model)
        self.share.release(self.show_cloud, given, space, **model)

    def take_upload(self, path: str | None, fx: float | None) -> list[Any]:
        """Reads the upload, deletes it and shows it; a bad file gives a message."""
        sweep(self.folder, SESSION_SECONDS)
        if path is None:
            return self._unchanged("")
        try:
            image = self.studio.open(path)
            return self._show(self.studio.look(image, fx or None))
        except ValueError as error:
            return self._unchanged(str(error))

    def take_example(self, event: gr.EventData) -> list[Any]:
        """Shows the rendered street that was clicked."""
        number = int(event.example)
        if not 0 <= number < len(self.examples):
            return self._unchanged("there is no such example")
        example = self.examples[number]
        try:
            return self._show(self.studio.look(example.image, example.fx))
        except ValueError as error:
            return self._unchanged(str(error))

    def _show(self, scene: Scene) -> list[Any]:
        levels = scene.attention.levels
        scene.level = levels[0] if levels else None
        choices = [(str(2**level), level) for level in levels]
        return [
            scene,
            html.summary(scene, self.model),
            html.images(scene, self.model),
            html.reading(scene, self.model),
            html.attention(scene, self.model),
            gr.update(choices=choices, value=scene.level, visible=len(levels) > 1),
            gr.update(selected="images"),
            None,
        ]

    def _unchanged(self, error: str) -> list[Any]:
        """The message; everything else stays, and the drop zone is free again."""
        skip = gr.skip()
        return [skip, html.message(error, error=True), *[skip] * 5, None]

    def take_click(self, scene: Scene | None, event: gr.EventData) -> list[Any]:
        """Reads the clicked pixel, and the attention there."""
        if scene is None:
            return self._forgotten()
        height, width = scene.size
        row, column = int(event.row), int(event.column)
        pixel = max(0, min(height - 1, row)), max(0, min(width - 1, column))
        return self._pixel(replace(scene, pixel=pixel))

    def take_level(self, scene: Scene | None, level: int) -> list[Any]:
        """Shows the attention of another exchange."""
        if scene is None:
            return self._forgotten()
        return self._pixel(replace(scene, level=level))

    def _forgotten(self) -> list[Any]:
        text = "This image was forgotten, after half an hour or for other visitors; take it again."
        return [gr.skip(), html.message(text, error=True), gr.skip()]

    def _pixel(self, scene: Scene) -> list[Any]:
        return [
            scene,
            html.reading(scene, self.model),
            html.attention(scene, self.model),
        ]

    def show_cloud(
        self, scene: Scene | None, color: str, share: float, request: gr.Request
    ) -> list[Any]:
        """The scene in space, and its file."""
        if not self.has_depth or scene is None:
            text = "Take an image first." if self.has_depth else "This model predicts no depth."
            return [html.message(text), gr.skip(), gr.skip()]
        cloud = views.point_cloud(scene.prediction, self.model.tasks, color)
        cloud = views.nearest(cloud, share / 100)
        points, colors = views.sample(cloud, self.studio.limits.points)
        path = self.session_folder(request) / f"scene_{color}.ply"
        number = views.save_cloud(str(path), cloud)
        note = html.cloud_note(scene, self.model, number, len(points))
        return [note, figure_of(points, colors), gr.update(value=str(path))]

    def session_folder(self, request: gr.Request) -> Path:
        """The visitor's own folder, whose name cannot be guessed from outside."""
        name = hashlib.sha256(str(request.session_hash).encode()).hexdigest()[:32]
        folder = self.folder / "sessions" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget(self, request: gr.Request) -> None:
        """Deletes a visitor's files when the page is closed."""
        shutil.rmtree(self.session_folder(request), ignore_errors=True)


def sweep(folder: Path, seconds: float) -> None:
    """Deletes files that broken uploads and lost sessions left behind, and empty folders, older than `seconds`."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside comes first
        with contextlib.suppress(
            OSError
        ):  # another visitor's thread was faster; a folder with files
            if time.time() - path.stat().st_mtime > seconds:
                path.rmdir() if path.is_dir() else path.unlink()


def figure_of(points: Float[Tensor, "n 3"], colors: UInt8[Tensor, "n 3"]) -> go.Figure:
    """A plotly figure that can be turned; its axes are x right, y into the scene, z up."""
    x, y, z = points.numpy().T
    marks = {"size": 2.5, "color": [f"rgb({r},{g},{b})" for r, g, b in colors.tolist()]}
    figure = go.Figure(go.Scatter3d(x=x, y=-z, z=y, mode="markers", marker=marks, hoverinfo="skip"))
    hidden = {"visible": False}
    figure.update_layout(
        height=520,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        template="plotly_white",
        scene={
            "aspectmode": "data", "dragmode": "turntable", "xaxis": hidden, "yaxis": hidden, "zaxis": hidden,
            "camera": {"eye": {"x": 0.0, "y": -1.7, "z": 0.5}, "up": {"x": 0, "y": 0, "z": 1},
                       "center": {"x": 0, "y": 0, "z": -0.12}},
        },
    )  # fmt: skip
    return figure
