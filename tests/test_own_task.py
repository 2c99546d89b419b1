"""A task like none that the package knows goes everywhere without a special case in the package."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from crosstask.cli.tables import metrics_table
from crosstask.drawing.legends import legend
from crosstask.drawing.panels import panel
from crosstask.engine import places, rebuilding
from crosstask.experiments.comparison import formats, sections
from crosstask.experiments.comparison.images import Contestant, compare_images
from crosstask.experiments.comparison.knockout import draw, knockout
from crosstask.experiments.comparison.table import make_table
from crosstask.experiments.report.collect import RunFacts
from crosstask.experiments.report.page import page
from crosstask.models import create_model
from crosstask.predict.attention import AttentionReader
from crosstask.predict.model import SceneModel
from crosstask.predict.streams import Settings, predict_images
from crosstask.regimes.adaptation import self_training
from crosstask.tasks import Depth, Segmentation, family_weights, paper_weights
from crosstask.web import html
from crosstask.web.session import Scene
from experiments.comparison import made_up_runs
from fakes.heat_map import HeatMap, ScaledHeatMap, Spread

HEAT, DEPTH = HeatMap(), Depth()
TASKS = (HEAT, Segmentation(3), DEPTH)
IMAGE = torch.rand(3, 40, 64)


@pytest.fixture(scope="module")
def model() -> SceneModel:
    torch.manual_seed(0)
    network = create_model("densemtl", TASKS, "resnet10t", pretrained=False, width=0.0625)
    description = rebuilding.describe(network, TASKS, size=[40, 64])
    return SceneModel(network, TASKS, description).eval()


class Samples(Dataset[dict[str, Any]]):
    """Three labelled images."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "image": IMAGE,
            "heat": torch.full((1, 40, 64), 0.25 * index),
            "segmentation": torch.full((40, 64), index),
            "depth": torch.full((1, 40, 64), 3.0 + index),
            "name": f"frame{index}",
            "source": "own",
        }


def test_weights_and_kind() -> None:
    assert paper_weights(TASKS) == family_weights(TASKS)
    assert paper_weights(TASKS)["heat"] == 1.0
    assert HEAT.kind_of(torch.eye(3)[None]) == HEAT.kind_of(None) == ""
    assert HEAT.describe(torch.tensor([0.5]), "") == "0.50"
    assert HEAT.column_title("spread") == "heat spread ↓"


def test_panel_and_legend(model: SceneModel) -> None:
    found = model.predict(IMAGE)
    sheet = panel(IMAGE, Samples()[1], found.values, TASKS, kinds=found.kinds)
    assert sheet.dtype == torch.uint8 and sheet.shape[2] > 3 * sheet.shape[1] / 2
    noted = legend(HEAT, [found["heat"]], 200, 12)
    bar = np.array(legend(ScaledHeatMap(), [found["heat"]], 200, 12))
    assert bar.shape[0] > noted.height  # colours and numbers, not a line of text alone
    ends = bar[6 + 6, [14, 185]].astype(int)  # inside the bar, near its left and right end
    assert ends[0, 2] > 240 > 15 > ends[0, 0] and ends[1, 0] > 240 > 15 > ends[1, 2]


def test_files_and_their_sheet(model: SceneModel, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 64, 3), np.uint8)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    ((_, outcome),) = predict_images(model, [("a", tmp_path / "a.png")], out, Settings())
    names = [file.name for file in outcome.files]
    assert names[:2] == ["a_heat.npy", "a_heat.png"]
    heat = np.load(out / "a_heat.npy")
    assert (
        heat.shape == (1, 40, 64)
        and heat.dtype == np.float32
        and 0 <= heat.min() <= heat.max() <= 1
    )
    assert np.asarray(Image.open(out / "a_heat.png")).shape == (40, 64, 3)
    sheet = json.loads((out / "a.json").read_text())
    assert sheet["heat"] == "" and list(sheet["kinds"]) == ["depth"]


def test_model_directory_and_card(model: SceneModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, metrics={"heat/spread": 0.25})
    card = (tmp_path / "README.md").read_text()
    assert "heat" in card and "| heat/spread | 0.2500 |" in card
    description, _ = places.find(tmp_path)
    _, tasks = rebuilding.build(description, trust=True)
    assert [task.to_spec() for task in tasks] == [task.to_spec() for task in TASKS]


def test_page(model: SceneModel) -> None:
    found = model.predict(IMAGE, fx=50.0)
    scene = Scene(found, AttentionReader(model.network, IMAGE), "", (20, 32), 0.1)
    assert 'data-task="heat"' in html.images(scene, model)
    value = f"{float(found['heat'][0, 20, 32]):.2f}"
    assert f"<dt>heat</dt><dd>{value}</dd>" in html.reading(scene, model)
    assert "heat looks at" in html.attention(scene, model)
    assert "does not name it" in html.summary(scene, model)  # depth: no camera is recorded


def test_knockout(model: SceneModel, tmp_path: Path) -> None:
    keys = {"heat/spread": 0.2, "segmentation/miou": 0.5, "depth/rmse": 2.0}
    result = knockout(model.network, TASKS, lambda: keys)
    assert result["headlines"]["heat"] == "spread" and result["loss"]["heat"]["depth"] == 0.0
    draw(result, tmp_path / "knockout.png")
    assert (tmp_path / "knockout.png").is_file()


def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(made_up_runs.TASKS, "heat", HEAT)
    monkeypatch.setitem(made_up_runs.HEADLINES, "heat", "heat/spread")
    alone = {"heat": 0.2, "segmentation": 0.5}
    for task, value in alone.items():
        made_up_runs.make_run(tmp_path / task, "single_task", {task: value}, row="single_task")
    made_up_runs.make_run(
        tmp_path / "both", "densemtl", {"heat": 0.1, "segmentation": 0.5}, trivial={"heat": 0.4}
    )
    table = make_table([tmp_path], cost=False, trust=True)
    header, lines = formats.cells(table)
    assert header[:6] == ["method", "tasks", "seeds", "mIoU % ↑", "heat spread ↓", "Δ S-heat % ↑"]
    row = next(line for line in lines if line[0] == "densemtl")
    assert row[1] == "S-heat" and row[3:6] == ["50.00", "0.100", "+25.00"]
    assert "heat spread" in formats.to_markdown(table) and "heat/spread" in formats.to_csv(table)
    (_, cells), = [
        line for line in sections.against(table.rows, table.metrics, "single_task").lines
        if line[0] == "densemtl"
    ]  # fmt: skip
    assert cells[1] is not None and cells[1].mean == pytest.approx(-0.1)
    metrics_table({"heat/spread": 0.1, "trivial/heat/spread": 0.4, "score": 0.9}, (HEAT,))
    assert "heat spread" in capsys.readouterr().out


def test_report_and_images(model: SceneModel) -> None:
    metrics = {"heat/spread": 0.1, "depth/rmse": 2.0, "segmentation/miou": 0.5, "score": 0.7}
    curves = {"val/heat/spread": [(1, 0.3), (2, 0.1)]}
    facts = RunFacts("own", {}, {}, metrics, curves, TASKS, {"heat": Spread().details()})
    text = page([facts, facts], "1.0")
    assert "heat spread" in text and "10.0 %" in text and "2.00 m" in text
    sheet = compare_images([Contestant(name="own", network=model.network, tasks=TASKS, data=Samples())], [1])  # fmt: skip
    assert sheet.raster.width > 3 * 64


def test_pseudo_labels() -> None:
    output = torch.zeros(1, 1, 8, 8)
    label, confidence = self_training.pseudo_label(HEAT, output, output, None)
    assert label.eq(0.5).all() and confidence.eq(1).all()
    batch = {"image": IMAGE[None, :, :8, :8], "target_image": IMAGE[None, :, :8, :8]}
    mask = self_training.box_mask(1, (8, 8))
    truth = torch.full((1, 1, 8, 8), 0.25)
    mixed = self_training.mix(
        (HEAT,), batch | {"heat": truth}, {"heat": (label, confidence)}, mask, {}
    )
    assert torch.equal(mixed["heat"], torch.where(mask, truth, label))
