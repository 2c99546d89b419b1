"""A trained network with its tasks: image in, named quantities with units out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from crosstask import geometry
from crosstask.data.channels import Channels
from crosstask.data.feeding import RGB, SMALLEST, Feeding, Place, feed, of_area
from crosstask.engine import places, rebuilding
from crosstask.engine.weights import load_weights
from crosstask.evaluation.evaluate import flip_average, resize_output
from crosstask.geometry.ground_plane import LARGEST_CHANGE, rescale
from crosstask.media.images import StoredImage, as_float, visible
from crosstask.media.value_range import ValueRange, parse_value_range
from crosstask.plugins.trust import Trust
from crosstask.predict.camera import camera_of_image, centred, check_focal, checked
from crosstask.predict.images import ImageLike, to_image, wrong_channels
from crosstask.predict.prediction import Prediction
from crosstask.tasks import Task, TrainingCamera
from crosstask.tasks.camera import GIVE_CAMERA, METRIC


class SceneModel(nn.Module):
    """A network, its ordered tasks and its description.

    Args:
        network: image -> {task: [coarse, ..., fine]}.
        tasks: ordered tasks.
        description: the content of model.json.
    """

    def __init__(
        self, network: nn.Module, tasks: Sequence[Task], description: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.network, self.tasks, self.description = network, tuple(tasks), dict(description)

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        """Raw outputs, as the network gives them."""
        return self.network(image)

    @property
    def camera_aware(self) -> bool:
        """Whether depth is predicted at a canonical focal length."""
        return any(task.camera_aware for task in self.tasks)

    @property
    def training_camera(self) -> TrainingCamera | None:
        """The camera of training in pixels of the network's input; None where not recorded."""
        return TrainingCamera.from_spec(self.description.get("training_camera"))

    @property
    def value_range(self) -> ValueRange | None:
        """Stored values of images that are black and white, as in training; None: the type's."""
        return parse_value_range(self.description.get("value_range"))

    @property
    def feeding(self) -> Feeding | None:
        """How training's images were brought to the network's input; None where not recorded."""
        return Feeding.from_spec(self.description.get("feeding"))

    @property
    def channels(self) -> Channels:
        """What images consist of, as in training."""
        return Channels.of_feeding(self.feeding)

    def open(self, image: ImageLike, others: Mapping[str, Path | str] | None = None) -> StoredImage:
        """An image with all channels of training, upright.

        Args:
            image: see `predict`.
            others: {channel: file} of the channels with files of their own.

        Raises:
            ValueError: another number of channels than the model takes; unreadable files.
        """
        wanted = self.channels
        if others and (unknown := [name for name in others if name not in wanted.ranges]):
            raise ValueError(
                f"`channels` has {unknown[0]!r}, which this model does not read from a file of its own; "
                f"it takes {', '.join(wanted.names)}"
            )
        if isinstance(image, str | Path) and wanted.names != RGB:
            files = {name: Path(path) for name, path in (others or {}).items()}
            scale = self.feeding.depth_scale if self.feeding else 1000.0
            return wanted.read(Path(image), files, self.value_range, scale)
        found = to_image(image, self.value_range)
        if len(found.pixels) != len(wanted.names):
            raise ValueError(wrong_channels(len(found.pixels), wanted.names))
        return found

    def place(self, height: int, width: int, size: tuple[int, int] | str | None = None) -> Place:
        """Where an image lies in the network's input: as in training, see `crosstask.data.feeding`.

        Args:
            height, width: of the image.
            size: of the input, in place of training's; or "native".
        """
        if size == "native":
            size = (max(SMALLEST, height), max(SMALLEST, width))
            return Place(size, size)
        given = cast(tuple[int, int] | None, size)
        if self.feeding is not None:
            return self.feeding.place((height, width), given)
        trained = self.description.get("size")
        if given is None:
            own = (height, width)
            given = of_area((trained[0], trained[1]), width / height) if trained else own
        return Place(given, given)

    @torch.inference_mode()
    def predict(
        self,
        image: ImageLike | Sequence[ImageLike],
        intrinsics: Tensor | None = None,
        *,
        fx: float | None = None,
        fov: float | None = None,
        size: tuple[int, int] | str | None = None,
        flip: bool = False,
        camera_height: float | None = None,
        channels: Mapping[str, Path | str] | None = None,
    ) -> Any:
        """Predicts one image, or a list of them one by one.

        Args:
            image: path, Pillow image, (H,W,3) uint8 array, (3,H,W) tensor in [0,1], or a list. For
                a model of other channels a path, or an array (H,W,C) or tensor (C,H,W) of them all.
            intrinsics: (3,3) of the image in pixels as stored: where EXIF turns the image upright,
                the camera is turned along.
            fx: focal length in pixels; principal point in the middle.
            fov: horizontal field of view in degrees, in place of it. Without any of these the focal
                length of a file's or Pillow image's EXIF data is taken, where it has one.
            size: (height, width) of the network's input, or "native", the image's own; that of
                training if left out. The image is brought to it as in training, see `place`.
            flip: average with the mirrored image.
            camera_height: metres of the camera above a ground that fills the lower middle of the
                image, if known: depth is scaled to it, and is metric then. Needs a camera.
            channels: {channel: file} of those with files of their own (RGB-D: {"depth": FILE}), as
                `feeding.ranges` of model.json names them.

        Returns:
            A `Prediction` (a list of them for a list), at the image's own size.
        """
        if isinstance(image, list | tuple):
            if channels:
                raise ValueError("`channels` belongs to one image; predict images one by one")
            return [
                self.predict(
                    i, intrinsics, fx=fx, fov=fov, size=size, flip=flip, camera_height=camera_height
                )
                for i in image
            ]
        found = self.open(cast(ImageLike, image), channels)
        camera = camera_of_image(found, intrinsics, fx, fov, exif=self.own_focal is None)
        return self.predict_batch(
            found.pixels[None],
            camera.matrix,
            source=camera.source,
            size=size,
            flip=flip,
            camera_height=camera_height,
        )[0]

    @torch.inference_mode()
    def predict_batch(
        self,
        images: Tensor,
        intrinsics: Tensor | None = None,
        *,
        fx: float | None = None,
        source: str = "",
        size: tuple[int, int] | str | None = None,
        flip: bool = False,
        camera_height: float | None = None,
    ) -> list[Prediction]:
        """Predicts images of one size and one camera (frames of a video) together.

        Args:
            images: (B,C,H,W), bytes or floats in [0,1], of the model's channels.
            intrinsics, fx, size, flip, camera_height: as for `predict`.
            source: where the focal length is from, see `Prediction.camera_source`.

        Returns:
            B predictions at the images' own size.
        """
        height, width = images.shape[-2:]
        if min(height, width) < 2:
            raise ValueError(f"the image is {height} x {width} pixels; expected at least 2 x 2")
        check_focal(intrinsics, fx, None)
        source = source or ("fx" if intrinsics is None else "intrinsics")
        if intrinsics is None and fx is None and self.own_focal is not None:
            fx, source = self.own_focal, "the model, which is for one camera"
        camera = None if intrinsics is None else checked(intrinsics, height, width)
        if fx is not None:
            camera = centred(fx, height, width)
        values, seen = self.values_of(images, camera, size, flip)
        kinds, notes = self._kinds(camera, (height, width), seen)
        scaled: dict[str, Tensor] = {}
        if camera_height is not None:
            scaled = self._scale_depth(values, camera, camera_height)
        told = self.feeding.note((height, width)) if self.feeding and size is None else None
        return [
            Prediction(
                image,
                {k: v[i] for k, v in values.items()},
                camera,
                *_at_known_height(kinds, notes, {k: bool(v[i]) for k, v in scaled.items()}),
                told or "",
                "" if camera is None else source,
            )
            for i, image in enumerate(visible(as_float(images)))
        ]

    def values_of(
        self,
        images: Tensor,
        camera: Tensor | None,
        size: tuple[int, int] | str | None,
        flip: bool,
    ) -> tuple[dict[str, Tensor], tuple[int, int]]:
        """Decoded values of images (B,3,H,W), and the size of the image that the network saw."""
        height, width = images.shape[-2:]
        place = self.place(height, width, size)
        outputs, small_camera = self._run(images, camera, place, flip)
        values = {
            task.name: task.decode(
                resize_output(outputs[task.name][-1].float(), (height, width), place.content),
                small_camera,
            ).cpu()
            for task in self.tasks
        }
        return values, place.content

    def use(self, network: nn.Module) -> None:
        """From now on this network computes raw outputs, one around the model's own for example."""
        self.network = network

    @property
    def own_focal(self) -> float | None:
        """Focal length in pixels of the one camera that a model is for; None for any."""
        return None

    def content(self) -> dict[str, bytes]:
        """All that predictions depend on beside the tasks, by name."""
        weights = {name: value.detach().cpu() for name, value in self.network.state_dict().items()}
        return {k: v.reshape(-1).view(torch.uint8).numpy().tobytes() for k, v in weights.items()}

    def _kinds(
        self, camera: Tensor | None, size: tuple[int, int], seen: tuple[int, int]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Kinds and notes of a prediction for images of a size that the network sees at another."""
        trained = self.training_camera
        if trained is not None:  # from pixels of the network's input to pixels of the image
            trained = trained.resized((size[0] * size[1] / (seen[0] * seen[1])) ** 0.5)
        cameras = None if camera is None else camera[None]
        kinds = {task.name: task.kind_of(cameras, trained) for task in self.tasks}
        notes = {task.name: task.kind_note(cameras, trained) for task in self.tasks}
        return {k: v for k, v in kinds.items() if v}, {k: v for k, v in notes.items() if v}

    def _run(
        self, images: Tensor, camera: Tensor | None, place: Place, flip: bool
    ) -> tuple[dict[str, list[Tensor]], Tensor | None]:
        device = next(self.parameters()).device
        self.eval()
        height, width = images.shape[-2:]
        batch = feed(images, place).to(device)  # resized on the CPU, as loaders do
        small = None
        if camera is not None:
            rows, columns = place.content
            small = geometry.scale_intrinsics(camera, columns / width, rows / height)
            small = small.expand(len(images), 3, 3).to(device)
        outputs = {k: v for k, v in self.network(batch).items() if k != "auxiliary"}
        if flip:
            outputs = flip_average(self.network, batch, outputs, self.tasks)
        return outputs, small

    def _scale_depth(
        self, values: dict[str, Tensor], camera: Tensor | None, height: float
    ) -> dict[str, Tensor]:
        """Scales depth to a known height of the camera, in place.

        Returns:
            {task: of which images}.
        """
        tasks = [task for task in self.tasks if task.is_depth]
        if not tasks:
            raise ValueError("`camera_height` scales depth, which this model does not predict")
        if camera is None:
            raise ValueError(f"`camera_height` needs the camera: {GIVE_CAMERA}")
        found = {}
        for task in tasks:
            cameras = camera.float().cpu().expand(len(values[task.name]), 3, 3)
            most = None if task.arbitrary_scale else LARGEST_CHANGE
            values[task.name], found[task.name] = rescale(values[task.name], cameras, height, most)
        return found

    def save_pretrained(
        self,
        folder: Path | str,
        *,
        metrics: Mapping[str, float] | None = None,
        half: bool = False,
    ) -> Path:
        """Writes `model.safetensors`, `model.json` and a model card; nothing is pickled.

        Args:
            folder: created on demand.
            metrics: numbers for the card; those of the run where left out.
            half: parameters as float16, half the size; norm statistics stay float32.
        """
        from crosstask.predict.model_card import write_model

        return write_model(self, Path(folder), metrics, half)

    def push_to_hub(self, name: str, *, private: bool = True, token: str | None = None) -> str:
        """Uploads the model directory (weights, model.json, card) to the Hugging Face hub.

        Args:
            name: "owner/model"; `crosstask.load("hf://owner/model")` gives it back.
            private: of a new repository; one that exists stays as it is.
            token: with the right to write; that of `hf auth login`, or HF_TOKEN, if left out.

        Returns:
            Its address.

        Raises:
            ValueError: not such a name, or the hub refuses (no token, no right, no network).
        """
        from crosstask.predict.model_card import push_model

        return push_model(self, name, private, token)


def load(
    place: Path | str,
    *,
    checkpoint: str | None = None,
    device: str | torch.device = "cpu",
    trust: Trust = False,
) -> SceneModel:
    """A trained model from a run directory, a model directory or a checkpoint file.

    Args:
        place: run directory, directory with model.safetensors + model.json, *.ckpt, a model that
            comes with the package ("streets"), or one of the hub, "hf://owner/model".
        checkpoint: "best" (by validation `score`) or "last", for run directories; None is the one
            that the run's scores are from.
        device: where the weights go.
        trust: Python files outside of the package (architecture, exchange, task, recipe) that the model
            needs: True runs them where the model says that they lie, paths run these instead.
            Nothing of the model's own runs without.

    Raises:
        ModelFileError: nothing there, damaged, foreign, or made by a newer version.
        TrustError: the model needs a file that is not trusted.
    """
    place = places.local_copy(place)
    description, weights = places.find(place, checkpoint)
    description = rebuilding.cleared(description, place, trust)
    # `cleared` was asked
    network, tasks = rebuilding.build(description, place, trust=True, weights=weights)
    load_weights(network, weights, str(place))
    return SceneModel(network, tasks, description).eval().to(device)


def _at_known_height(
    kinds: Mapping[str, str], notes: Mapping[str, str], scaled: Mapping[str, bool]
) -> tuple[dict[str, str], dict[str, str]]:
    """Kinds and notes of one image, where its depth was to be scaled to a height of the camera."""
    kinds, notes = dict(kinds), dict(notes)
    for name, found in scaled.items():
        before = notes.pop(name, "")
        if found:
            kinds[name] = METRIC
        else:
            missed = "no ground was found in the lower middle of the image, so `camera_height` was not used"
            notes[name] = "; ".join(filter(None, [missed, before]))
    return kinds, notes
