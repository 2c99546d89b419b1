"""The report of a tiny trained run: complete, right, and closed to the outside."""

import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from crosstask.cli import main
from crosstask.engine.runs import Run
from crosstask.experiments.report.collect import RunFacts, Sample, collect, rankings
from crosstask.experiments.report.page import _curves, _section, page, show
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


def test_another_checkpoint_has_its_own_numbers(run: Path, tmp_path: Path) -> None:
    """Recorded are those of the last; a network without weights of training has others."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    best = torch.load(copy / "checkpoints/best.ckpt", weights_only=True)
    for name, value in best["state_dict"].items():
        if "predictions" in name and name.endswith("bias"):
            value.add_(torch.linspace(1, 3, len(value)))
    torch.save(best, copy / "checkpoints/best.ckpt")
    recorded = Run(run).read_metrics()
    for checkpoint in ("last", None):
        facts = collect(copy, checkpoint=checkpoint, shown=0)
        assert facts.metrics == recorded and facts.rule == "last"
    facts = collect(copy, checkpoint="best", shown=0)
    assert facts.rule == "best"
    confusion = torch.tensor(facts.details["segmentation"]["confusion"])
    accuracy = float(confusion.diagonal().sum() / confusion.sum())
    assert facts.metrics["segmentation/pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert facts.metrics["depth/rmse"] != pytest.approx(recorded["depth/rmse"])
    assert facts.metrics["trivial/depth/rmse"] == recorded["trivial/depth/rmse"]
    assert "Scored checkpoint: best." in page([facts], "1.0")


def test_several_runs_have_a_table(run: Path) -> None:
    facts = collect(run, shown=0)
    text = page([facts, facts, facts], "1.0")
    assert "All runs" in text and text.count("<h2") == 3 and "<img" not in text
    pair = page([facts, replace(facts, name="other", tasks=facts.tasks[:2])], "1.0")
    reader = Reader()
    reader.feed(pair)
    assert reader.open == [] and pair.count("<h2") == 2
    assert pair.count("<h3>Results</h3>") == 1  # the numbers of both in one table
    assert "<th class=n>first&lt;run&gt;</th><th class=n>other</th>" in pair
    assert pair.count("normals: angular error") == 1  # the other has no normals


def test_the_worst_classes_first(run: Path) -> None:
    facts = collect(run, shown=0)
    names = facts.details["segmentation"]["classes"]
    facts.metrics |= {f"segmentation/iou/{name}": 0.5 for name in names}
    facts.metrics |= {f"segmentation/iou/{names[3]}": 0.1, f"segmentation/iou/{names[0]}": math.nan}

    def order(worst_first: bool) -> list[str]:
        text = page([facts], "1.0", worst_first)
        bars = text[text.index("IoU</figcaption>") :]
        bars = bars[: bars.index("</svg>")]
        return [n for n in re.findall(r'text-anchor="end">([^<]+)<', bars) if n in names]

    assert order(False) == list(names)
    assert order(True) == [names[3], *[n for n in names if n not in (names[0], names[3])], names[0]]


def test_a_step_without_a_label_is_a_gap() -> None:
    losses = {"train/loss/depth": [(10, 0.5), (20, 0.0), (30, 0.4), (40, 0.3)]}
    text = _curves(RunFacts("run", {}, {}, {}, losses))
    assert text.count("<polyline") == 2 and "a gap" in text
    (line,) = [p for p in re.findall(r'points="([^"]+)"', text) if " " in p]
    assert len(line.split()) == 2  # the last two; the first stands alone
    zero = {"val/score": [(10, 0.5), (20, 0.0), (30, 0.4)]}  # a score of 0 is a number
    assert _curves(RunFacts("run", {}, {}, {}, zero)).count("<polyline") == 1


def test_best_and_worst_are_among_samples_with_the_label() -> None:
    scores = [{"a": 0.9, "b": 0.1}, {"a": 0.5}, {"b": 0.7}, {}]
    samples = [Sample(k, str(k), math.nan, scores=s) for k, s in enumerate(scores)]
    found = rankings(samples, ["a", "b"])
    assert [[(s.index, s.task, s.score) for s in group] for group in found] == [
        [(0, "a", 0.9), (1, "a", 0.5)],
        [(2, "b", 0.7), (0, "b", 0.1)],
    ]
    (whole,) = rankings(samples[:1] + samples[3:], ["a", "b"])  # none is labelled in part
    assert [(s.index, s.task, s.score) for s in whole] == [(0, "", 0.5)]


def test_numbers_do_not_wrap() -> None:
    text = page([RunFacts("run", {"steps": 3}, {}, {"score": 0.5}, {})], "1.0")
    assert "td.n, .v { white-space: nowrap; }" in text and "<td class=n>50.0 %</td>" in text
    assert "<td class=t>3</td>" in text  # options may be long


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
