"""Where a model may live."""

from typing import Any

import pytest

from crosstask.engine.checkpoints import ModelFileError
from crosstask.predict.model import load


def test_only_an_address_of_the_hub_goes_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped path must not be asked for on the network, where anybody could serve it."""
    import huggingface_hub

    asked = []

    def download(name: str, **options: Any) -> str:
        asked.append(name)
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelFileError, match=r"no file or folder runs/typo.*is hf://runs/typo"):
        load("runs/typo")
    with pytest.raises(ModelFileError, match="expected hf://owner/model"):
        load("hf://typo")
    assert asked == []
    with pytest.raises(ModelFileError, match="hf://nobody/nothing cannot be downloaded"):
        load("hf://nobody/nothing")
    assert asked == ["nobody/nothing"]
