"""Bad input as a user meets it: exit code, the file's name and what to do, and no stack trace."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fakes.camvid
import fakes.cityscapes
import fakes.nyudv2
import fakes.pascal_context
import fakes.sevenscenes
import fakes.synthia
import fakes.vkitti2
from crosstask.cli import main

# What is damaged, and what the message must say.
Damage = Callable[[Path], tuple[Path, str]]


def _first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def missing_label(root: Path) -> tuple[Path, str]:
    path = _first(root, "gtFine/train/*/*labelIds.png")
    path.unlink()
    return path, "is missing"


def truncated_image(root: Path) -> tuple[Path, str]:
    path = _first(root, "leftImg8bit/train/*/*.png")
    path.write_bytes(path.read_bytes()[:900])
    return path, "cut off"


def eight_bit_disparity(root: Path) -> tuple[Path, str]:
    path = _first(root, "disparity/train/*/*.png")
    Image.fromarray((np.array(Image.open(path)) >> 8).astype(np.uint8)).save(path)
    return path, "8 bits a channel; expected 16"


def unknown_id(root: Path) -> tuple[Path, str]:
    path = _first(root, "gtFine/train/*/*labelIds.png")
    ids = np.array(Image.open(path))
    ids[0, 0] = 34
    Image.fromarray(ids).save(path)
    return path, "label value 34"


def missing_camera(root: Path) -> tuple[Path, str]:
    path = _first(root, "camera/train/*/*.json")
    path.unlink()
    return path, "is missing"


def malformed_camera(root: Path) -> tuple[Path, str]:
    path = _first(root, "camera/train/*/*.json")
    path.write_text('{"intrinsic": {"fx": 2262.52}}')
    return path, "extrinsic"


def other_size(root: Path) -> tuple[Path, str]:
    path = _first(root, "gtFine/train/*/*labelIds.png")
    Image.open(path).resize((64, 64), Image.Resampling.NEAREST).save(path)
    return path, "is 64x64, but"


CITYSCAPES: tuple[Damage, ...] = (
    truncated_image,
    eight_bit_disparity,
    unknown_id,
    missing_camera,
    malformed_camera,
    other_size,
)


@pytest.mark.parametrize("damage", CITYSCAPES)
def test_check_names_the_file(
    damage: Damage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, message = damage(fakes.cityscapes.write(tmp_path / "city"))
    command = ["data", "check", "cityscapes", "--root", str(tmp_path / "city"), "--partial"]
    assert main([*command, "--split", "train"]) == 1
    defects = [line for line in capsys.readouterr().out.splitlines() if "DEFECT" in line]
    assert len(defects) == 1 and str(path) in defects[0] and message in defects[0]


def test_a_missing_label_is_a_note_in_a_part_of_a_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, message = missing_label(fakes.cityscapes.write(tmp_path / "city"))
    command = ["data", "check", "cityscapes", "--root", str(tmp_path / "city"), "--split", "train"]
    assert main([*command, "--partial"]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "note:" in line]
    assert any(f"1 of 4 frames have no file, such as {path}" in line for line in notes)
    assert main(command) == 1
    assert f"{path} {message}" in capsys.readouterr().out


TINY = ["--size", "32x64", "--encoder", "resnet10t", "--no-pretrained", "--width", "0.0625"]
TINY += ["--batch-size", "2", "--workers", "0", "--quiet"]


@pytest.mark.parametrize("damage", [missing_label, truncated_image])
def test_training_stops_at_a_bad_file(
    damage: Damage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, message = damage(fakes.cityscapes.write(tmp_path / "city"))
    command = ["train", "cityscapes.supervised", "--root", str(tmp_path / "city")]
    assert main([*command, "--run", str(tmp_path / "run"), "--steps", "4", *TINY]) == 2
    said = capsys.readouterr().err
    assert f"error: {path}" in said and message in said and "Traceback" not in said


def test_a_bad_file_that_a_loader_process_meets_is_one_message_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, message = truncated_image(fakes.cityscapes.write(tmp_path / "city"))
    command = ["train", "cityscapes.supervised", "--root", str(tmp_path / "city")]
    words = [*command, "--run", str(tmp_path / "run"), "--steps", "4", *TINY, "--workers", "1"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"error: {path}" in said and message in said
    assert "Traceback" not in said and "worker" not in said


@pytest.mark.filterwarnings("ignore:skipped sample:RuntimeWarning")
def test_training_skips_bad_files_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fakes.synthia.write(tmp_path / "synthia")
    labels, depth = root / "GT/LABELS/0000000.png", root / "Depth/Depth/0000003.png"
    labels.unlink()
    depth.write_bytes(depth.read_bytes()[:200])
    command = ["train", "synthia.supervised", "--root", str(root), "--run", str(tmp_path / "run")]
    assert main([*command, "--steps", "4", "--skip-bad", *TINY]) == 0  # a switch without a value
    assert "skipped 2 of 4 training samples" in capsys.readouterr().err
    report = json.loads((tmp_path / "run" / "skipped.json").read_text())
    assert report == {"skipped": 2, "of": 4, "frames": ["0000000", "0000003"]}


@pytest.mark.filterwarnings("ignore:skipped sample:RuntimeWarning")
def test_a_mixture_names_what_it_skipped(tmp_path: Path) -> None:
    from crosstask import data

    camvid = data.CamVid(fakes.camvid.write(tmp_path / "camvid"))
    rooms = data.SevenScenes(fakes.sevenscenes.write(tmp_path / "rooms"))
    rooms.frames[1].files["depth"].unlink()
    skipping = data.SkipBad(data.Mixture([(camvid, 1.0), (rooms, 1.0)]))
    assert [skipping[i]["name"] for i in (4, 5)] == [rooms.frames[0].name, rooms.frames[2].name]
    assert skipping.report()["frames"] == [f"sevenscenes/{rooms.frames[1].name}"]


@pytest.mark.parametrize(
    ("name", "write", "listing"),
    [
        ("nyudv2", fakes.nyudv2.write, "gt_sets/train.txt"),
        ("pascal_context", fakes.pascal_context.write, "ImageSets/Context/train.txt"),
    ],
)
def test_official_list_with_a_frame_that_is_not_there(
    name: str,
    write: Callable[[Path], Path],
    listing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path) / listing
    path.write_text(path.read_text() + "9999\n")
    command = ["data", "check", name, "--root", str(tmp_path), "--partial", "--split", "train"]
    assert main(command) == 1
    assert f"{path} names the frame '9999'" in capsys.readouterr().out


def test_split_file_with_a_frame_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fakes.camvid.write(tmp_path / "camvid")
    (tmp_path / "mine.txt").write_text("nobody\n")
    option = f"split_file={tmp_path / 'mine.txt'}"
    command = ["data", "check", "camvid", "--root", str(root), "--split", "train"]
    assert main([*command, "--option", option]) == 2
    assert f"{tmp_path / 'mine.txt'} names the frame 'nobody'" in capsys.readouterr().err


def test_wrong_root_shows_tree_home_and_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", "vkitti2", "--root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    for part in (str(tmp_path), "frames/rgb/Camera_0", "europe.naverlabs.com", "CC BY-NC-SA 3.0"):
        assert part in said
    assert main(["data", "check", "vkitti2"]) == 2
    assert "`--root` is missing" in capsys.readouterr().err


def test_a_split_that_is_not_there_is_a_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fakes.camvid.write(tmp_path)
    (root / "train").rename(root / "elsewhere")
    command = ["data", "check", "camvid", "--root", str(root), "--json"]
    assert main(command) == 1
    defects = json.loads(capsys.readouterr().out)["splits"]["train"]["defects"]
    assert defects == [f"`root` is {root}, which has no images in train/"]
    assert main([*command, "--partial"]) == 0  # a part of the data, as asked for
    assert json.loads(capsys.readouterr().out)["splits"]["train"]["notes"] == defects


def test_a_damaged_list_is_a_defect_even_of_a_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fakes.nyudv2.write(tmp_path)
    (root / "gt_sets" / "val.txt").write_text("0900\n0900\n")
    assert main(["data", "check", "nyudv2", "--root", str(root), "--partial"]) == 1
    assert "lists '0900' twice" in capsys.readouterr().out


def test_synthia_sequences_are_not_read_by_the_other_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Id 12 is a motorcycle in RAND-CITYSCAPES and a lane marking in the sequences."""
    root = fakes.synthia.write(tmp_path, train=31, variant="seqs")
    command = ["data", "check", "synthia", "--root", str(root), "--limit", "2"]
    assert main(command) == 2
    assert "variant=seqs" in capsys.readouterr().err
    assert main([*command, "--option", "variant=seqs"]) == 0
