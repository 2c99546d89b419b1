"""Where attention looks: numbers that tell a choice from an average, and the figure."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from torch import nn

from crosstask.cli import main
from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.attention import Seen, draw_attention, measure_attention
from crosstask.models import create_model
from crosstask.models.exchanges.xtam import CrossTaskAttention
from crosstask.tasks import Depth, Segmentation

TASKS = (Segmentation(2), Depth())
IMAGES = [
    Seen(torch.rand(3, 64, 128, generator=torch.Generator().manual_seed(k)), (64, 128))
    for k in range(2)
]


def network(sharpness: float, name: str = "densemtl", **options: Any) -> nn.Module:
    """Attention whose queries and keys are scaled: 0 is even, large looks at one cell."""
    torch.manual_seed(0)
    made = create_model(
        name, TASKS, encoder="test_resnet", pretrained=False, width=0.125, **options
    )
    for module in made.modules():
        if isinstance(module, CrossTaskAttention) and module.correlation is not None:
            for part in (module.correlation.query, module.correlation.key):
                for parameter in cast(nn.Module, part).parameters():
                    parameter.data *= sharpness
            if module.correlation.alpha is not None:
                module.correlation.alpha.data.fill_(-0.25)
    return made.eval()


def test_even_attention_is_told_from_a_choice() -> None:
    even = measure_attention(network(0.0), IMAGES)
    sharp = measure_attention(network(100.0), IMAGES)
    assert (even["images"], even["level"]) == (2, 1)
    assert [(d["target"], d["source"]) for d in even["directions"]] == [
        ("segmentation", "depth"),
        ("depth", "segmentation"),
    ]
    for flat, narrow in zip(even["directions"], sharp["directions"], strict=True):
        assert flat["half"] == pytest.approx(0.5, abs=0.01)
        assert flat["difference"] == pytest.approx(0.0, abs=1e-6)
        assert flat["alpha"] == pytest.approx(0.25) and not flat["reason"]
        assert narrow["half"] < 0.1 < narrow["difference"] <= 1
    assert json.loads(json.dumps(sharp)) == sharp


def test_what_fills_the_input_is_not_looked_at_from() -> None:
    """The grid of pixels lies on the image, not on the padding beside it."""
    model = network(10.0)

    def differences(content: tuple[int, int]) -> list[float]:
        found = measure_attention(model, [Seen(IMAGES[0].image, content)], pixels=(2, 2))
        return [d["difference"] for d in found["directions"]]

    assert differences((32, 64)) == differences((34, 66))  # pixels of the same cells
    assert differences((32, 64)) != differences((64, 128))


def test_directions_without_positions_and_networks_without_attention(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no exchange between tasks"):
        measure_attention(network(1.0, "multi_task_matched"), IMAGES)
    with pytest.raises(RunError, match=r"`--level` is 3; this network has attention at 1"):
        measure_attention(network(1.0), IMAGES, level=3)
    several = network(1.0, levels=[2, 1])
    assert measure_attention(several, IMAGES[:1], level=2)["level"] == 2
    file = tmp_path / "a.png"
    draw_attention(network(1.0), IMAGES, file, pixel=(0.5, 0.99))
    with Image.open(file) as image:
        assert image.height > image.width / 3 > 300  # two images of two targets each


def test_the_command_draws_the_runs_own_images_and_given_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [
        "--steps=1",
        "--size=32x64",
        "--encoder=test_resnet",
        "--width=0.125",
        "--batch-size=2",
    ]
    small += ["--train-length=2", "--val-length=3", "--workers=0", "--quiet", "--accelerator=cpu"]
    small += ["--tasks=segmentation,depth", "--architecture=densemtl"]
    assert main(["train", "procedural.supervised", "--run", "run", *small]) == 0
    capsys.readouterr()
    assert main(["attention", "run", "--samples", "2", "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 2 and len(found["directions"]) == 2
    assert Path("attention.png").is_file()
    Image.new("RGB", (90, 60), (90, 120, 30)).save("photo.png")
    command = ["attention", "run", "photo.png", "--output", "one.svg", "--device", "cpu"]
    assert main(command) == 0
    assert "stride 2, images: 1" in capsys.readouterr().out and Path("one.svg").is_file()
    for more, expected in (
        (["--pixel", "3,4"], "`--pixel` is '3,4'"),
        (["--samples", "0"], "at least 1"),
        (["--output", "a.docx"], "a.docx"),
        (["--level", "2"], "`--level` is 2"),
        (["nothing.png"], "nothing.png"),
        (["photo.png", "--samples", "2"], "the run's own images"),
    ):
        assert main(["attention", "run", *more, "--device", "cpu"]) == 2, more
        assert expected in capsys.readouterr().err, more
    assert main(["attention", "streets", "--device", "cpu"]) == 2
    assert "give image files behind it" in capsys.readouterr().err
