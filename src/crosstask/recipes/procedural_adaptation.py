"""Adaptation between the two domains of procedural streets: another palette, light and camera."""

from typing import Any

from crosstask.data.datasets.procedural import ProceduralStreets
from crosstask.engine.experiment import Experiment
from crosstask.recipes.adapting import adaptation_experiment, median_scaled
from crosstask.recipes.options import choose_tasks, parse_size


def adaptation(
    method: str = "both",
    tasks: str = "segmentation,depth,normals",
    size: str = "64x128",
    difficulty: str = "easy",
    gap: float = 1.0,
    train_length: int = 2000,
    val_length: int = 64,
    cache: str | None = None,
    canonical_focal: float | None = None,
    encoder: str | None = "resnet10t",
    pretrained: bool = False,
    width: float = 0.25,
    steps: int = 400,
    batch_size: int = 4,
    optimizer: str = "matched",
    val_every: int = 200,
    seed: int = 0,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """From labelled source streets to unlabelled target streets, scored on the target domain.

    Args:
        method: source_only, oracle (trained on target labels), adversarial, self_training, both.
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH.
        difficulty: easy, or hard.
        gap: how far the domains lie apart: 0 is no difference, 1 the default.
        train_length: training scenes of each domain.
        val_length: validation scenes.
        cache: folder for rendered frames; rendered anew each time if left out.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware); the
            fields of view of the domains differ.
        encoder: a timm name.
        pretrained: start from ImageNet weights.
        width: factor on decoder widths.
        steps: optimiser steps.
        batch_size: images of each domain a batch.
        optimizer: matched, paper, adam, adamw.
        val_every: optimiser steps between validations.
        seed: of weights, order and augmentation; the scenes are the same under every seed.
        protocol: correct or released.
    """
    from crosstask.recipes.procedural import street_tasks  # which offers this recipe in turn

    chosen = median_scaled(choose_tasks(tasks, street_tasks(protocol, canonical_focal)))

    def streets(
        domain: str, split: str, length: int, modalities: tuple[str, ...]
    ) -> ProceduralStreets:
        return ProceduralStreets(
            split=split,  # type: ignore[arg-type]
            modalities=modalities,
            size=parse_size(size),
            difficulty=difficulty,  # type: ignore[arg-type]
            domain=domain,  # type: ignore[arg-type]
            gap=gap,
            length=length,
            cache=cache,
        )

    return adaptation_experiment(
        tasks=chosen,
        source=lambda modalities: streets("source", "train", train_length, modalities),
        target=lambda modalities: streets("target", "train", train_length, modalities),
        val_data=lambda: streets("target", "val", val_length, tuple(t.name for t in chosen)),
        method=method,
        encoder=encoder,
        pretrained=pretrained,
        width=width,
        size=size,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        val_every=val_every,
        seed=seed,
        protocol=protocol,
        **options,
    )
