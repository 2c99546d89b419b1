"""Trained models that come with the package, each a directory as `SceneModel.save_pretrained` writes it."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "zoo"
DEFAULT = "streets"


def boxed_models() -> list[str]:
    """Names that `crosstask.load` takes for them."""
    return sorted(path.parent.name for path in FOLDER.glob("*/model.json"))


def boxed_model(name: str) -> Path | None:
    """The directory of one of them; None for another name."""
    return FOLDER / name if name in boxed_models() else None
