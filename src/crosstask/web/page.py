"""The components of the web page, and what happens when they are used. Imports gradio."""

import contextlib
import hashlib
import math
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
from crosstask.media.video import VIDEO_SUFFIXES
from crosstask.predict import views
from crosstask.web import album, html, results
from crosstask.web.album import Album, Taken
from crosstask.web.session import Example, Studio
from crosstask.web.style import CLICKS

SESSION_SECONDS = 1800
FORGOTTEN = "This image was forgotten, after half an hour or for other visitors; take it again."
FULL = "Too many results wait here to be downloaded; try again in a few minutes."
SAVE = "() => { const to = document.querySelector('#archive'); (to.closest('a') || to.querySelector('a') || to).click(); }"


class Page:
    """The components of the page and what happens when they are used.

    Args:
        studios: what predicts: one model, or two that are compared.
        folder: for the files of sessions.
        examples: shown as buttons.
    """

    def __init__(
        self, studios: Sequence[Studio], folder: Path, examples: Sequence[Example]
    ) -> None:
        self.studios, self.folder, self.examples = tuple(studios), folder, examples
        self.limits = self.studios[0].limits
        depths = [views.depth_task(studio.model.tasks) for studio in self.studios]
        self.has_depth = any(task is not None for task in depths)

    def build(self) -> gr.Blocks:
        """The gradio Blocks."""
        with gr.Blocks(
            title="crosstask", analytics_enabled=False, delete_cache=(60, SESSION_SECONDS)
        ) as page:
            gr.HTML(html.header({f"{k} {s.name}": s.model for k, s in self._lettered()}))
            self.album = gr.State(None, time_to_live=SESSION_SECONDS)
            with gr.Row():
                with gr.Column(scale=1, min_width=260):
                    self._inputs()
                with gr.Column(scale=4, min_width=320):
                    self.strip = gr.HTML(js_on_load=CLICKS, elem_id="strip")
                    with gr.Row(visible=len(self.studios) > 1):
                        names = [(f"{k} {s.name}", n) for n, (k, s) in enumerate(self._lettered())]
                        self.which = gr.Radio(names, value=0, label="Model shown", elem_id="which")
                    self.reading = gr.HTML()
                    with gr.Tabs() as self.tabs:
                        self._tabs()
            self._events()
            page.unload(self.forget)
        return page

    def _lettered(self) -> list[tuple[str, Studio]]:
        return list(zip("AB", self.studios, strict=False))

    def _inputs(self) -> None:
        self.upload = gr.File(
            label="Images, or a short video",
            file_types=[*SUFFIXES, *VIDEO_SUFFIXES],
            file_count="multiple",
            height=150,
            elem_id="upload",
        )
        gr.HTML(html.taken(self.limits))
        shown: dict[str, Any] = {"value": 0, "minimum": 0, "visible": self.has_depth}
        self.focal = gr.Number(
            label="Focal length, pixels", elem_id="focal", **shown,
            info="of the uploaded images, for metres; 0 is unknown, then EXIF data count",
        )  # fmt: skip
        self.fov = gr.Number(
            label="or field of view, degrees across", elem_id="fov", **shown,
            info="in place of it: 50 to 80 for most telephones; 0 is unknown",
        )  # fmt: skip
        self.height = gr.Number(
            label="Camera height, metres", elem_id="camera-height", **shown,
            info="above the ground in front of it; sets the scale of depth, needs one of the two above",
        )  # fmt: skip
        self.chosen = gr.HTML(html.examples(self.examples), js_on_load=CLICKS, elem_id="examples")
        self.status = gr.HTML(elem_id="status")
        self.collect = gr.Button("All results as one archive", elem_id="collect", size="sm")
        self.archive = gr.DownloadButton("archive", elem_id="archive", elem_classes="ct-away")
        self.archived = gr.HTML(elem_id="archived")

    def _tabs(self) -> None:
        with gr.Tab("Compare", id="compare", visible=len(self.studios) > 1):
            self.compared = gr.HTML(js_on_load=CLICKS, elem_id="compare")
        with gr.Tab("Images", id="images"):
            self.images = gr.HTML(
                html.message("Drop images or a short video, or take a rendered street."),
                js_on_load=CLICKS,
                elem_id="images",
            )
        with gr.Tab("Attention", id="attention"):
            self.level = gr.Radio([], label="Exchange at stride", visible=False)
            self.attention = gr.HTML(js_on_load=CLICKS, elem_id="attention")
        with gr.Tab("3-D", id="space") as self.space:
            with gr.Row(visible=self.has_depth):
                tasks = [task.name for studio in self.studios for task in studio.model.tasks]
                colors = ["image", *dict.fromkeys(tasks)]
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
        shown = [self.album, self.status, self.strip, self.images, self.reading, self.attention]
        shown += [self.level, self.compared]
        taken = [*shown, self.tabs, self.upload, self.which, self.archived]
        model: dict[str, Any] = {
            "concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private",
        }  # fmt: skip
        quiet: dict[str, Any] = {**model, "show_progress": "hidden"}
        camera = [self.focal, self.fov, self.height]
        self.upload.upload(self.take_upload, [self.upload, *camera], taken, **model)
        self.chosen.click(self.take_example, [self.height], taken, **model)
        self.strip.click(self.take_item, self.album, shown, **model)
        self.which.input(self.take_model, [self.album, self.which], shown, **model)
        pixel = [self.album, self.reading, self.attention]
        for place in (self.images, self.attention, self.compared):
            place.click(self.take_click, self.album, pixel, **quiet)
        self.level.input(self.take_level, [self.album, self.level], pixel, **quiet)
        space = [self.cloud_note, self.plot, self.download]
        given = [self.album, self.color, self.share]
        self.space.select(self.show_cloud, given, space, **model)
        self.color.input(self.show_cloud, given, space, **model)
        self.share.release(self.show_cloud, given, space, **model)
        made = self.collect.click(
            self.take_archive, self.album, [self.archived, self.archive], **model
        )
        made.success(None, js=SAVE)

    def take_upload(
        self,
        paths: list[str] | None,
        fx: float | None,
        fov: float | None,
        height: float | None,
        request: gr.Request | None = None,
    ) -> list[Any]:
        """Reads uploads, deletes them and shows them; bad files give a message each."""
        sweep(self.folder, SESSION_SECONDS)
        if not paths:
            return self._unchanged("")
        end = time.monotonic() + self.limits.job_seconds
        images, wrong = album.read(self.studios, [Path(path) for path in paths], end)
        camera = album.Camera(fx or None, fov or None, height or None)
        return self._take(images, camera, wrong, end)

    def take_example(self, height: float | None, event: gr.EventData) -> list[Any]:
        """Shows the rendered street that was clicked."""
        number = int(event.example)
        if not 0 <= number < len(self.examples):
            return self._unchanged("there is no such example")
        example = self.examples[number]
        camera = album.Camera(example.fx, None, height or None)
        images = (example.stored,) * len(self.studios)
        return self._take([Taken(example.name, None, images)], camera, [])

    def _take(
        self, images: list[Taken], camera: album.Camera, wrong: list[str], end: float = math.inf
    ) -> list[Any]:
        if not images:
            return self._unchanged("; ".join(wrong))
        try:
            found, told = album.predict(self.studios, images, camera, end)
        except ValueError as error:
            return self._unchanged("; ".join([*wrong, str(error)]))
        first = "compare" if len(self.studios) > 1 else "images"
        shown = self._show(found, [*wrong, *told])
        return [*shown, gr.update(selected=first), None, gr.update(value=0), ""]

    def _show(self, found: Album, wrong: Sequence[str] = ()) -> list[Any]:
        """The chosen item and model."""
        scene, model = found.scene, self.studios[found.model].model
        levels = scene.attention.levels if scene.attention else ()
        choices = [(str(2**level), level) for level in levels]
        told = "".join(html.message(text, error=True) for text in wrong)
        return [
            found,
            html.summary(scene, model) + told,
            html.strip(found),
            html.images(scene, model),
            self._read(found),
            html.attention(scene, model),
            gr.update(choices=choices, value=scene.level, visible=len(levels) > 1),
            html.compare(found, self.studios),
        ]

    def _unchanged(self, error: str) -> list[Any]:
        """The message; everything else stays, and the drop zone is free again."""
        skip = gr.skip()
        return [skip, html.message(error, error=True), *[skip] * 7, None, skip, skip]

    def _read(self, found: Album) -> str:
        """The pixel as every model reads it."""
        if len(self.studios) == 1:
            return html.reading(found.scene, self.studios[0].model)
        return "".join(
            html.reading(scene, studio.model, letter)
            for (letter, studio), scene in zip(self._lettered(), found.item.scenes, strict=True)
        )

    def take_item(self, found: Album | None, event: gr.EventData) -> list[Any]:
        """Shows another image of the same upload."""
        number = int(event.item)
        if found is None or not 0 <= number < len(found.items):
            return self._lost()
        return self._switch(found, number, found.model)

    def take_model(self, found: Album | None, model: int) -> list[Any]:
        """Shows the other model's results."""
        if found is None or model not in range(len(self.studios)):
            return self._lost()
        return self._switch(found, found.chosen, model)

    def _switch(self, found: Album, item: int, model: int) -> list[Any]:
        try:
            return self._show(found.show(self.studios, item, model))
        except ValueError as error:
            return [gr.skip(), html.message(str(error), error=True), *[gr.skip()] * 6]

    def _lost(self) -> list[Any]:
        return [gr.skip(), html.message(FORGOTTEN, error=True), *[gr.skip()] * 6]

    def take_click(self, found: Album | None, event: gr.EventData) -> list[Any]:
        """Reads the clicked pixel, and the attention there."""
        if found is None:
            return self._forgotten()
        height, width = found.scene.size
        row, column = int(event.row), int(event.column)
        pixel = max(0, min(height - 1, row)), max(0, min(width - 1, column))
        return self._pixel(found.change(replace(found.scene, pixel=pixel)))

    def take_level(self, found: Album | None, level: int) -> list[Any]:
        """Shows the attention of another exchange."""
        if found is None:
            return self._forgotten()
        return self._pixel(found.change(replace(found.scene, level=level)))

    def _forgotten(self) -> list[Any]:
        return [gr.skip(), html.message(FORGOTTEN, error=True), gr.skip()]

    def _pixel(self, found: Album) -> list[Any]:
        model = self.studios[found.model].model
        return [found, self._read(found), html.attention(found.scene, model)]

    def show_cloud(
        self, found: Album | None, color: str, share: float, request: gr.Request
    ) -> list[Any]:
        """The scene in space, and its file."""
        model = self.studios[0 if found is None else found.model].model
        if found is None or views.depth_task(model.tasks) is None:
            text = "Take an image first." if self.has_depth else "This model predicts no depth."
            return [html.message(text), gr.skip(), gr.skip()]
        scene = found.scene
        color = color if any(task.name == color for task in model.tasks) else "image"
        cloud = views.point_cloud(scene.prediction, model.tasks, color)
        cloud = views.nearest(cloud, share / 100)
        points, colors = views.sample(cloud, self.limits.points)
        if self._full():
            return [html.message(FULL, error=True), figure_of(points, colors), gr.skip()]
        path = self.session_folder(request) / f"scene_{color}.ply"
        number = views.save_cloud(str(path), cloud)
        note = html.cloud_note(scene, model, number, len(points))
        return [note, figure_of(points, colors), gr.update(value=str(path))]

    def take_archive(self, found: Album | None, request: gr.Request) -> list[Any]:
        """All results of all images as one file."""
        if found is None:
            return [html.message("Take an image first.", error=True), None]
        if self._full():
            return [html.message(FULL, error=True), None]
        path = self.session_folder(request) / results.NAME
        told = results.write_archive(path, found, self.studios)
        return [html.message(f"{results.NAME}: {told}"), str(path)]

    def _full(self) -> bool:
        """Whether what all visitors keep here has reached the limit."""
        sweep(self.folder, SESSION_SECONDS)
        kept = 0
        for path in (self.folder / "sessions").rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # its visitor has just left
                kept += path.stat().st_size
        return kept > (self.limits.kept_mb - self.limits.archive_mb) * 2**20

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
