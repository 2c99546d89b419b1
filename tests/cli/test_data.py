"""`crosstask data`: exit codes, reports and files, over miniatures and damaged ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fakes.camvid
import fakes.cityscapes
import fakes.nyudv2
import fakes.sevenscenes
import fakes.synthia
import fakes.vkitti2
from crosstask import data
from crosstask.cli.data import main
from crosstask.data.datasets.catalogue import READERS
from crosstask.data.sample import DataError


def report(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict]:
    """Exit code and JSON of a command."""
    capsys.readouterr()
    code = main([*argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for name, reader in READERS.items():
        assert name in text
        assert reader.licence in text
    code, rows = report(capsys, "list")
    assert code == 0
    assert {row["name"] for row in rows} == {*READERS, "procedural"}
    assert next(r for r in rows if r["name"] == "cityscapes")["splits"]["train"] == 2975


def test_check_of_a_sound_miniature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.camvid.write(tmp_path)
    code, found = report(capsys, "check", "camvid", "--root", str(root), "--partial")
    assert code == 0
    assert found["ok"]
    assert found["splits"]["train"]["sizes"] == {"36x48": 4}
    assert found["splits"]["train"]["modalities"]["segmentation"]["void"] == pytest.approx(
        2 / 48, abs=1e-4
    )
    assert sum(found["splits"]["train"]["classes"].values()) == pytest.approx(1, abs=1e-4)
    code, found = report(capsys, "check", "camvid", "--root", str(root), "--split", "train")
    assert code == 1
    assert found["splits"]["train"]["defects"] == ["4 frames; the official train split has 367"]


def test_check_names_every_defect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.cityscapes.write(tmp_path)
    dataset = data.Cityscapes(root)
    labels, image = dataset.frames[0].files["segmentation"], dataset.frames[1].files["image"]
    camera, disparity = dataset.frames[2].files["camera"], dataset.frames[3].files["depth"]
    ids = np.array(Image.open(labels))
    ids[0, 0] = 99
    Image.fromarray(ids).save(labels)
    image.write_bytes(image.read_bytes()[:300])
    camera.write_text("{}")
    disparity.unlink()
    arguments = ("check", "cityscapes", "--root", str(root), "--split", "train")
    code, found = report(capsys, *arguments)
    assert code == 1
    defects = "\n".join(found["splits"]["train"]["defects"])
    for path in (labels, image, camera, disparity):
        assert str(path) in defects
    assert "label value 99" in defects
    assert len(found["splits"]["train"]["defects"]) == 4 + 1  # and the official number of frames
    assert main([*arguments, "--partial"]) == 1
    assert "3 defects" in capsys.readouterr().out  # a part of a dataset may lack files


def test_check_of_a_partly_labelled_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Frames without a label file: a note that counts them, and their depth is read all the same."""
    root = fakes.cityscapes.write(tmp_path)
    for frame in data.Cityscapes(root).frames[1:3]:
        frame.files["segmentation"].unlink()
    arguments = ("check", "cityscapes", "--root", str(root), "--split", "train")
    code, found = report(capsys, *arguments, "--partial")
    train = found["splits"]["train"]
    assert code == 0 and any("2 of 4 frames have no file" in text for text in train["notes"])
    labelled = {name: entry["labelled_frames"] for name, entry in train["modalities"].items()}
    assert labelled == {"segmentation": 2, "depth": 4}
    code, found = report(capsys, *arguments)
    assert code == 1
    assert sum("is missing" in text for text in found["splits"]["train"]["defects"]) == 2


def test_options_that_are_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One value, several with commas and JSON are the same list; a word is not split into letters."""
    from crosstask.data.datasets.catalogue import known_options, read_option

    for name, text, expected in [
        ("variations", "clone", ("clone",)),
        ("variations", "clone,fog", ("clone", "fog")),
        ("variations", '["clone", "fog"]', ("clone", "fog")),
        ("variations", "all", "all"),
        ("cameras", "1", (1,)),
        ("cameras", "0,1", (0, 1)),
        ("offsets", "-1,1", (-1, 1)),
        ("held_out", "Scene02", ("Scene02",)),
        ("value_range", "0..4095", "0..4095"),
        ("split_by", "scene", "scene"),
        ("labelled", "0.5", 0.5),
        ("far", "80", 80),
        ("far", "null", None),
    ]:
        assert read_option(text, known_options("vkitti2")[name].annotation) == expected
    kind = known_options("pascal_context")["normal_ids"].annotation
    assert read_option("3", kind) == (3,) and read_option("null", kind) is None
    assert read_option("32,64", known_options("procedural")["size"].annotation) == (32, 64)
    root = fakes.vkitti2.write(tmp_path, train=3, val=3, variations=("clone",))
    arguments = ("stats", "vkitti2", "--root", str(root), "--option", "variations=clone")
    assert report(capsys, *arguments)[1]["splits"]["train"]["frames"] == 4


def test_check_tells_the_share_of_derived_edges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fakes.nyudv2.write(tmp_path)
    shutil.rmtree(root / "edge")
    arguments = ("check", "nyudv2", "--root", str(root), "--partial", "--split", "train")
    train = report(capsys, *arguments)[1]["splits"]["train"]
    assert "edges" not in train["modalities"]
    stack = torch.stack([data.NYUDv2(root)[i]["edges"] for i in range(4)])
    share = float((stack == 1).sum() / (stack != 255).sum())
    assert f", {100 * share:.2f} % positive; " in train["computed"]["edges"] and share > 0.01
    assert train["computed"]["edges"].endswith("void up to 5 pixels wide closed")


def test_stored_normals_are_compared_with_smoothed_depth(tmp_path: Path) -> None:
    """Noisy depth, right normals: unsmoothed they seem many degrees off."""
    from crosstask.data.derive import depth_to_normals
    from crosstask.data.tools.inspection import compare_normals, inspect_frame

    root = fakes.nyudv2.write(tmp_path, size=(213, 280))
    dataset = data.NYUDv2(root)
    frame = dataset.frames[0]
    noise = np.random.default_rng(0).normal(1, 0.003, (213, 280))
    np.save(frame.files["depth"], (np.load(frame.files["depth"]) * noise).astype(np.float32))
    report = compare_normals(dataset, inspect_frame(dataset, 0))
    assert report is not None and not report.wrong
    sample = dataset[0]
    raw = depth_to_normals(sample["depth"], sample["intrinsics"], (213, 280))
    both = raw.any(0) & sample["normals"].any(0)
    cosine = (raw * sample["normals"]).sum(0)[both].clamp(-1, 1)
    assert report.given_angle < 0.6 * float(cosine.acos().rad2deg().mean())


def test_check_finds_wrong_normals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.nyudv2.write(tmp_path)
    arguments = ("check", "nyudv2", "--root", str(root), "--partial", "--split", "train")
    code, found = report(capsys, *arguments)
    assert code == 0
    assert found["splits"]["train"]["normals"]["axes"] == "(x, -y, -z)"
    code, found = report(capsys, *arguments, "--option", "axes=eigen")
    assert code == 1
    assert "(x, -y, -z)" in found["splits"]["train"]["defects"][0]


def test_check_in_processes_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.sevenscenes.write(tmp_path)
    arguments = (
        "check",
        "sevenscenes",
        "--root",
        str(root),
        "--split",
        "train",
        "--option",
        "gap=1",
    )
    assert report(capsys, *arguments) == report(capsys, *arguments, "--workers", "1")


def test_splits_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same frames on any machine: from the file, in its order, with its hash."""
    root = fakes.synthia.write(tmp_path / "data", train=8, val=2)
    arguments = (
        "check",
        "synthia",
        "--root",
        str(root),
        "--partial",
        "--write-splits",
        str(tmp_path),
    )
    code, found = report(capsys, *arguments)
    assert code == 0
    for split in ("train", "val"):
        listing = tmp_path / f"synthia_{split}.txt"
        assert found["splits"][split]["hash"] in listing.read_text().splitlines()[0]
        names = [f.name for f in data.Synthia(root, "all", split_file=listing).frames]
        assert names == [f.name for f in data.Synthia(root, split).frames]


def test_leaking_splits_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.nyudv2.write(tmp_path)
    listing = root / "gt_sets" / "val.txt"
    listing.write_text(listing.read_text() + "0003\n")
    code, found = report(capsys, "check", "nyudv2", "--root", str(root), "--partial")
    assert code == 1
    assert found["defects"] == ["train and val share 1 frames, e.g. 0003"]


def test_stats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.cityscapes.write(tmp_path)
    code, found = report(capsys, "stats", "cityscapes", "--root", str(root), "--split", "train")
    assert code == 0
    train = found["splits"]["train"]
    dataset = data.Cityscapes(root)
    pixels = torch.cat([dataset[i]["segmentation"].flatten() for i in range(4)])
    share = float((pixels == 13).sum() / (pixels != 255).sum())
    assert train["classes"]["car"] == pytest.approx(share, abs=1e-6)
    depth = torch.cat([dataset[i]["depth"].flatten() for i in range(4)])
    assert sum(row["pixels"] for row in train["depth"]["histogram"]) == int((depth > 0).sum())
    assert train["depth"]["min"] == pytest.approx(float(depth[depth > 0].min()), abs=1e-4)
    assert (
        main(["stats", "cityscapes", "--root", str(root), "--split", "train", "--limit", "2"]) == 0
    )
    assert "#####" in capsys.readouterr().out


def test_a_limit_of_frames_that_are_not_looked_at_is_refused() -> None:
    with pytest.raises(ValueError, match="`--limit` belongs to `--worst`"):
        main(["preview", "procedural", "--limit", "3"])


def test_preview_writes_a_sheet_and_a_cloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fakes.cityscapes.write(tmp_path / "data")
    arguments = (
        "preview",
        "cityscapes",
        "--root",
        str(root),
        "--split",
        "train",
        "--output",
        str(tmp_path / "out"),
    )
    code, found = report(capsys, *arguments, "--count", "2", "--width", "100")
    assert code == 0
    sheet, cloud = (Path(name) for name in found["files"])
    with Image.open(sheet) as image:
        assert image.width == 5 * 104
        assert len(image.getcolors(1 << 20)) > 100
    header, body = cloud.read_bytes().split(b"end_header\n", 1)
    count = int(header.split(b"element vertex ")[1].split()[0])
    points = np.frombuffer(body, dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])
    sample = data.Cityscapes(root)[0]
    assert len(points) == count == int((sample["depth"] > 0).sum())
    ground = points["xyz"][:, 1].min()  # y up: the road lies 1.5 m below the camera
    assert float(ground) == pytest.approx(-1.5, abs=0.05)


def test_preview_to_a_named_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.camvid.write(tmp_path / "data")
    arguments = ("preview", "camvid", "--root", str(root), "--count", "1", "--width", "64")
    one = report(capsys, *arguments, "--split", "val", "--output", str(tmp_path / "one.png"))[1]
    assert one["files"] == [str(tmp_path / "one.png")]
    many = report(capsys, *arguments, "--output", str(tmp_path / "many.png"))[1]
    assert many["files"] == [str(tmp_path / f"many_{s}.png") for s in ("train", "val", "test")]
    assert all(Path(name).is_file() for name in many["files"])


def test_preview_of_rendered_streets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No files, so no `--root`; and nothing to check."""
    arguments = ("preview", "procedural", "--split", "val", "--output", str(tmp_path / "a.png"))
    found = report(capsys, *arguments, "--count", "1", "--option", "size=[32, 64]")[1]
    assert found["files"] == [str(tmp_path / "a.png"), str(tmp_path / "a.ply")]
    with pytest.raises(ValueError, match="procedural has no files"):
        main(["check", "procedural"])


def test_void_is_hatched_and_thin_edges_stay_closed(tmp_path: Path) -> None:
    """The upper rows of the miniature are void; its edges are two pixels wide in 48 columns."""
    from crosstask.data.tools.preview import sheet

    dataset = data.CamVid(fakes.camvid.write(tmp_path))
    page = np.array(sheet(dataset, [0], width=32))
    size = (24, 32)
    cell = page[16:40, 36:68]
    void = dataset.targets["segmentation"].void_mask(dataset[0]["segmentation"])
    void = np.array(Image.fromarray(void.numpy()).resize((32, 24), Image.Resampling.NEAREST))
    stripes = {(214, 214, 220), (150, 150, 160)}
    shown = np.array([[tuple(map(int, p)) in stripes for p in row] for row in cell])
    assert cell.shape[:2] == size
    assert np.array_equal(shown, void) and void.any()
    black = (page[16:40, 72:104] == 0).all(-1)
    edges = dataset[0]["edges"]
    hit = torch.nn.functional.adaptive_max_pool2d((edges == 1).float()[None], size)[0, 0] > 0
    assert np.array_equal(black, hit.numpy())


def test_prepare_nyudv2_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, root = fakes.nyudv2.write_mat(tmp_path / "mat"), tmp_path / "nyu"
    arguments = ("prepare", "nyudv2", "--source", str(source), "--root", str(root))
    code, found = report(capsys, *arguments)
    assert (code, found["written"], found["splits"]) == (0, 5, {"train": 3, "val": 2})
    dataset = data.NYUDv2(root, "val", smoothing=0)
    assert [f.name for f in dataset.frames] == ["0001", "0002"]
    sample = dataset[0]
    assert sample["image"].shape == (3, 85, 112)  # 425x560 of 480x640, at a fifth
    size = (96, 128)
    camera = tuple(value * size[1] / 640 for value in (518.8579, 519.46961, 325.58245, 253.73617))
    scene = fakes.nyudv2.render(0, size, camera, open_sky=False, extent=0.5)
    rows, columns = slice(9, 94), slice(8, 120)
    assert np.allclose(sample["depth"][0].numpy(), scene.depth[rows, columns])
    ids = np.array([0, 2, 1, 8, 5, 22])[scene.regions][rows, columns] - 1
    assert np.array_equal(sample["segmentation"].numpy(), ids)
    assert set(dataset.modalities) == {"segmentation", "depth", "normals", "edges"}


def test_prepare_is_taken_up_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted run leaves no list of frames; the next one writes what is missing."""
    source, root = fakes.nyudv2.write_mat(tmp_path / "mat"), tmp_path / "nyu"
    arguments = ("prepare", "nyudv2", "--source", str(source), "--root", str(root))
    assert report(capsys, *arguments)[0] == 0
    (root / "depth" / "0002.npy").unlink()
    (root / "gt_sets" / "train.txt").unlink()
    (root / "images" / "0004.png.part").write_bytes(b"half")
    with pytest.raises(DataError, match="gt_sets"):
        data.NYUDv2(root)
    code, found = report(capsys, *arguments, "--workers", "1")
    assert (code, found["written"], found["kept"]) == (0, 1, 4)
    assert len(data.NYUDv2(root)) == 3
    raw = tmp_path / "raw"
    assert (
        report(
            capsys, "prepare", "nyudv2", "--source", str(source), "--root", str(raw), "--raw-depth"
        )[0]
        == 0
    )
    assert bool((data.NYUDv2(raw)[0]["depth"] == 0).any())


def test_prepare_says_what_is_missing(tmp_path: Path) -> None:
    source = fakes.nyudv2.write_mat(tmp_path / "mat")
    (source / "classMapping40.mat").unlink()
    with pytest.raises(DataError, match=r"no classMapping40.mat; expected .*s-gupta"):
        main(["prepare", "nyudv2", "--source", str(source), "--root", str(tmp_path / "nyu")])
    assert not (tmp_path / "nyu").exists()
    (source / "nyu_depth_v2_labeled.mat").write_bytes(b"no hdf5 at all")
    from scipy.io import savemat

    fakes.nyudv2.write_mat(tmp_path / "again")
    splits = {"trainNdxs": np.array([[3], [795]]), "testNdxs": np.array([[1]])}
    savemat(tmp_path / "again" / "splits.mat", splits)
    arguments = ("--source", str(tmp_path / "again"), "--root", str(tmp_path / "nyu"))
    with pytest.raises(DataError, match=r"names frame 795 under 'trainNdxs'; expected .* 1 to 5"):
        main(["prepare", "nyudv2", *arguments])
    assert not (tmp_path / "nyu").exists()  # before anything is converted
    fakes.nyudv2.write_mat(tmp_path / "again")
    (tmp_path / "again" / "classMapping40.mat").replace(source / "classMapping40.mat")
    with pytest.raises(DataError, match="not a readable HDF5"):
        main(["prepare", "nyudv2", "--source", str(source), "--root", str(tmp_path / "nyu")])


def test_prepare_shrinks_cityscapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fakes.cityscapes.write(tmp_path)
    code, found = report(capsys, "prepare", "cityscapes", "--root", str(root), "--size", "32x64")
    assert code == 0
    assert found["written"] == found["frames"] == 7 + 12
    small = data.Cityscapes(
        root, images="leftImg8bit_small", modalities=("segmentation", "neighbours")
    )
    assert small[0]["image"].shape == (3, 32, 64)
    full = data.Cityscapes(root, images="leftImg8bit")[0]["image"]
    halves = torch.nn.functional.avg_pool2d(full, 2)
    assert float((small[0]["image"] - halves).abs().mean()) < 0.03
    assert (
        report(capsys, "prepare", "cityscapes", "--root", str(root), "--size", "32x64")[1][
            "written"
        ]
        == 0
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["check", "cityscape"], "did you mean cityscapes"),
        (["check", "cityscapes"], "expected the tree"),
        (["preview", "camvid", "--split", "tain"], "CamVid has train"),
        (["check", "camvid", "--option", "clases=3"], "unknown option of camvid"),
        (["check", "camvid", "--option", "seed"], "expected NAME=VALUE"),
        (["check", "camvid", "--modalities", "depth"], "can never have"),
    ],
)
def test_wrong_use(tmp_path: Path, argv: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main([*argv, "--root", str(tmp_path)])


def test_wrong_arguments_exit_2() -> None:
    for argv in ([], ["chekc"], ["check"], ["prepare", "kitti", "--root", "."]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 2


def test_options_of_the_reader_are_given_as_in_a_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fakes.camvid.write(tmp_path)
    command = ["check", "camvid", "--root", str(root), "--partial", "--split", "train"]
    code, plain = report(capsys, *command)
    for given in (["--subset", "2"], ["--subset=2"], ["--option", "subset=2"]):
        code, found = report(capsys, *command, *given)
        assert code == 0 and found["splits"]["train"]["frames"] == 2
    assert plain["splits"]["train"]["frames"] == 4
    with pytest.raises(ValueError, match="`--subset` has no value"):
        main([*command, "--subset"])
    with pytest.raises(ValueError, match="unknown option '--subsett'"):
        main([*command, "--subsett", "2"])
