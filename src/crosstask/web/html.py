"""The HTML of the web page: every image is inside the text, nothing lies in a file."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Num
from PIL import Image
from torch import Tensor

from crosstask.drawing.legends import legend, to_image
from crosstask.predict.attention import AttentionMap, heat_image, why_no_attention
from crosstask.predict.model import SceneModel
from crosstask.predict.prediction import Prediction
from crosstask.predict.views import (
    ASSUMED_FIELD_OF_VIEW,
    class_names,
    depth_task,
    read_pixel,
    task_image,
    task_legend,
)
from crosstask.tasks import Task
from crosstask.web.album import Album
from crosstask.web.session import Example, Limits, Scene, Studio

_LEGEND_WIDTH, _LEGEND_TEXT = 720, 27  # pixels, shown at half the size: sharp on fine screens
_WIDEST, _THUMB = 1024, 360


def title(text: str) -> str:
    """A task's name for people, safe inside HTML."""
    return html.escape(text.replace("_", " "))


def data_uri(drawn: Num[Tensor, "3 h w"] | Image.Image, widest: int, photo: bool) -> str:
    """An image inside an address: JPEG for photographs, PNG for maps, shrunk to `widest`."""
    image = drawn if isinstance(drawn, Image.Image) else to_image(_bytes(drawn))
    if image.width > widest:
        size = (widest, max(1, round(image.height * widest / image.width)))
        image = image.resize(size, Image.Resampling.LANCZOS if photo else Image.Resampling.BOX)
    data = io.BytesIO()
    image.save(data, format="JPEG" if photo else "PNG", **({"quality": 88} if photo else {}))
    kind = "jpeg" if photo else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def _bytes(image: Num[Tensor, "3 h w"]) -> Tensor:
    if image.dtype == torch.uint8:
        return image
    return (image.float().clamp(0, 1) * 255).round().to(torch.uint8)


def header(models: Mapping[str, SceneModel]) -> str:
    """What is served: of each model architecture, tasks, training size."""
    lines = [f"<p>{_facts(name if len(models) > 1 else '', m)}</p>" for name, m in models.items()]
    return f'<div class="ct-head"><h1>crosstask</h1>{"".join(lines)}</div>'


def _facts(name: str, model: SceneModel) -> str:
    spec = model.description.get("model", {})
    size = model.description.get("size")
    facts = [
        f"architecture <b>{html.escape(str(spec.get('architecture', 'unknown')))}</b>",
        f"encoder {html.escape(str(spec.get('encoder') or 'its own'))}",
        f"tasks {', '.join(title(t.name) for t in model.tasks)}",
    ]
    if size:
        facts.append(f"trained at {size[0]}x{size[1]} (height x width)")
    return " · ".join([f"<b>{html.escape(name)}</b>", *facts] if name else facts)


def examples(images: Sequence[Example]) -> str:
    """Buttons with the rendered streets."""
    buttons = "".join(
        f'<button type="button" class="ct-example" data-example="{k}" title="{title(e.name)}">'
        f'<img alt="{title(e.name)}" src="{data_uri(e.image, 200, True)}"></button>'
        for k, e in enumerate(images)
    )
    return (
        f'<p class="ct-soft">or try a rendered street</p><div class="ct-examples">{buttons}</div>'
    )


def taken(limits: Limits) -> str:
    """What may be uploaded."""
    return (
        f'<p class="ct-soft">up to {limits.images} files of {limits.upload_mb:g} MB and {limits.megapixels:g} '
        f"megapixels, videos up to {limits.video_seconds:g} s; deleted as soon as they are read</p>"
    )


def message(text: str, error: bool = False) -> str:
    """One line for the visitor."""
    kind, role = ("ct-error", "alert") if error else ("ct-note", "status")
    return f'<p class="{kind}" role="{role}">{html.escape(text)}</p>' if text else ""


def summary(scene: Scene, model: SceneModel) -> str:
    """What was computed, and with which reservations."""
    height, width = scene.size
    parts = [f"{height}x{width} pixels (height x width), {scene.seconds:.1f} s"]
    parts += [scene.note] if scene.note else []
    if scene.prediction.camera_source:
        parts.append(f"focal length from {scene.prediction.camera_source}")
    for name, note in scene.prediction.notes.items():
        parts.append(f"{name.replace('_', ' ')} is {scene.prediction.kinds[name]} here: {note}")
    return message("; ".join(parts))


def _stage(scene: Scene, images: str, name: str) -> str:
    """Images in which a pixel can be chosen, with the mouse or with the arrow keys."""
    (row, column), (height, width) = scene.pixel, scene.size
    place = f"left:{100 * (column + 0.5) / width:.3f}%;top:{100 * (row + 0.5) / height:.3f}%"
    return (
        f'<div class="ct-pick" data-height="{height}" data-width="{width}" data-row="{row}" '
        f'data-column="{column}" tabindex="0" role="application" aria-label="{title(name)}: choose a '
        'pixel with the arrow keys, ten pixels with Shift, and read it with Enter">'
        f'{images}<span class="ct-mark" style="{place}"></span></div>'
    )


def images(scene: Scene, model: SceneModel) -> str:
    """The image with an overlay of adjustable opacity, and beside it every task with its legend."""
    photo = data_uri(scene.prediction.image, _WIDEST, True)
    maps = {t.name: data_uri(task_image(scene.prediction, t), _WIDEST, False) for t in model.tasks}
    radios = _radios("ct-overlay", ["", *maps], 1)
    layers = f'<img alt="image" src="{photo}">' + "".join(
        f'<img class="ct-layer{"" if k == 0 else " ct-hidden"}" data-task="{name}" '
        f'alt="{title(name)} over the image" src="{uri}">'
        for k, (name, uri) in enumerate(maps.items())
    )
    bar = (
        f'<div class="ct-bar"><span>Overlay</span>{radios}<label class="ct-range">Opacity '
        '<input type="range" class="ct-opacity" min="0" max="100" value="50" '
        'aria-label="opacity of the overlay"></label></div>'
    )
    stage = _stage(scene, layers, "image")
    cards = "".join(_card(scene, model, name, uri) for name, uri in maps.items())
    return f'{bar}{stage}<div class="ct-grid">{cards}</div>'


def _radios(group: str, names: Sequence[str], chosen: int) -> str:
    """Choices that the keys 0, 1, 2 ... take too; an empty name is the image alone."""
    return "".join(
        f'<label><input type="radio" name="{group}" value="{name}" aria-keyshortcuts="{k}"'
        f"{' checked' if k == chosen else ''}> {title(name) or 'image alone'}"
        f"<kbd>{k}</kbd></label>"
        for k, name in enumerate(names)
    )


def strip(album: Album) -> str:
    """Buttons with all images, of which one is shown; empty for a single one."""
    if len(album.items) < 2:
        return ""
    buttons = "".join(
        f'<button type="button" class="ct-item" data-item="{k}" aria-pressed="{str(k == album.chosen).lower()}" '
        f'title="{title(item.name)}"><img alt="{title(item.name)}" '
        f'src="{data_uri(item.scenes[0].prediction.image, 120, True)}"></button>'
        for k, item in enumerate(album.items)
    )
    said = f"{title(album.item.name)}, {album.chosen + 1} of {len(album.items)}"
    keys = "<kbd>P</kbd> and <kbd>N</kbd> go to the one before and after"
    return (
        f'<div class="ct-strip">{buttons}</div><p class="ct-soft" role="status">{said}; {keys}</p>'
    )


def compare(album: Album, studios: Sequence[Studio]) -> str:
    """Two models' maps of a task over each other, with a slider between them; empty for one model."""
    if len(studios) < 2:
        return ""
    left, right = (studio.model for studio in studios[:2])
    shared = [
        t for t in left.tasks if any(o.name == t.name and type(o) is type(t) for o in right.tasks)
    ]
    if not shared:
        return message("The two models have no task in common.")
    parts = "".join(_pair(album, studios, t, k == 0) for k, t in enumerate(shared))
    bar = (
        f'<div class="ct-bar"><span>Task</span>{_radios("ct-compared", ["", *(t.name for t in shared)], 1)}</div>'
        '<input type="range" class="ct-split" min="0" max="100" value="50" '
        'aria-label="how much of the left model is shown, in percent">'
    )
    names = "".join(
        f"<span><b>{letter}</b> {html.escape(studio.name)}</span>"
        for letter, studio in zip("AB", studios, strict=False)
    )
    photo = data_uri(album.scene.prediction.image, _WIDEST, True)
    alone = f'<div class="ct-compared ct-hidden" data-task=""><img alt="image" src="{photo}"></div>'
    return f'{bar}<div class="ct-bar ct-ends">{names}</div>{alone}{parts}'


def _pair(album: Album, studios: Sequence[Studio], task: Task, shown: bool) -> str:
    """One task of both models: in the same colours and under one legend, or each in its own."""
    predictions = [scene.prediction for scene in album.item.scenes[:2]]
    tasks = [next(t for t in s.model.tasks if t.name == task.name) for s in studios[:2]]
    kinds = {prediction.kind(task) for prediction in predictions}
    if len(kinds) == 1 and task.class_table == tasks[1].class_table:
        drawn, keys = _alike(predictions, tasks)
        names = ["legend"]
    else:  # colours of metres say nothing about a map up to scale, nor those of other classes
        pairs = list(zip(predictions, tasks, strict=True))
        drawn = [task_image(prediction, t) for prediction, t in pairs]
        keys = [task_legend(p, t, _LEGEND_WIDTH, _LEGEND_TEXT) for p, t in pairs]
        names = ["legend of A", "legend of B"]
    images = [data_uri(image, _WIDEST, False) for image in drawn]
    inside = (
        f'<img alt="{title(task.name)} of A" src="{images[0]}">'
        f'<img class="ct-over" alt="{title(task.name)} of B" src="{images[1]}"><span class="ct-line"></span>'
    )
    legends = "".join(
        (f'<p class="ct-soft">{name}</p>' if len(names) > 1 else "")
        + f'<img class="ct-legend" alt="{name}" src="{data_uri(key, _LEGEND_WIDTH, False)}">'
        for name, key in zip(names, keys, strict=True)
    )
    stage = _stage(album.scene, inside, f"{task.name} of both models")
    return f'<div class="ct-compared{"" if shown else " ct-hidden"}" data-task="{task.name}">{stage}{legends}</div>'


def _alike(
    predictions: Sequence[Prediction], tasks: Sequence[Task]
) -> tuple[list[Tensor], list[Image.Image]]:
    """Two maps under the scale of both together, and the legend of that scale."""
    task = tasks[0]
    values = [prediction[task.name] for prediction in predictions]
    scale: dict[str, float] = {}
    if task.class_table is None:
        scale = task.color_scale(torch.cat([value.flatten() for value in values]))
    drawn = [t.colorize(value, **scale) for t, value in zip(tasks, values, strict=True)]
    kind = predictions[0].kind(task)
    return drawn, [legend(task, values, _LEGEND_WIDTH, _LEGEND_TEXT, kind, scale)]


def _card(scene: Scene, model: SceneModel, name: str, uri: str) -> str:
    task = next(t for t in model.tasks if t.name == name)
    key = task_legend(scene.prediction, task, _LEGEND_WIDTH, _LEGEND_TEXT)
    said = ", ".join(class_names(scene.prediction, task)) or "scale"
    image = _stage(scene, f'<img alt="{title(name)}" src="{uri}">', name)
    return (
        f'<figure class="ct-card" data-task="{name}"><figcaption>{title(name)}</figcaption>'
        f'{image}<img class="ct-legend" alt="legend: {title(said)}" '
        f'src="{data_uri(key, _LEGEND_WIDTH, False)}"></figure>'
    )


def reading(scene: Scene, model: SceneModel, letter: str = "") -> str:
    """The clicked pixel in words and numbers, task by task; `letter` names the model among several."""
    row, column = scene.pixel
    cells = "".join(
        f'<div data-task="{r.task}"><dt>{title(r.task)}</dt><dd>{html.escape(r.text)}</dd></div>'
        for r in read_pixel(scene.prediction, model.tasks, row, column)
    )
    return (
        f'<dl class="ct-reading" aria-live="polite"><div><dt>pixel{f", model {letter}" if letter else ""}</dt>'
        f"<dd>column {column}, row {row}</dd></div>"
        f"{cells}</dl>"
    )


HELP = """<details class="ct-help"><summary>What do the numbers mean?</summary><dl>
<dt>Attention</dt><dd>The network divides the image into cells. For the marked pixel it gives each cell a weight; the weights
sum to 1, and the task reads the mean of the cells by their weights. If the wall of a house is bright when you mark another part
of it, the task has found what belongs to the same surface.</dd>
<dt>half of the weight in N of M cells</dt><dd>The fewest cells that together weigh one half. A small N is a look at a few
places; N near half of M is a look at everything alike, which says little about the pixel.</dd>
<dt>mean |alpha|</dt><dd>How much of what was read is added to what the task knows by itself: a number for each channel,
learned in training, which starts at 0. Near 0 the task ignores the other one, however bright its image; larger
means that training found it useful. Its size can be compared within a row, not between models.</dd></dl></details>"""


def attention(scene: Scene, model: SceneModel) -> str:
    """A row for each target task, an image for each source task that it looks at."""
    reader = scene.attention
    if reader is None or not reader.levels:
        return message(why_no_attention(model.network))
    level = scene.level if scene.level in reader.levels else reader.levels[0]
    maps = reader.read(*scene.attention_pixel(), level)
    pixels = 2 ** (level or 0)
    intro = (
        '<p class="ct-soft">Click a pixel, or move to it with the arrow keys. To decide about it, a task also reads what the '
        "other tasks have found elsewhere in the image: each row is a task that reads, each image in it a task that is "
        "read, and what is bright there is read most (the brightest cell has the largest weight; cells of the exchange at stride "
        f"{pixels}).</p>{HELP}"
    )
    rows = []
    for target in dict.fromkeys(m.target for m in maps):
        cells = "".join(_attention_card(scene, m) for m in maps if m.target == target)
        rows.append(f'<h3>{title(target)} looks at</h3><div class="ct-grid ct-small">{cells}</div>')
    return intro + "".join(rows)


def _attention_card(scene: Scene, found: AttentionMap) -> str:
    name = f"<figcaption>{title(found.source)}</figcaption>"
    place = f'data-target="{found.target}" data-source="{found.source}"'
    if found.heat is None:
        return f'<figure class="ct-card" {place}>{name}{message(found.reason)}</figure>'
    drawn = heat_image(scene.prediction.image, found.heat)
    half, cells = found.cells_of_half
    facts = [f"half of the weight in {half} of {cells} cells"]
    if found.share < 0.995:
        facts.insert(0, f"{100 * found.share:.0f} % of the attention")
    if found.alpha is not None:
        used = "" if found.alpha > 0 else " (not used yet)"
        facts.append(f"mean |alpha| {found.alpha:.3f}{used}")
    image = f'<img alt="attention of {title(found.target)}" src="{data_uri(drawn, _THUMB, True)}">'
    stage = _stage(scene, image, f"attention of {found.target} to {found.source}")
    return (
        f'<figure class="ct-card" {place}>{name}{stage}'
        f'<p class="ct-soft">{"; ".join(facts)}</p></figure>'
    )


def cloud_note(scene: Scene, model: SceneModel, number: int, shown: int) -> str:
    """What the 3-D view shows."""
    measured = depth_task(model.tasks)
    if measured is None:
        return message("This model predicts no depth, so there is nothing to show in space.")
    unit = measured.scale_label(scene.prediction.kind(measured))
    text = f"{number} points in the file, {shown} shown; {unit}"
    if scene.prediction.intrinsics is None:
        text += (
            f"; the focal length is unknown, {ASSUMED_FIELD_OF_VIEW:g} degrees across are assumed"
        )
    return message(text)
