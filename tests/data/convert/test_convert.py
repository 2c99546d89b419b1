"""Annotations of each tool become a folder whose masks are right by hand, and whose check is clean."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crosstask.cli import main
from crosstask.data import FolderDataset
from crosstask.data.convert.annotations import (
    AnnotatedImage,
    Annotations,
    find_image,
    frame_name,
)
from crosstask.data.convert.cvat import image_of
from crosstask.data.convert.writing import Plan, divide, frame_jobs
from crosstask.data.sample import DataError
from crosstask.tasks.classes import ClassTable

pytest.importorskip("pycocotools")
SIZE = (12, 20)
FRAMES = 5


def pictures(folder: Path, count: int = FRAMES, suffix: str = ".png") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"photo_{index}" for index in range(count)]
    for index, name in enumerate(names):
        ramp = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE)
        Image.fromarray(np.stack([ramp, ramp + index, ramp], axis=-1)).save(
            folder / f"{name}{suffix}"
        )
    return names


def prepare(capsys: Any, *arguments: object) -> dict[str, Any]:
    assert main(["data", "prepare", *map(str, arguments), "--json", "--workers", "0"]) == 0
    return json.loads(capsys.readouterr().out)


def clean(capsys: Any, root: Path) -> dict[str, Any]:
    code = main(["data", "check", "folder", "--root", str(root), "--json", "--workers", "0"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, report
    return report


def labels(root: Path, name: str) -> np.ndarray:
    return np.array(Image.open(root / "segmentation" / f"{name}.png"))


# What every source below draws: class a from column 2 to 10, rows 1 to 7; on it class b, columns 4 to
# 8, rows 3 to 5. Class b is smaller and comes first.
def expected(unlabelled: int, a: int, b: int, above: str = "b") -> np.ndarray:
    wanted = np.full(SIZE, unlabelled)
    wanted[1:7, 2:10] = a
    if above == "b":
        wanted[3:5, 4:8] = b
    return wanted


OUTER, INNER = [2, 1, 10, 1, 10, 7, 2, 7], [4, 3, 8, 3, 8, 5, 4, 5]


def coco(folder: Path, names: list[str], inner: Any = None) -> Path:
    regions = [(7, inner or [INNER]), (3, [OUTER])]  # ids out of order
    content = {
        "images": [
            {"id": 10 + i, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]}
            for i, name in enumerate(names)
        ],
        "categories": [{"id": 7, "name": "b"}, {"id": 3, "name": "a"}],
        "annotations": [
            {"id": 0, "image_id": 10 + i, "category_id": category, "segmentation": segmentation}
            for i in range(len(names)) for category, segmentation in regions
        ],
    }  # fmt: skip
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def runs(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run lengths by hand: column by column, zeros first."""
    flat = mask.T.ravel().astype(int)
    counts, value, length = [], 0, 0
    for pixel in flat:
        if pixel != value:
            counts.append(length)
            value, length = pixel, 0
        length += 1
    return {"size": list(mask.shape), "counts": [*counts, length]}


def no_drawing(size: tuple[int, int]) -> np.ndarray:
    raise AssertionError("drawn")


def inner_mask() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[3:5, 4:8] = True
    return mask


@pytest.mark.parametrize("kind", ["polygons", "runs", "compressed"])
def test_coco_by_area_with_a_background(tmp_path: Path, capsys: Any, kind: str) -> None:
    from pycocotools import mask as coco_mask

    names, inner = pictures(tmp_path / "images"), None
    if kind == "runs":
        inner = runs(inner_mask())
    if kind == "compressed":
        inner = coco_mask.encode(np.asfortranarray(inner_mask().astype(np.uint8)))
        inner["counts"] = inner["counts"].decode()
    source, out = coco(tmp_path, names, inner), tmp_path / "out"
    report = prepare(capsys, "coco", source, "--output", out)
    assert (labels(out, "photo_0") == expected(0, 1, 2)).all()
    assert report["overlap"] == "area" and report["written"] == FRAMES
    assert list(report["classes"]) == ["background", "a", "b"]
    assert report["classes"]["b"] == {"share": round(8 / 240, 6), "images": FRAMES}
    assert report["splits"] == {"train": 4, "val": 1}
    found = clean(capsys, out)
    assert found["splits"]["train"]["modalities"]["segmentation"]["void"] == 0
    assert FolderDataset(out, "train").classes.names == ("background", "a", "b")


def test_order_void_lists_and_resuming(tmp_path: Path, capsys: Any) -> None:
    names = pictures(tmp_path / "images")
    source, out = coco(tmp_path, names), tmp_path / "out"
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("photo_0.png\nphoto_1\nphoto_2\n")
    (tmp_path / "lists" / "val.txt").write_text("photo_3\nphoto_4\n")
    options = (
        "--output",
        out,
        "--unlabelled",
        "void",
        "--overlap",
        "order",
        "--splits",
        tmp_path / "lists",
    )
    report = prepare(capsys, "coco", source, *options)
    assert (labels(out, "photo_1") == expected(255, 0, 1, above="a")).all()
    assert report["splits"] == {"train": 3, "val": 2} and report["void"]["images"] == FRAMES
    (out / "segmentation" / "photo_2.png").unlink()
    again = prepare(capsys, "coco", source, *options)
    assert (again["written"], again["kept"]) == (1, FRAMES - 1)
    assert again["classes"] == report["classes"]
    assert main(["data", "prepare", "coco", str(source), "--output", str(out)]) == 2
    assert "other unlabelled and overlap and classes" in capsys.readouterr().err


def test_coco_of_several_files_is_split_by_their_names(tmp_path: Path, capsys: Any) -> None:
    for part, count in (("train", 3), ("valid", 2)):
        coco(tmp_path / part, pictures(tmp_path / part, count)).rename(
            tmp_path / part / "_annotations.coco.json"
        )
    report = prepare(capsys, "coco", tmp_path, "--output", tmp_path / "out")
    assert report["splits"] == {"train": 3, "val": 2}
    assert (labels(tmp_path / "out", "train/photo_0") == expected(0, 1, 2)).all()
    clean(capsys, tmp_path / "out")


def cvat_xml(folder: Path, names: list[str]) -> Path:
    def points(numbers: list[int]) -> str:
        return ";".join(f"{x}.0,{y}.0" for x, y in zip(numbers[::2], numbers[1::2], strict=True))

    # the inner one as run lengths within its box, above by z order, though it comes first
    shapes = (
        '<mask label="b" rle="0, 8" left="4" top="3" width="4" height="2" z_order="1"/>'
        f'<polygon label="a" points="{points(OUTER)}" z_order="0"/>'
        '<polyline label="a" points="1,1;2,2" z_order="0"/>'
    )
    images = "".join(
        f'<image id="{i}" name="{name}.png" width="{SIZE[1]}" height="{SIZE[0]}">{shapes}</image>'
        for i, name in enumerate(names)
    )
    declared = "".join(
        f"<label><name>{name}</name><color>{color}</color></label>"
        for name, color in (("a", "#ff0000"), ("b", "#00ff00"))
    )
    path = folder / "annotations.xml"
    path.write_text(
        f"<annotations><meta><task><labels>{declared}</labels></task></meta>{images}</annotations>"
    )
    return path


def test_cvat_xml_by_z_order_with_its_colours(tmp_path: Path, capsys: Any) -> None:
    cvat_xml(tmp_path, pictures(tmp_path / "images"))
    report = prepare(capsys, "cvat", tmp_path, "--output", tmp_path / "out")
    assert (labels(tmp_path / "out", "photo_4") == expected(0, 1, 2)).all()
    assert "5 shapes of the kind polyline" in report["notes"][0]
    assert "a 255 0 0" in (tmp_path / "out" / "classes.txt").read_text()
    clean(capsys, tmp_path / "out")


def test_cvat_masks_by_the_colours_of_labelmap(tmp_path: Path, capsys: Any) -> None:
    colors = np.array([(0, 0, 0), (200, 10, 10), (10, 200, 10)], np.uint8)
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\na:200,10,10::\nb:10,200,10::\nbackground:0,0,0::\n"
    )
    (tmp_path / "SegmentationClass").mkdir()
    names = pictures(tmp_path / "JPEGImages", suffix=".jpg")
    for name in names:
        mask = colors[expected(0, 1, 2)]
        Image.fromarray(mask).save(tmp_path / "SegmentationClass" / f"{name}.png")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("\n".join(names))
    prepare(capsys, "cvat", tmp_path, "--output", tmp_path / "ids")
    assert (labels(tmp_path / "ids", "photo_0") == expected(2, 0, 1)).all()
    prepare(capsys, "cvat", tmp_path, "--output", tmp_path / "void", "--unlabelled", "void")
    assert (labels(tmp_path / "void", "photo_0") == expected(255, 0, 1)).all()
    assert clean(capsys, tmp_path / "void")["splits"]["val"]["frames"] == 1


def labelme(folder: Path, names: list[str], embedded: bool = False) -> None:
    def corners(numbers: list[int]) -> list[list[int]]:
        return [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]

    for name in names:
        path = folder / f"{name}.png"
        content = {
            "imagePath": path.name, "imageHeight": SIZE[0], "imageWidth": SIZE[1],
            "imageData": base64.b64encode(path.read_bytes()).decode() if embedded else None,
            "shapes": [
                {"label": "a", "points": corners(OUTER), "shape_type": "polygon"},
                {"label": "b", "points": [[4, 3], [8, 5]], "shape_type": "rectangle"},
                {"label": "__ignore__", "points": [[0, 10], [20, 12]], "shape_type": "rectangle"},
                {"label": "a", "points": [[1, 1]], "shape_type": "point"},
            ],
        }  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(content))
        if embedded:
            path.unlink()


@pytest.mark.parametrize("embedded", [False, True])
def test_labelme_by_labels_txt(tmp_path: Path, capsys: Any, embedded: bool) -> None:
    source, out = tmp_path / "labelme", tmp_path / "out"
    labelme(source, pictures(source), embedded)
    (source / "labels.txt").write_text("__ignore__\n_background_\nb\na\n")
    prepare(capsys, "labelme", source, "--output", out)
    wanted = expected(0, 2, 1)
    wanted[10:] = 255
    assert (labels(out, "photo_3") == wanted).all()
    assert FolderDataset(out, "train").classes.names == ("_background_", "b", "a")
    assert not clean(capsys, out)["splits"]["train"]["defects"]
    (source / "labels.txt").write_text("_background_\na\n")
    assert main(["data", "prepare", "labelme", str(source), "--output", str(tmp_path / "o")]) == 2
    assert "has the label 'b', which labels.txt does not" in capsys.readouterr().err


def test_masks_of_labelme2voc(tmp_path: Path, capsys: Any) -> None:
    names = pictures(tmp_path / "JPEGImages")
    (tmp_path / "class_names.txt").write_text("_background_\na\nb\n")
    (tmp_path / "SegmentationClassPNG").mkdir()
    for name in names:
        image = Image.fromarray(expected(0, 1, 2).astype(np.uint8))
        image.putpalette([value for index in range(256) for value in (index, 0, 255 - index)])
        image.save(tmp_path / "SegmentationClassPNG" / f"{name}.png")
    prepare(capsys, "labelme", tmp_path, "--output", tmp_path / "out")
    assert (labels(tmp_path / "out", "photo_0") == expected(0, 1, 2)).all()
    clean(capsys, tmp_path / "out")


def percent(numbers: list[int]) -> list[list[float]]:
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in pairs]


@pytest.mark.parametrize("minimal", [False, True])
def test_label_studio_polygons(tmp_path: Path, capsys: Any, minimal: bool) -> None:
    def region(kind: str, label: str, value: dict[str, Any]) -> dict[str, Any]:
        size = {"original_width": SIZE[1], "original_height": SIZE[0]}
        value = {**value, kind: [label]}
        return {**size, **value} if minimal else {**size, "type": kind, "value": value}

    box = {"x": 20, "y": 25, "width": 20, "height": 100 / 6, "rotation": 0}
    tasks = []
    for number, name in enumerate(pictures(tmp_path / "images")):
        regions = [
            region("polygonlabels", "a", {"points": percent(OUTER)}),
            region("rectanglelabels", "b", box),
        ]
        address = f"/data/upload/1/0a1b2c3d-{name}.png"
        if minimal:
            tasks.append({"id": number, "image": address, "label": regions})
        else:
            done = [{"was_cancelled": True}, {"result": regions}]
            tasks.append({"id": number, "data": {"image": address}, "annotations": done})
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    prepare(capsys, "labelstudio", tmp_path / "export.json", "--output", tmp_path / "out")
    assert (labels(tmp_path / "out", "photo_1") == expected(0, 1, 2)).all()
    clean(capsys, tmp_path / "out")


def test_label_studio_brush_files(tmp_path: Path, capsys: Any) -> None:
    tasks = []
    for number, name in enumerate(pictures(tmp_path / "images")):
        brush = {
            "original_width": SIZE[1], "original_height": SIZE[0], "type": "brushlabels",
            "value": {"format": "rle", "rle": [0, 1, 2], "brushlabels": ["a"]},
        }  # fmt: skip
        image = f"/data/local-files/?d=set/{name}.png"
        tasks.append(
            {"id": 40 + number, "data": {"image": image}, "annotations": [{"result": [brush]}]}
        )
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    command = ["labelstudio", str(tmp_path), "--images", str(tmp_path / "images"), "--output"]
    assert main(["data", "prepare", *command, str(tmp_path / "out")]) == 2
    assert "`Brush labels to PNG`" in capsys.readouterr().err
    outer = (expected(0, 1, 1) > 0).astype(np.uint8) * 255
    for number in range(FRAMES):
        stem = f"task-{40 + number}-annotation-{number}-by-me@x.org-tag"
        Image.fromarray(outer).save(tmp_path / f"{stem}-a-0.png")
        Image.fromarray(inner_mask().astype(np.uint8) * 255).save(tmp_path / f"{stem}-b-1.png")
    prepare(capsys, *command, tmp_path / "out")
    assert (labels(tmp_path / "out", "photo_1") == expected(0, 1, 2)).all()
    clean(capsys, tmp_path / "out")


def test_label_studio_takes_the_strokes_of_the_first_annotation_alone(
    tmp_path: Path, capsys: Any
) -> None:
    """A cancelled one and another annotator's lie beside it; JSON-MIN has a record for each."""
    size = {"original_width": SIZE[1], "original_height": SIZE[0]}
    for minimal in (False, True):
        tasks: list[dict[str, Any]] = []
        folder = tmp_path / f"{minimal}"
        for number, name in enumerate(pictures(folder / "images")):
            brush = {**size, "value": {"format": "rle", "brushlabels": ["a"]}}
            made = [
                {"id": 9, "was_cancelled": True, "result": [brush]},
                {"id": 10, "result": [brush]},
                {"id": 11, "result": [brush]},
            ]
            task: dict[str, Any] = {"id": number, "data": {"image": f"{name}.png"}}
            if minimal:
                flat = {**size, "format": "rle", "brushlabels": ["a"]}
                common = {"id": number, "image": f"{name}.png", "label": [flat]}
                tasks += [{**common, "annotation_id": one} for one in (10, 11)]
            else:
                tasks.append({**task, "annotations": made})
            for one, label in ((9, "b"), (10, "a"), (11, "b")):
                stem = f"task-{number}-annotation-{one}-by-me@x.org-tag-{label}-0.png"
                mask = expected(0, 1, 1) > 0 if label == "a" else inner_mask()
                Image.fromarray(mask.astype(np.uint8) * 255).save(folder / stem)
        (folder / "export.json").write_text(json.dumps(tasks))
        command = ["labelstudio", folder, "--images", folder / "images", "--output"]
        prepare(capsys, *command, folder / "out")
        assert (labels(folder / "out", "photo_1") == expected(0, 1, 1)).all(), minimal


def test_a_source_that_names_no_training_frames_leaks_none_into_it() -> None:
    names = [f"{n:02d}" for n in range(12)]
    images = [AnnotatedImage(n, Path(n), draw=no_drawing, sources=()) for n in names]

    def parts(**given: list[str]) -> dict[str, list[str]]:
        found = Annotations(("a",), images, (), None, frozenset(), given, "order", [])
        return divide(found, None, 0.25, 0.25)

    held = parts(val=names[:3], test=names[3:6])
    assert held == {"train": names[6:], "val": names[:3], "test": names[3:6]}
    for given in ({"test": names[:4]}, {"val": names[:4]}, {"train": names[2:]}, {}):
        found = parts(**given)
        every = [name for part in found.values() for name in part]
        assert len(every) == len(set(every)) and all(found.values())
        assert all(found[part] == given[part] for part in given if part != "train")
    with pytest.raises(DataError, match=r"none is left for training.*--splits"):
        parts(val=names[:6], test=names[6:])


def test_two_entries_or_two_names_of_one_image_are_told(tmp_path: Path) -> None:
    def jobs(*images: tuple[str, str]) -> None:
        made = [
            AnnotatedImage(name, Path(file), draw=no_drawing, sources=(Path("a.json"),))
            for name, file in images
        ]
        frame_jobs(
            Annotations(("a",), made, (), None, frozenset(), {}, "order", []),
            tmp_path,
            Plan(ClassTable(("a", "b")), (0, 1)),
        )

    jobs(("a", "a.png"), ("b", "b.png"))
    with pytest.raises(DataError, match=r"a.json has two entries of the image a.png; merge"):
        jobs(("a", "a.png"), ("a", "a.png"))
    with pytest.raises(DataError, match="would both be images/a"):
        jobs(("a", "a.png"), ("a", "a.jpg"))
    with pytest.raises(DataError, match=r"only file found for s1/a and for s2/a.*--images"):
        jobs(("s1/a", "s1/a.png"), ("s2/a", "s1/a.png"))


def test_the_image_of_a_mask_has_its_whole_name(tmp_path: Path) -> None:
    """Frames that are named by their time: 1.* finds 1.5.png, too."""
    for name in ("1.5.png", "1.png", "2.5.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert image_of("1", [tmp_path], tmp_path / "m.png") == tmp_path / "1.png"
    assert image_of("1.5", [tmp_path], tmp_path / "m.png") == tmp_path / "1.5.png"
    with pytest.raises(DataError, match="has no image 2"):
        image_of("2", [tmp_path], tmp_path / "m.png")


def test_a_mask_on_the_image_as_stored_is_turned_with_it(tmp_path: Path, capsys: Any) -> None:
    names = pictures(tmp_path / "images", suffix=".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in names:
        path = tmp_path / "images" / f"{name}.jpg"
        buffer = io.BytesIO()
        Image.open(path).save(buffer, format="JPEG", exif=exif)
        path.write_bytes(buffer.getvalue())
    source = coco(tmp_path, names)
    source.write_text(source.read_text().replace(".png", ".jpg"))
    prepare(capsys, "coco", source, "--output", tmp_path / "out")
    assert (labels(tmp_path / "out", "photo_0") == np.rot90(expected(0, 1, 2), -1)).all()
    clean(capsys, tmp_path / "out")


def test_more_than_254_classes_are_written_with_16_bits(tmp_path: Path, capsys: Any) -> None:
    source = coco(tmp_path, pictures(tmp_path / "images"))
    content = json.loads(source.read_text())
    content["categories"] += [{"id": 100 + i, "name": f"c{i}"} for i in range(400)]
    content["annotations"][1]["category_id"] = 499
    source.write_text(json.dumps(content))
    prepare(capsys, "coco", source, "--output", tmp_path / "out", "--unlabelled", "void")
    found = labels(tmp_path / "out", "photo_0")
    assert found.dtype == np.uint16 and (found == expected(65535, 401, 1)).all()


@pytest.mark.parametrize(
    "change", ["counts", "size", "nan", "category", "names", "missing", "list"]
)
def test_what_is_wrong_is_named(tmp_path: Path, capsys: Any, change: str) -> None:
    source = coco(tmp_path, pictures(tmp_path / "images"))
    content: Any = json.loads(source.read_text())
    first = content["annotations"][0]
    said = {
        "counts": "run lengths", "size": "10x10", "nan": "polygon of", "category": "annotation 0",
        "names": "within the folder of images", "missing": "give its folder with --images", "list": "no list",
    }[change]  # fmt: skip
    if change == "counts":
        first["segmentation"] = {"size": list(SIZE), "counts": [5, -1, 999]}
    if change == "size":
        content["images"][0] |= {"height": 10, "width": 10}
    if change == "nan":
        first["segmentation"] = [[float("nan")] * 6]
    if change == "category":
        first["category_id"] = 99
    if change == "names":
        content["images"][0]["file_name"] = "../../etc/x.png"
    if change == "missing":
        content["images"][0]["file_name"] = "absent.png"
    source.write_text(json.dumps(content if change != "list" else []))
    out = tmp_path / "out"
    assert (
        main(["data", "prepare", "coco", str(source), "--output", str(out), "--workers", "0"]) == 2
    )
    assert said in capsys.readouterr().err
    assert not (out / "classes.txt").exists()


def test_names_of_images(tmp_path: Path) -> None:
    assert frame_name("a\\b\\c.JPG", tmp_path) == "a/b/c"
    for bad in ("/etc/x.png", "C:\\x.png", "../x.png", ""):
        with pytest.raises(DataError):
            frame_name(bad, tmp_path)
    with pytest.raises(DataError, match="none of"):
        find_image("x.png", [tmp_path], tmp_path)
