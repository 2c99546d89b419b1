"""The report of a tiny trained run: complete, right, and closed to the outside."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from crosstask.cli import main
from crosstask.engine.runs import Run
from crosstask.experiments.report.collect import RunFacts, collect
from crosstask.experiments.report.page import _section, page, show
from crosstask.tasks import Depth, Normals, Segmentation

LOSS = {t: {s: None if s == t else 1.5 for s in ("segmentation", "depth", "normals", "edges")} for t in ("segmentation", "depth", "normals", "edges")}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("runs") / "first<run>"
    options = "--size 32x64 --train-length 4 --val-length 3 --encoder resnet10t --no-pretrained"
    options += " --width 0.0625 --steps 2 --batch-size 2 --val-every 1 --workers 0"
    assert main(["train", "procedural.supervised", "--run", str(place), *options.split()]) == 0
    (place / "knockout.json").write_text(json.dumps({"tasks": [*LOSS], "loss": LOSS}))
    return place


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    assert main(["report", str(run), "--samples", "1"]) == 0
    return (run / "report.html").read_text()


class Reader(HTMLParser):
    """Every address in the document, and whether all tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "data", "action")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_is_closed_to_the_outside(html: str) -> None:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    assert all(a.startswith(("data:image/", "#")) for a in reader.addresses)
    assert (
        reader.tags.count("img") == 2 and "script" not in reader.tags and "link" not in reader.tags
    )
    assert not re.search(r"url\(|@import|https?://", html)
    assert "first&lt;run&gt;" in html and "first<run>" not in html


def test_it_has_every_part(html: str) -> None:
    for part in (
        "Results", "Validation while training", "Training losses", "segmentation: classes",
        "Confusion", "depth: error by distance", "normals: angular error",
        "edges: precision and recall", "Learned alpha", "Loss of the row", "Best images",
        "Worst images", "Options of the recipe", "trivial predictor", "bicyclist",
    ):  # fmt: skip
        assert part in html, part


def test_its_pass_gives_the_numbers_of_the_run(run: Path) -> None:
    facts = collect(run, checkpoint="best", shown=2)
    recorded = Run(run).read_metrics()
    confusion = torch.tensor(facts.details["segmentation"]["confusion"])
    accuracy = float(confusion.diagonal().sum() / confusion.sum())
    assert accuracy == pytest.approx(recorded["segmentation/pixel_accuracy"], abs=1e-6)
    assert len(facts.best) == 2 and len(facts.worst) == 1  # of three images none is shown twice
    scores = [s.score for s in (*facts.best, *facts.worst)]
    assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] <= scores[0] <= 1
    assert facts.alphas["depth"].keys() == {"segmentation", "normals", "edges"}


def test_several_runs_have_a_table(run: Path) -> None:
    facts = collect(run, shown=0)
    text = page([facts, facts], "1.0")
    assert "All runs" in text and text.count("<h2") == 2 and "<img" not in text


def test_units() -> None:
    assert show(Depth(), "rmse", 6.279) == "6.28 m"
    assert show(Depth(), "abs_rel", 0.1508) == "0.151"
    assert show(Depth(), "delta1", 0.8032) == "80.3 %"
    assert show(Depth(), "median_scaled/delta1", 0.8032) == "80.3 %"
    assert show(Depth(), "median_scaled/rmse", 6.279) == "6.28 m"
    assert show(Normals(), "mean", 18.89) == "18.9°"
    assert show(Segmentation(3), "miou", 0.629) == "62.9 %"
    assert show(None, "score", float("nan")) == "–"


def test_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run directory" in capsys.readouterr().err


def test_steps_that_the_recipe_chose_are_read_off_the_curves() -> None:
    facts = RunFacts("run", {"steps": None}, {}, {}, {"val/score": [(2, 0.1), (6, 0.2)]})
    assert "6 steps" in _section(facts, 0)
