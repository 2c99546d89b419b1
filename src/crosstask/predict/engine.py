"""Which program computes a prediction: torch from weights, or onnxruntime from an exported file."""

from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from crosstask.data.feeding import Place
from crosstask.engine import rebuilding
from crosstask.engine.description import check_description
from crosstask.plugins.trust import Trust
from crosstask.predict.model import SceneModel, load
from crosstask.tasks import from_spec
from crosstask.tasks.camera import UP_TO_SCALE, focal_lengths

ENGINES = ("auto", "onnx", "torch")
SUFFIX = ".onnx"


def load_runtime() -> ModuleType:
    """The module `crosstask_runtime`.

    Raises:
        ModuleNotFoundError: it is not installed; says how to.
    """
    try:
        import crosstask_runtime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "this needs crosstask's runtime; install it with: pip install crosstask-runtime (or "
            "pip install ./runtime from the sources)"
        ) from error
    return crosstask_runtime


def open_model(
    place: Path | str,
    engine: str = "auto",
    *,
    checkpoint: str | None = None,
    device: str | torch.device = "cpu",
    trust: Trust = False,
) -> SceneModel:
    """A model for prediction.

    Args:
        place: as for `load`, or an exported .onnx file.
        engine: "torch"; "onnx" (of a directory its model.onnx, as `crosstask export` writes it); or
            "auto": onnx for .onnx files.
        checkpoint, device, trust: as for `load`.

    Raises:
        ValueError: unknown engine, or one that does not fit the file.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` is {engine!r}; expected one of {', '.join(ENGINES)}")
    path = Path(place)
    exported = path.suffix == SUFFIX
    if exported and engine == "torch":
        raise ValueError(f"{path} holds no weights for torch; give the run, or `--engine onnx`")
    if not exported and engine != "onnx":
        return load(place, checkpoint=checkpoint, device=device, trust=trust)
    if not exported:
        path = path / f"model{SUFFIX}"
        if not path.is_file():
            raise ValueError(
                f"there is no {path}; write it first: crosstask export {place} --format onnx"
            )
    return ExportedModel(path, trust)


class ExportedModel(SceneModel):
    """An exported .onnx file with the methods of a `SceneModel`: no raw outputs, no attention."""

    def __init__(self, path: Path, trust: Trust = False) -> None:
        file = load_runtime().load(path)
        description = check_description(file.facts["description"], str(path))
        description = rebuilding.cleared(description, path, trust)
        tasks = tuple(from_spec(spec) for spec in description["tasks"])
        super().__init__(nn.Module(), tasks, description)
        self.file = file

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        """Refused: the file gives quantities."""
        raise ValueError(f"{self.file.place} gives no raw outputs; use `--engine torch`")

    def use(self, network: nn.Module) -> None:
        """Refused: the file computes by itself."""
        raise ValueError(f"{self.file.place} takes no windows; use `--engine torch`")

    def content(self) -> dict[str, bytes]:
        return {"file": Path(self.file.place).read_bytes()}

    def place(self, height: int, width: int, size: tuple[int, int] | str | None = None) -> Place:
        """As the file does it.

        Raises:
            ValueError: `size` is another than the file's.
        """
        own = self.file.facts["size"]
        fixed = tuple(own) if isinstance(own, list) else None if own == "dynamic" else own
        place = super().place(height, width, fixed)
        if size is not None and super().place(height, width, size) != place:
            rows, columns = place.canvas
            raise ValueError(
                f"`size` is {size}; {self.file.place} runs this image at {rows}x{columns}; export it "
                "with another `--size`"
            )
        return place

    @property
    def own_focal(self) -> float | None:
        focal = self.file.facts["focal"]
        return None if isinstance(focal, str) else float(focal)

    def _kinds(
        self, camera: Tensor | None, size: tuple[int, int], seen: tuple[int, int]
    ) -> tuple[dict[str, str], dict[str, str]]:
        from crosstask_runtime.scene import NO_FOCAL

        kinds, notes = super()._kinds(camera, size, seen)
        for task, quantity in self.file.quantities.items():
            if quantity["outputs"][0].endswith("_up_to_scale"):
                kinds[task] = UP_TO_SCALE
                notes |= {task: NO_FOCAL} if quantity["camera_aware"] else {}
        return kinds, notes

    def values_of(
        self,
        images: Tensor,
        camera: Tensor | None,
        size: tuple[int, int] | str | None,
        flip: bool,
    ) -> tuple[dict[str, Tensor], tuple[int, int]]:
        height, width = images.shape[-2:]
        if flip:
            raise ValueError("`flip` needs the raw outputs; use `--engine torch`")
        place = self.place(height, width, size)
        focal = None if camera is None else float(focal_lengths(camera))
        found = self.file.run(images.permute(0, 2, 3, 1).numpy(), focal)
        values = {}
        for name, quantity in self.file.quantities.items():
            value = torch.from_numpy(found[quantity["outputs"][0]])
            values[name] = value if value.is_floating_point() else value.long()
        return values, place.content
