"""A sheet of images with titles above its columns: PNG and JPEG, or PDF and SVG whose text is text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from crosstask.drawing.legends import font, shorten
from crosstask.media.files import atomic_path

GAP = 4
NARROWEST = 160
WHITE, FRAME = (255, 255, 255), (255, 220, 0)
RASTER = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
VECTOR = (".pdf", ".svg")
DPI = 200  # pixels of an inch in print

Window = tuple[int, int, int, int]  # left, top, width, height in pixels of a cell's map


@dataclass(frozen=True)
class Sheet:
    """Drawn cells below their titles.

    Attributes:
        titles: of the columns.
        raster: all cells, (H,W) in pixels, without the titles.
        step: pixels from one column to the next.
    """

    titles: tuple[str, ...]
    raster: Image.Image
    step: int

    @property
    def text_size(self) -> int:
        """Pixels."""
        return max(11, self.step // 18)

    @property
    def header(self) -> int:
        """Height of the titles."""
        return self.text_size + 7

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.raster.width, self.raster.height + self.header

    def shown(self) -> list[tuple[int, str]]:
        """(left, title) as far as they fit above their columns."""
        width = self.step - GAP - 4
        return [
            (column * self.step + 2, shorten(title, self.text_size, width))
            for column, title in enumerate(self.titles)
        ]

    def image(self) -> Image.Image:
        """Everything as pixels."""
        sheet = Image.new("RGB", self.size, WHITE)
        pen = ImageDraw.Draw(sheet)
        for left, title in self.shown():
            pen.text((left, 3), title, fill=(0, 0, 0), font=font(self.text_size))
        sheet.paste(self.raster, (0, self.header))
        return sheet

    def save(self, file: Path) -> None:
        """Writes PNG, JPEG, PDF or SVG by the file's ending, atomically.

        Raises:
            ValueError: another ending.
        """
        kind = file.suffix.lower()
        if kind not in (*RASTER, *VECTOR):
            raise ValueError(
                f"`output` is {str(file)!r}; expected a name that ends in .png, .jpg, .pdf or .svg"
            )
        with atomic_path(file) as temporary:
            if kind in RASTER:
                self.image().save(temporary, format=RASTER[kind])
            else:
                self._save_vector(temporary, kind[1:])

    def _save_vector(self, temporary: Path, kind: str) -> None:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        width, height = self.size
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        figure.figimage(np.asarray(self.raster), 0, 0)
        points = 72 * self.text_size / DPI
        for left, title in self.shown():
            top = 1 - (3 / height)
            figure.text(left / width, top, title, fontsize=points, va="top", parse_math=False)
        # text stays text, which other programs find and set in their own typeface
        with mpl.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
            figure.savefig(temporary, format=kind, dpi=DPI)


def draw_sheet(
    titles: Sequence[str],
    lines: Sequence[Sequence[Tensor | None]],
    windows: Sequence[Window | None] = (),
) -> Sheet:
    """Puts (3,H,W) maps of colours into a grid; small ones are enlarged, for the titles.

    Args:
        lines: rows of cells; None leaves a place empty.
        windows: of each row, what is shown enlarged in the corner of its cells farthest away.
    """
    filled = next(cell for line in lines for cell in line if cell is not None)
    factor = -(-NARROWEST // filled.shape[-1])
    height, width = (factor * side for side in filled.shape[-2:])
    size = (len(titles) * (width + GAP) - GAP, len(lines) * (height + GAP) - GAP)
    raster = Image.new("RGB", size, WHITE)
    for row, line in enumerate(lines):
        window = windows[row] if row < len(windows) else None
        for column, cell in enumerate(line):
            if cell is None:
                continue
            image = Image.fromarray(cell.permute(1, 2, 0).numpy())
            shown = image.resize((width, height), Image.Resampling.NEAREST)
            if window is not None:
                share = (height / filled.shape[-2], width / filled.shape[-1])
                _add_inset(shown, tuple(round(v * share[k % 2 == 0]) for k, v in enumerate(window)))  # type: ignore[arg-type]
            raster.paste(shown, (column * (width + GAP), row * (height + GAP)))
    return Sheet(tuple(titles), raster, width + GAP)


def _add_inset(image: Image.Image, window: Window) -> None:
    """The window, framed, and in the opposite corner enlarged to 45 % of the height; in place."""
    left, top, width, height = window
    part = image.crop((left, top, left + width, top + height))
    factor = min(0.45 * image.height / height, 0.45 * image.width / width)
    part = part.resize((round(factor * width), round(factor * height)), Image.Resampling.NEAREST)
    x = 0 if left + width / 2 > image.width / 2 else image.width - part.width
    y = 0 if top + height / 2 > image.height / 2 else image.height - part.height
    image.paste(part, (x, y))
    pen = ImageDraw.Draw(image)
    line = max(1, image.width // 160)
    for box in (
        (left, top, left + width - 1, top + height - 1),
        (x, y, x + part.width - 1, y + part.height - 1),
    ):
        pen.rectangle(box, outline=FRAME, width=line)
