"""What the library knows about one kind of prediction, in one class."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from crosstask import losses
from crosstask.losses import Terms
from crosstask.plugins.files import reference_of
from crosstask.plugins.find import is_recordable
from crosstask.tasks.camera import Camera, CameraDependence
from crosstask.tasks.classes import ClassTable
from crosstask.tasks.constant import ConstantPredictor
from crosstask.tasks.presentation import Presentation
from crosstask.tasks.target import NO_TARGET, Target, alike, declare, declared

if TYPE_CHECKING:
    from torchmetrics import Metric


@dataclass(frozen=True, kw_only=True)
class Task(Presentation, CameraDependence, ABC):
    """A dense prediction: its labels, loss, decoding, metric and colours.

    A task holds no tensors and no device: it can be compared, pickled and written to JSON.
    Subclass it in one file to add a task; every field must have a JSON-safe value or be a
    `ClassTable`. Its labels are declared in `target`, under the default of `name`. How it is shown,
    from tables to files, is in `Presentation`, and what a camera means for it in `CameraDependence`, both with
    defaults.

    Args:
        name: key in samples, outputs and metrics. Give a second task of a kind another name, and
            declare that name for samples: as the default of `name` in a subclass, or with
            `declare(name, Depth.target)`.
        protocol: "correct", or "released" for the metrics and the depth decoding of the code
            published with DenseMTL, to compare with numbers that were measured with it.
    """

    name: str
    protocol: str = "correct"

    target: ClassVar[Target] = NO_TARGET
    """What the label maps are: void, channels, data type, how they resize and mirror."""
    headline: ClassVar[str]
    """The metric that the multi-task gain (delta) compares."""
    higher_is_better: ClassVar[bool]
    default_weight: ClassVar[float] = 1.0
    """Weight of the loss where no paper names one."""
    paper_weight: ClassVar[float | None] = None
    """DenseMTL's weight, for the four kinds of task that it trains."""
    family_weight: ClassVar[float | None] = None
    """Weight in MTI-Net, ATRC and InvPT; None for `default_weight`."""
    trusted: ClassVar[float] = 0.9
    """Confidence from which on a pseudo label counts in self-training."""
    learns_from_video: ClassVar[bool] = False
    """Whether it is trained from neighbouring frames instead of labels."""
    draws_boundaries: ClassVar[bool] = False
    """Whether its targets are the boundaries of what is seen."""
    loss_options: ClassVar[Mapping[str, str]] = {}
    """{option of supervised recipes: the field that takes it}."""
    training_only: ClassVar[tuple[str, ...]] = ()
    """Fields that shape training and change nothing in what a metric measures."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        for field in ("void", "target_channels"):
            if field in own and not callable(own[field]):
                raise ValueError(
                    f"`{cls.__name__}.{field}` is set; say it in `target = Target(...)`"
                )
        names = [vars(c)["name"] for c in cls.__mro__ if "name" in vars(c)]
        name = names[0] if names else None
        name = name.default if isinstance(name, Field) else name
        new = "target" in own or "name" in own
        if new and isinstance(name, str) and cls.target is not NO_TARGET:
            declare(name, cls.target, owner=cls)

    def __post_init__(self) -> None:
        if self.target is NO_TARGET or not isinstance(self.target, Target):
            raise ValueError(
                f"`{type(self).__name__}` has no `target`; expected `target: ClassVar[Target] = "
                "Target(channels=..., void=..., unit=...)` in the class"
            )
        kind = type(self).target  # a task of its own may have another void: see Segmentation
        if not alike(declared().get(self.name, kind), kind):
            raise ValueError(
                f"`name` is {self.name!r}, the key of another kind of target in samples; "
                "give the task another name"
            )
        if self.protocol not in ("correct", "released"):
            raise ValueError(f"`protocol` is {self.protocol!r}; expected 'correct' or 'released'")
        if not self.name or not self.name.isidentifier():
            raise ValueError(
                f"`name` is {self.name!r}; expected letters, digits and underscores, because it "
                "names modules and metrics"
            )

    @property
    def is_depth(self) -> bool:
        """Whether values are distances along the optical axis: point clouds, camera height."""
        return self.target.distance

    @property
    def void(self) -> float:
        """Value of a pixel without a label."""
        return self.target.void

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the network's raw output."""

    @property
    def alignment_channels(self) -> int:
        """Channels of `alignment_map`."""
        return self.channels

    @abstractmethod
    def loss_terms(
        self,
        output: Float[Tensor, "b c h w"],
        target: Shaped[Tensor, "b *t"],
        camera: Camera = None,
    ) -> Terms:
        """Loss summed over the labelled pixels, and `normalizer(target)`; both float32.

        Args:
            output: raw output; resized to the target's size where it differs.
            camera: intrinsics of the target, for tasks that depend on the camera.
        """

    def loss(
        self,
        output: Float[Tensor, "b c h w"],
        target: Shaped[Tensor, "b *t"],
        camera: Camera = None,
    ) -> Float[Tensor, ""]:
        """Mean loss over the labelled pixels; 0 with a zero gradient where nothing is labelled."""
        return losses.mean(self.loss_terms(output, target, camera))

    def normalizer(self, target: Shaped[Tensor, "b *t"]) -> Float[Tensor, ""]:
        """What `loss` divides by: the number (or total weight) of labelled pixels."""
        return self.valid(target).sum().float()

    @abstractmethod
    def decode(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Shaped[Tensor, "b *t"]:
        """Raw output to the quantity in the target's units."""

    def decode_in_graph(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Mapping[str, Shaped[Tensor, "b *t"]]:
        """What an exported file gives of this task, by what follows the task's name in it.

        "" is the quantity of `decode`. Only operations on tensors, no branches on their values: it
        is traced once, for images of every size. A task that leaves it out is exported raw only.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no `decode_in_graph`")

    @property
    def decodes_in_graph(self) -> bool:
        """Whether the task says how an exported file decodes it."""
        return type(self).decode_in_graph is not Task.decode_in_graph

    @abstractmethod
    def metric(self) -> "Metric":
        """A fresh accumulator: `update(prediction=decoded, target)`, `compute() -> {name: value}`.

        Names are without the task's; see `crosstask.metrics`.
        """

    @abstractmethod
    def constant(self) -> ConstantPredictor:
        """The trivial predictor that a trained network has to beat."""

    @abstractmethod
    def score(self, metrics: dict[str, float]) -> float:
        """One number in [0, 1] from `metric().compute()`; NaN where there was no label."""

    @abstractmethod
    def valid(self, target: Shaped[Tensor, "b *t"]) -> Bool[Tensor, "b *v"]:
        """Where the target is labelled: (B,H,W), or (B,1,H,W) for a target with channels."""

    def hflip(self, target: Shaped[Tensor, "*t"]) -> Shaped[Tensor, "*t"]:
        """The target (or output, or prediction) of the mirrored image: `target.mirror`.

        A task whose raw output mirrors otherwise (channels that swap) says so here.
        """
        return self.target.mirror(target, -1)

    def alignment_reference(
        self, target: Shaped[Tensor, "b *t"], camera: Camera = None
    ) -> dict[str, Any]:
        """What `alignment_map` has to know of the labelled domain, as keyword arguments."""
        return {}

    @abstractmethod
    def alignment_map(
        self, output: Float[Tensor, "b c h w"], **reference: Any
    ) -> Float[Tensor, "b a h w"]:
        """What a domain discriminator sees of a raw output; differentiable."""

    def with_scale_free_metrics(self) -> "Task":
        """The task with metrics that leave the scale out beside the others, where there are any."""
        return self

    def with_raw_output(self) -> "Task":
        """The task whose raw output is the quantity itself, as in DenseMTL, where it has a choice."""
        return self

    def paper_weight_among(self, tasks: Sequence["Task"]) -> float | None:
        """DenseMTL's weight of this task in a set of tasks."""
        return self.paper_weight

    def pseudo_label(
        self,
        output: Float[Tensor, "b c h w"],
        mirrored: Float[Tensor, "b c h w"],
        camera: Camera = None,
    ) -> tuple[Shaped[Tensor, "b *t"], Float[Tensor, "b 1 h w"]]:
        """A target and its confidence in [0,1] from raw outputs for an image and its mirror image.

        The confidence is 1 - |a - b| / (|a| + |b|) of both decoded answers.

        Args:
            mirrored: mirrored back.
        """
        label = self.decode((output + mirrored) / 2, camera)
        first, second = self.decode(output, camera), self.decode(mirrored, camera)
        size = (first.abs() + second.abs()).clamp_min(1e-6)
        return label, (1 - (first - second).abs() / size).float().mean(1, keepdim=True)

    def moved(self, target: Shaped[Tensor, "b *t"], camera: Camera, other: Camera) -> Tensor:
        """The target of pixels that are pasted, as they are, from one camera's image into another's."""
        return target

    def initial_bias(self) -> tuple[float, ...] | None:
        """Bias of the prediction layer of an untrained network; None leaves it to the layer."""
        return None

    def resize(
        self, output: Float[Tensor, "b c h w"], target: Shaped[Tensor, "b *t"]
    ) -> Float[Tensor, "b c h2 w2"]:
        """The output in float32 at the target's height and width, bilinear on pixel centres."""
        output = losses.precise(output)
        size = target.shape[-2:]
        if output.shape[-2:] == size:
            return output
        return F.interpolate(output, size=tuple(size), mode="bilinear", align_corners=False)

    def measured(self) -> dict[str, Any]:
        """What must be equal for two metrics of this task to be compared: classes, range, protocol."""
        spec = self.to_spec() | {"type": type(self).__name__}
        return {key: value for key, value in spec.items() if key not in self.training_only}

    def to_spec(self) -> dict[str, Any]:
        """JSON-safe description, read back by `from_spec`."""
        own = reference_of(self)  # a file of the user's, which `from_spec` finds again
        kind = type(self).__name__ if own is None or not is_recordable(own) else own
        spec: dict[str, Any] = {"type": kind}
        for field in fields(self):
            # The fields of this dataclass.
            value = getattr(self, field.name)
            spec[field.name] = value.to_spec() if isinstance(value, ClassTable) else value
        return spec

    @classmethod
    def build(cls, spec: dict[str, Any]) -> "Task":
        """A task of this class from the fields of a spec (without "type")."""
        known = [field.name for field in fields(cls)]
        for key in spec:
            if key not in known:
                raise ValueError(
                    f"`{key}` is not an option of {cls.__name__}; expected one of {known}"
                )
        return cls(**spec)
