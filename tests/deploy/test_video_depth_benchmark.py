"""`benchmarks/video_depth.py`: its scores, by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_scores_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import video_depth

    true = torch.tensor([[[1.0, 2.0, 4.0, 0.0]]])
    assert video_depth.score(3 * true + (true == 0), true) == (0.0, 1.0)  # scale is free
    error, share = video_depth.score(torch.tensor([[[2.0, 2.0, 4.0, 9.0]]]), true)
    assert error == pytest.approx(1 / 3) and share == pytest.approx(2 / 3)


def test_the_mean_map_counts_known_pixels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import video_depth

    frames: Any = [{"depth": torch.tensor([[[1.0, 0.0, 0.0]]])}, {"depth": torch.tensor([[[3.0, 2.0, 0.0]]])}]  # fmt: skip
    assert torch.equal(video_depth.mean_map(frames), torch.tensor([[[2.0, 2.0, 2.0]]]))
