"""The command line: quick help, exit codes, errors that name the nearest thing, predictions."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.cli.main import COMMANDS, main
from crosstask.predict.model import load

TINY = [
    "--encoder", "resnet10t", "--width", "0.0625", "--size", "32x64", "--steps", "1",
    "--train-length", "2", "--val-length", "1", "--batch-size", "2", "--workers", "0", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "procedural.supervised", "--run", str(folder), *TINY]) == 0
    return folder


@pytest.fixture(scope="module")
def aware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "aware"
    command = ["train", "procedural.supervised", "--run", str(folder), *TINY]
    assert main([*command, "--canonical-focal", "60", "--tasks", "depth,segmentation"]) == 0
    return folder


def photo(path: Path, size: tuple[int, int] = (90, 50), mode: str = "RGB") -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def test_help_and_lists_import_nothing_heavy() -> None:
    code = (
        "import sys; from crosstask.cli import main\n"
        "for line in ('--help', 'recipes', 'models', 'models --json', 'data list', 'data list --json',"
        " 'completion bash'):\n"
        "    assert main(line.split()) == 0, line\n"
        "    heavy = [m for m in ('torch', 'numpy', 'lightning', 'timm') if m in sys.modules]\n"
        "    assert not heavy, (line, heavy)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize("unbuffered", [["-u"], []])
@pytest.mark.parametrize("command", ["--help", "data list", "recipes --json"])
def test_a_reader_that_leaves_ends_it_quietly(command: str, unbuffered: list[str]) -> None:
    """As `crosstask ... | head -1` does, at the worst moment: before the first line."""
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, *unbuffered, "-m", "crosstask", *command.split()]
    try:
        done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert done.stderr == "" and done.returncode == 128 + signal.SIGPIPE


def test_python_runs_the_package() -> None:
    command = [sys.executable, "-m", "crosstask", "trian"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and "did you mean train" in result.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("trian", "did you mean train"),
        ("train procedural.superwised --run x", "did you mean procedural.supervised"),
        ("train procedural.supervised --run x --stepz 3", "did you mean --steps"),
        ("study exchange --quick --stepz 3", "`crosstask study NAME --dataset procedural --help`"),
        (
            "predict x.png --outptu y",
            "mean --output or --trust or --trust-file? `crosstask predict",
        ),
        (
            "data check camvid --rot=x",
            "mean --root or --option or --partial? `crosstask data check --help`",
        ),
        ("compare x --images --smaples 3", "did you mean --samples or"),
        ("table x --basline y", "did you mean --baseline or"),
        ("train procedural.supervised --run x --tasks segmentation,dept", "did you mean depth"),
        ("train procedural.supervised --run x --tasks depth,depth", "depth twice"),
        ("train procedural.supervised --run x --tasks depth", "single_task"),
        ("train procedural.supervised --run x --architecture densemtx", "densemtl"),
        ("train procedural.supervised --run x --size 12", "HEIGHTxWIDTH"),
        ("train procedural.supervised --run x --optimizer papre", "expected one of paper"),
        ("train procedural.supervised --run x --precision 8", "expected auto, bf16 or 32"),
        ("train procedural.supervised --run x --options.fusoin add", "fusion"),
        ("train camvid.supervised --run x --no-pretrained --encoder resnet10t", "--root DIR"),
        ("train nothing.py:f --run x", "no file nothing.py"),
        ("evaluate nowhere", "not a run directory"),
        ("predict nowhere nothing.png --output o", "no file or folder nothing.png"),
    ],
)
def test_wrong_use_says_what_to_do(
    command: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.ckpt")) and not (tmp_path / "x" / "metrics.csv").exists()


def test_a_recipe_of_ones_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "from crosstask.recipes.procedural import supervised\n"
        "def ablation(width: float = 0.0625):\n"
        '    """Mine."""\n'
        "    return supervised(width=width, tasks='segmentation,depth', size='32x64')\n"
    )
    assert main(["info", f"{tmp_path}/mine.py:ablation", "--width", "0.125", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["tasks"] == ["segmentation", "depth"] and facts["size"] == [32, 64]
    assert main(["info", f"{tmp_path}/mine.py:ablatoin"]) == 2
    assert "did you mean ablation" in capsys.readouterr().err


def test_info_of_the_papers_network(capsys: pytest.CaptureFixture[str]) -> None:
    """Spec: 87.40 M with 16 classes and 492.1 GMACs at 512x1024, S-D."""
    command = ["info", "procedural.supervised", "--encoder", "resnet101", "--width", "1.0"]
    assert main([*command, "--size", "512x1024", "--tasks", "segmentation,depth", "--json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    assert round(total["parameters"] / 1e6, 2) == 87.40  # 14 classes: 87,399,070
    assert total["parameters"] == 87_399_070
    assert total["macs"] / 1e9 == pytest.approx(492.1, abs=0.15)


def test_config_files_go_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["info", "procedural.supervised"]
    assert (
        main([*command, "--tasks", "segmentation,depth", "--width", "0.0625", "--print-config"])
        == 0
    )
    text = capsys.readouterr().out
    assert "width: 0.0625" in text
    (tmp_path / "c.yaml").write_text(text)
    assert main([*command, "--config", str(tmp_path / "c.yaml"), "--size", "32x64", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["tasks"] == ["segmentation", "depth"] and facts["size"] == [32, 64]


class TestPredict:
    def test_files_of_one_photograph(self, run: Path, tmp_path: Path) -> None:
        image = photo(tmp_path / "street.jpg")
        assert main(["predict", str(run), str(image), "--output", str(tmp_path / "out")]) == 0
        out = tmp_path / "out"
        names = sorted(p.name for p in out.iterdir())
        assert names == [
            "crosstask-predict.json", "street.json", "street_depth_up_to_scale.npy", "street_depth_up_to_scale.png",
            "street_edges.png", "street_normals.npy", "street_normals.png", "street_panel.png",
            "street_segmentation.png",
        ]  # fmt: skip
        classes = np.asarray(Image.open(out / "street_segmentation.png"))
        assert classes.shape == (50, 90) and classes.dtype == np.uint8 and classes.max() < 14
        depth = np.load(out / "street_depth_up_to_scale.npy")
        assert depth.shape == (50, 90) and depth.dtype == np.float32 and (depth > 0).all()
        with Image.open(out / "street_depth_up_to_scale.png") as coded:
            scale = float(coded.text["scale"])
            assert np.abs(np.asarray(coded) * scale - depth).max() <= scale / 2 + 1e-4
        normals = np.load(out / "street_normals.npy")
        assert normals.shape == (3, 50, 90)
        assert np.linalg.norm(normals, axis=0) == pytest.approx(1.0, abs=1e-4)

    def test_a_known_camera_makes_depth_metric(self, aware: Path, tmp_path: Path) -> None:
        image = photo(tmp_path / "a.png")
        command = ["predict", str(aware), str(image), "--output"]
        assert main([*command, str(tmp_path / "near"), "--fx", "60"]) == 0
        assert main([*command, str(tmp_path / "far"), "--intrinsics", "120,120,45,25"]) == 0
        near = np.load(tmp_path / "near/a_depth.npy")
        far = np.load(tmp_path / "far/a_depth.npy")
        inside = (near > 1.01) & (far < 79)  # not clamped to the range
        assert inside.any()
        assert far[inside] / near[inside] == pytest.approx(2.0, rel=1e-3)
        file = tmp_path / "camera.yaml"  # of images of twice the size: half its focal length
        size = "image_width: 180\nimage_height: 100\n"
        file.write_text(size + "K: [240, 0, 89.5, 0, 240, 49.5, 0, 0, 1]\n")
        assert main([*command, str(tmp_path / "file"), "--intrinsics", str(file)]) == 0
        assert np.allclose(np.load(tmp_path / "file/a_depth.npy"), far, rtol=1e-3)
        file.write_text(file.read_text() + "distortion_model: equidistant\nD: [1, 0, 0, 0]\n")
        assert main([*command, str(tmp_path / "fish"), "--intrinsics", str(file)]) == 2
        assert not (tmp_path / "fish/a_depth.npy").exists()
        assert main([*command, str(tmp_path / "unknown")]) == 0
        assert (tmp_path / "unknown/a_depth_up_to_scale.npy").is_file()

    def test_metres_from_a_field_of_view_and_from_exif(
        self, aware: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        plain, phone = photo(tmp_path / "plain.png"), tmp_path / "phone.jpg"
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA405] = 26
        Image.open(plain).save(phone, exif=exif)
        out = tmp_path / "out"
        command = ["predict", str(aware), str(plain), str(phone), "--output", str(out)]
        assert main(command) == 0
        said = capsys.readouterr()
        assert "focal length 62 pixels from EXIF (26 mm on 35 mm film))" in said.out
        assert (
            "note: depth is up to scale: its scale follows from the focal length: give" in said.err
        )
        known, unknown = (json.loads((out / f"{n}.json").read_text()) for n in ("phone", "plain"))
        assert known["depth"] == "metres along the optical axis"
        assert known["intrinsics_from"] == "EXIF (26 mm on 35 mm film)"
        assert unknown["depth_kind"] == "up to scale" and "intrinsics" not in unknown
        assert "metre" not in json.dumps(unknown)
        assert main([*command, "--fov", "90"]) == 0
        assert (
            "focal length 45 pixels from a field of view of 90 degrees" in capsys.readouterr().out
        )
        for name in ("phone", "plain"):
            assert json.loads((out / f"{name}.json").read_text())["intrinsics"][0][0] == 45.0

    def test_one_focal_length_in_pixels_for_several_sizes_warns(
        self, aware: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        images = [str(photo(tmp_path / f"{n}.png", (n, 50))) for n in (80, 90, 100)]
        command = ["predict", str(aware), *images, "--output", str(tmp_path / "out")]
        assert main([*command, "--fx", "60"]) == 0
        said = capsys.readouterr().err
        assert (
            said.count("warning: ") == 1 and "80 x 50, and `fx` is in pixels: it cannot fit" in said
        )
        assert main([*command, "--fov", "60"]) == 0
        assert "warning" not in capsys.readouterr().err

    def test_metres_of_the_camera_that_training_had(
        self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        described = json.loads((run / "model.json").read_text())
        low, high = described["training_camera"]["focal"]
        assert "metric for the training camera only" in described["camera"]
        image = photo(tmp_path / "a.png")  # 90 x 50; the network's input has 64 x 32 pixels
        own = (low * high * 50 * 90 / (32 * 64)) ** 0.5
        command = ["predict", str(run), str(image), "--output"]
        assert main([*command, str(tmp_path / "own"), "--fx", str(own)]) == 0
        said = capsys.readouterr()
        assert (
            "(depth metric for the training camera, focal length" in said.out
            and "note:" not in said.err
        )
        assert (tmp_path / "own/a_depth.npy").is_file()
        sheet = json.loads((tmp_path / "own/a.json").read_text())
        assert sheet["kinds"] == {"depth": "metric for the training camera"}
        assert sheet["depth"] == "metres along the optical axis"
        assert main([*command, str(tmp_path / "other"), "--fx", str(3 * own)]) == 0
        said = capsys.readouterr()
        assert f"note: depth is up to scale: the focal length is {3 * own:.0f} pixels" in said.err
        assert (tmp_path / "other/a_depth_up_to_scale.npy").is_file()
        sheet = json.loads((tmp_path / "other/a.json").read_text())
        assert sheet["depth_kind"] == "up to scale" and "training camera" in sheet["notes"]["depth"]

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16"])
    def test_images_of_every_kind(self, run: Path, tmp_path: Path, mode: str) -> None:
        path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
        if mode == "I;16":
            Image.fromarray(np.full((40, 40), 30_000, np.uint16)).save(path)
        else:
            photo(path, (40, 40), mode)
        value = load(run).predict(path)
        assert value["segmentation"].shape == (40, 40)
        assert value.image.min() >= 0 and value.image.max() <= 1

    def test_exif_rotation_is_followed(self, run: Path, tmp_path: Path) -> None:
        path = tmp_path / "turned.jpg"
        image = Image.new("RGB", (60, 40))
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
        assert load(run).predict(path)["segmentation"].shape == (60, 40)

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"", "zero bytes"), (b"hello", "not an image"), (None, "cut or damaged")],
    )
    def test_bad_files_are_named_and_the_others_done(
        self,
        run: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        content: bytes | None,
        words: str,
    ) -> None:
        good = photo(tmp_path / "good.png")
        bad = tmp_path / "bad.png"
        whole = photo(tmp_path / "whole.png").read_bytes()
        bad.write_bytes(whole[: len(whole) // 2] if content is None else content)
        out = tmp_path / "out"
        assert main(["predict", str(run), str(bad), str(good), "--output", str(out)]) == 2
        error = capsys.readouterr().err
        assert "bad.png" in error and words in error
        assert (out / "good_panel.png").is_file() and not list(out.glob("bad*"))

    def test_an_empty_folder(
        self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "empty").mkdir()
        assert main(["predict", str(run), str(tmp_path / "empty"), "--output", "o"]) == 2
        assert "holds no images" in capsys.readouterr().err

    def test_arrays_tensors_and_lists(self, run: Path) -> None:
        model = load(run)
        array = np.zeros((33, 47, 3), np.uint8)
        one, two = model.predict([array, torch.zeros(3, 33, 47)])
        assert one["depth"].shape == two["depth"].shape == (1, 33, 47)
        assert torch.equal(one["segmentation"], two["segmentation"])
        with pytest.raises(ValueError, match="has 1 channel; this model takes 3"):
            model.predict(torch.zeros(1, 33, 47))


def test_a_run_without_checkpoint(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r").mkdir()
    for name in ("config.yaml", "model.json"):
        (tmp_path / "r" / name).write_text((run / name).read_text())
    assert main(["evaluate", str(tmp_path / "r")]) == 2
    assert "holds no model" in capsys.readouterr().err


def test_a_run_that_is_there_already_brings_the_command_that_continues_it() -> None:
    from crosstask.cli.train import exact_command
    from crosstask.engine.resuming import RunExists

    found = "runs/a b already holds a run of x, stopped at step 3 of 6"
    argv = ["x", "--run", "runs/a b"]
    with (
        pytest.raises(ValueError, match="crosstask train x --run 'runs/a b' --resume\n"),
        exact_command(argv),
    ):
        raise RunExists(found, "continue it with `--resume`", same=True)
    with pytest.raises(RunExists, match="choose another"), exact_command(argv):
        raise RunExists(found, "choose another `--run`", same=False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_the_exit_code_of_any_command(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import crosstask.cli.models

    monkeypatch.setattr(crosstask.cli.models, "main", lambda argv: os.kill(os.getpid(), number))
    # A shell starts what runs in the background with Ctrl-C ignored; here it is not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["models"]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "stopped\n"
