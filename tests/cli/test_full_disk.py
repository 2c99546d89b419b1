"""Every command that writes files, on a disk without room: which file, and nothing half written."""

from pathlib import Path

import pytest
import torch

import fakes.annotated
import fakes.camvid
from crosstask.cli import main
from crosstask.media.video import write_video
from fakes.full_disk import no_room_beyond
from fakes.scenes import scene_tasks
from fakes.served import tiny_model

OLD = b"of an earlier run"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a video, a dataset and a run."""
    folder = tmp_path_factory.mktemp("sources")
    tiny_model("multi_task", scene_tasks()[:2]).save_pretrained(folder / "model")
    noise = torch.Generator().manual_seed(0)
    frames = [torch.randint(0, 256, (3, 64, 128), generator=noise).byte() for _ in range(4)]
    write_video(folder / "clip.mp4", frames)
    fakes.camvid.write(folder / "camvid")
    options = {
        "run": folder / "run", "encoder": "resnet10t", "width": 0.0625, "size": "32x64",
        "tasks": "segmentation,depth", "train-length": 2, "val-length": 2, "batch-size": 2, "workers": 0,
        "steps": 1, "accelerator": "cpu", "precision": 32,
    }  # fmt: skip
    given = [f"--{name}={value}" for name, value in options.items()]
    assert main(["train", "procedural.supervised", "--quiet", *given]) == 0
    return folder


def refused(
    arguments: list[object], limit: int, named: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    """Runs a command with files of at most `limit` bytes; what it says of `named`."""
    capsys.readouterr()
    with no_room_beyond(limit):
        code = main([str(argument) for argument in arguments])
    said = capsys.readouterr().err
    assert code == 2 and "Traceback" not in said, said
    assert f"there is no room for {named}" in said and "run the same command again" in said
    return said


EXPORT = "export PLACE/model --samples 0 --image-size 32x64"
# command, bytes of room, the file of the output folder that has no room
FILES: dict[str, tuple[str, int, str]] = {
    "pt2": (f"{EXPORT} --format pt2 --output OUT/m.pt2", 9000, "m.pt2"),
    "onnx": (f"{EXPORT} --format onnx --output OUT/m.onnx", 9000, "m.onnx"),
    "video": (
        "predict PLACE/model PLACE/clip.mp4 --device cpu --output OUT", 900, "clip_side_by_side.mp4"
    ),
    "bench": (
        "bench --architectures multi_task --encoder resnet10t --width 0.0625 --sizes 32x64 --rounds 1 "
        "--plot OUT/p.png", 900, "p.png"
    ),
    "compare": ("compare PLACE/run --images --samples 1 --output OUT/c.png", 900, "c.png"),
    "table": ("table PLACE/run --no-cost --baseline none --write OUT/t.md", 20, "t.md"),
    "splits": (
        "data check camvid --root PLACE/camvid --partial --workers 0 --write-splits OUT", 20,
        "camvid_train.txt",
    ),
    "stream": (
        "stream PLACE/model PLACE/clip.mp4 --all --device cpu --output OUT", 900,
        "stream_side_by_side.mp4",
    ),
    "stream: files": (
        "stream PLACE/model PLACE/clip.mp4 --all --device cpu --video files --output OUT", 900,
        "stream_000000_",
    ),
    "stream: cloud": (
        "stream PLACE/model PLACE/clip.mp4 --all --device cpu --cloud 1 --output OUT", 9000,
        "stream_000000.ply",
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", FILES)
def test_a_file_is_named_and_an_earlier_one_stays(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    text, limit, name = FILES[command]
    arguments: list[object] = [
        word.replace("PLACE", str(place)).replace("OUT", str(tmp_path)) for word in text.split()
    ]
    file = tmp_path / name
    if file.suffix:
        file.write_bytes(OLD)
    assert ("its old content is intact" in refused(arguments, limit, file, capsys)) == file.exists()
    written = contents(tmp_path)
    assert written.pop(file, OLD) == OLD
    assert not [path for path in written if path.suffix == ".part"]


@pytest.mark.parametrize("tool", ["coco", "cvat", "labelme", "labelstudio"])
def test_prepared_annotations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tool: str
) -> None:
    """What is there is whole; the lists of a split, which come last, are not; the same command goes on."""
    if tool == "coco":
        pytest.importorskip("pycocotools")
    source, out = fakes.annotated.write(tool, tmp_path / "source"), tmp_path / "out"
    command: list[object] = ["data", "prepare", tool, source, "--output", out, "--workers", "0"]
    said = refused(command, 400, out / "images/photo_0.png", capsys)
    assert "it needs" in said and "no half of it" in said
    record = out / ".prepare.json"
    assert list(contents(out)) == [record]
    assert main([str(word) for word in command]) == 0
    whole = contents(out)
    assert main(["data", "check", "folder", "--root", str(out), "--workers", "0"]) == 0

    image, mask = out / "images/photo_2.png", out / "segmentation/photo_2.png"
    mask.unlink()
    assert "its old content is intact" in refused(command, 60, image, capsys)
    assert contents(out) == {path: data for path, data in whole.items() if path != mask}
    assert main([str(word) for word in command]) == 0
    listed = out / "splits/train.txt"
    listed.unlink()
    refused(command, 20, out / "classes.txt", capsys)
    assert not listed.exists() and contents(out).items() < whole.items()


def test_shards(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Until all of the new ones are there, the old ones are."""
    out = tmp_path / "shards"
    command = [
        "data",
        "pack",
        "camvid",
        "--root",
        place / "camvid",
        "--output",
        out,
        "--workers",
        0,
    ]
    assert "it needs" in refused(command, 9000, out / "train", capsys)
    assert not list(out.iterdir())
    assert main([str(word) for word in command]) == 0
    whole = contents(out)
    for room in (9000, max(map(len, whole.values())) - 1):
        refused([*command, "--size", "64x128"], room, out / "train", capsys)
        assert contents(out) == whole
