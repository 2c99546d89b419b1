"""The rules of the one reader, each with an image that is made for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from crosstask.media.images import (
    ImageError,
    from_pil,
    image_facts,
    read_image,
    read_map,
    read_upright,
)
from fakes.png import write_png

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def colours(height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def save(image: Image.Image, path: Path, orientation: int = 1, **options: object) -> Path:
    if path.suffix == ".tif":
        image.save(path, tiffinfo={274: orientation}, **options)
        return path
    exif = Image.Exif()
    exif[274] = orientation
    image.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".webp", {"lossless": True}),
        (".jpg", {"quality": 100}),
    ],
)
def test_exif_is_obeyed(orientation: int, suffix: str, options: dict, tmp_path: Path) -> None:
    path = save(Image.fromarray(colours()), tmp_path / f"a{suffix}", orientation, **options)
    stored = read_map(path).transpose(1, 2, 0)  # maps are never turned
    expected = Image.fromarray(stored)
    if orientation > 1:
        expected = expected.transpose(TURNS[orientation])
    found, facts = read_upright(path), image_facts(path)
    assert found.pixels.dtype == torch.uint8
    assert np.array_equal(found.pixels.permute(1, 2, 0).numpy(), np.array(expected))
    assert found.orientation == facts.orientation == orientation
    opened = from_pil(Image.open(path))  # Pillow turns TIFF by itself when it decodes
    assert opened.orientation == orientation and torch.equal(opened.pixels, found.pixels)
    assert (facts.height, facts.width) == found.pixels.shape[1:]
    if suffix != ".jpg":
        assert np.array_equal(stored, colours())


def test_an_exif_chunk_behind_the_pixels_counts(tmp_path: Path) -> None:
    data = save(Image.fromarray(colours()), tmp_path / "a.png", 6).read_bytes()
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    moved = data[:start] + data[start + length : -12] + data[start : start + length] + data[-12:]
    (tmp_path / "b.png").write_bytes(moved)
    assert image_facts(tmp_path / "b.png").orientation == 6
    assert read_upright(tmp_path / "b.png").orientation == 6


def test_sixteen_bit_colour_is_turned_too(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", colours().astype(np.uint16) * 257)
    plain = (tmp_path / "a.png").read_bytes()
    data = save(Image.fromarray(colours()), tmp_path / "b.png", 8).read_bytes()
    start = data.index(b"eXIf") - 4
    exif = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    (tmp_path / "a.png").write_bytes(plain[:33] + exif + plain[33:])
    found = read_upright(tmp_path / "a.png")
    assert found.orientation == 8
    assert torch.equal(found.pixels, read_upright(tmp_path / "b.png").pixels)


def _transparent_palette(path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.putpixel((0, 0), 0)
    image.save(path, transparency=0)


def _rgba(path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (200, 100, 50, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.save(path)


def _grey_alpha(path: Path) -> None:
    image = Image.new("LA", (4, 4), (200, 255))
    image.putpixel((0, 0), (0, 0))
    image.save(path)


def _deep(values: tuple[int, ...], dtype: type = np.uint16) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        array = np.tile(np.array(values, dtype=dtype), (4, 4, 1))
        array[0, 0] = 0
        write_png(path, array)

    return write


@pytest.mark.parametrize(
    ("write", "opaque"),
    [
        (_rgba, (200, 100, 50)),
        (_transparent_palette, (200, 100, 50)),
        (_grey_alpha, (200, 200, 200)),
        (_deep((51200, 25600, 12800, 65535)), (200, 100, 50)),
        (_deep((51200, 65535)), (199.22, 199.22, 199.22)),
    ],
)
def test_transparent_is_white(
    write: Callable[[Path], None], opaque: tuple[float, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    write(path)
    image = read_image(path) * 255
    assert image[:, 0, 0].tolist() == [255, 255, 255]
    assert image[:, 2, 2].tolist() == pytest.approx(opaque, abs=0.01)


def test_cmyk_and_lab_become_colour(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert read_upright(tmp_path / "a.jpg").pixels[:, 4, 4].tolist() == pytest.approx(
        [255, 0, 0], abs=4
    )


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"progressive": True}, {"quality": 20}]
)
def test_pixels_are_those_of_the_reference_decoder(options: dict, tmp_path: Path) -> None:
    """Bytes and memory layout as torchvision's decoder gives them: trained models saw these."""
    path = save(Image.fromarray(colours(50, 63)), tmp_path / "a.jpg", **options)
    expected = decode_image(str(path), mode=ImageReadMode.RGB)
    found = read_upright(path).pixels
    assert torch.equal(found, expected) and found.stride() == expected.stride()


# Depth of grey ----------------------------------------------------------------------------------


def test_sixteen_bit_grey_keeps_its_depth(tmp_path: Path) -> None:
    """Never stretched by its own maximum: dark stays dark."""
    write_png(tmp_path / "a.png", np.array([[0, 1, 200, 65535]], dtype=np.uint16))
    write_png(tmp_path / "dark.png", np.array([[0, 1, 200, 210]], dtype=np.uint16))
    image, dark = read_image(tmp_path / "a.png"), read_image(tmp_path / "dark.png")
    assert image.shape == (3, 1, 4) and image[0, 0].tolist() == pytest.approx(
        [0, 1 / 65535, 200 / 65535, 1]
    )
    assert torch.equal(dark[:, :, :3], image[:, :, :3])


def test_a_declared_range_is_black_to_white(tmp_path: Path) -> None:
    stored = np.array([[29000, 30000, 31000, 28000, 40000]], dtype=np.uint16)
    write_png(tmp_path / "grey.png", stored)
    write_png(tmp_path / "colour.png", np.repeat(stored[..., None], 3, axis=2))
    Image.fromarray(stored).save(tmp_path / "grey.tif")
    Image.fromarray(stored.astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(stored.astype(np.int32)).save(tmp_path / "int.tif")
    for path in sorted(tmp_path.iterdir()):
        image = read_image(path, value_range=(29000.0, 31000.0))
        assert image[:, 0].tolist() == [pytest.approx([0, 0.5, 1, 0, 1])] * 3, path


def test_what_does_not_fit_the_range_is_named(tmp_path: Path) -> None:
    bytes_, floats, ints = (tmp_path / f"{name}.tif" for name in ("bytes", "floats", "ints"))
    Image.new("RGB", (4, 4)).save(bytes_)
    Image.new("F", (4, 4), 300.0).save(floats)
    Image.new("I", (4, 4), 300).save(ints)
    with pytest.raises(ImageError, match=r"bytes\.tif has 8 bits.*0\.\.4095.*saved again"):
        read_upright(bytes_, (0.0, 4095.0))
    for path, words in ((floats, "floats from 300 to 300"), (ints, "without a natural range")):
        with pytest.raises(ImageError, match=rf"{words}.*value_range"):
            read_upright(path)


def test_colour_that_would_lose_bits_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 65535\n" + bytes(12))
    with pytest.raises(ImageError, match=r"more than 8 bits.*16-bit PNG"):
        read_upright(tmp_path / "a.ppm")


# What is not a usable image --------------------------------------------------------------------------


def test_a_limit_of_pixels_before_decoding(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "bmp", "tif", "webp", "gif"):
        path = tmp_path / f"a.{suffix}"
        Image.new("RGB", (300, 200)).save(path)
        for reader in (read_upright, read_map):
            with pytest.raises(ImageError, match=r"300 x 200 pixels; shrink it below 0\.05 mega"):
                reader(path, most_pixels=50_000)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "bmp", "ppm"])
def test_damage_is_named_or_does_no_harm(suffix: str, tmp_path: Path) -> None:
    random, path = np.random.default_rng(0), tmp_path / f"a.{suffix}"
    Image.fromarray(colours(20, 30)).save(path)
    sound = path.read_bytes()
    for step in range(60):
        damaged = bytearray(sound)
        if step % 3 == 0:
            damaged = damaged[: random.integers(len(sound))]
        else:
            for _ in range(step % 3):
                damaged[random.integers(len(damaged) if step % 2 else 40)] = random.integers(256)
        path.write_bytes(damaged)
        for reader in (read_upright, read_map, image_facts):
            try:
                reader(path)
            except ImageError as error:
                assert str(path) in str(error)


def test_a_program_in_an_image_s_name_is_not_run(tmp_path: Path) -> None:
    """PostScript and the like are no images here, whatever Pillow could do with them."""
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\nshowpage\n")
    with pytest.raises(ImageError, match="not an image that can be read"):
        read_upright(path)


def test_pillow_images_follow_the_same_rules() -> None:
    image = Image.fromarray(colours())
    image.getexif()[274] = 6
    assert from_pil(image).orientation == 6 and from_pil(image).pixels.shape == (3, 9, 6)
