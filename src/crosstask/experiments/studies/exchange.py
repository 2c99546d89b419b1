"""What the exchange is worth on a pretrained, frozen encoder, and when it helps."""

from typing import Any

from crosstask.experiments.studies.study import (
    PROBE,
    Row,
    Setting,
    Study,
    compute_matched,
    controls,
    plain,
    single_task,
)
from crosstask.recipes.sets import S_D, S_D_N, S_D_N_E

# Hard streets, new for each seed, scored on scenes that training never validates; an encoder that
# knows images, so that what is measured is not who learns to see first.
PRETRAINED: dict[str, Any] = {
    "encoder": "tf_efficientnet_lite0",
    "pretrained": True,
    "freeze": "encoder",
    "width": 0.25,
    "size": "64x128",
    "batch_size": 8,
    "steps": 3000,
    "val_every": 500,
    "train_length": 2000,
    "test_length": 500,
    "scene_seed": "seed",
}
IMAGES = (100, 400, 1600, 6400)
LABELLED = (0.1, 0.25, 0.5)
SHIFTS = (2, 4, 8)
TASK_SETS = {2: S_D, 3: S_D_N}
ALL_IMAGES = 1600


def exchange(setting: Setting) -> list[Row]:
    """DenseMTL's block on a frozen pretrained encoder: no exchange, compute-matched, without attention.

    `densemtl-levels=4+3+2+1` stands beside `densemtl_linear`, which exchanges at all of these levels.
    """
    options: dict[str, dict[str, Any]] = {
        "densemtl-no-correlation": {"correlation": None},
        "densemtl-levels=4+3+2+1": {"levels": [4, 3, 2, 1]},
    }
    return [
        single_task(S_D_N_E),
        single_task(S_D_N_E, "single_task_matched"),
        *controls(setting, S_D_N_E),
        *plain(("densemtl", "densemtl_linear"), S_D_N_E),
        *(
            Row(name=name, architecture="densemtl", tasks=S_D_N_E, options=chosen)
            for name, chosen in options.items()
        ),
    ]


def phase(setting: Setting) -> list[Row]:
    """When the exchange helps: by training images, share of labels, errors of labels and number of tasks.

    One of these is changed at a time from 1,600 images with all labels of four tasks. Each cell has
    four rows: `densemtl`, what it is compared with, no exchange and no exchange at its cost, and the
    linear probe.
    """
    cells: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []
    cells += [(f"images={n}", S_D_N_E, {"train_length": n}) for n in IMAGES]
    whole = {"train_length": ALL_IMAGES}
    cells += [(f"labelled={share}", S_D_N_E, {**whole, "labelled": share}) for share in LABELLED]
    cells += [(f"shift={n}", S_D_N_E, {**whole, "label_shift": n}) for n in SHIFTS]
    cells += [(f"tasks={n}", tasks, whole) for n, tasks in TASK_SETS.items()]
    return [row for cell in cells for row in _cell(setting, *cell)]


def _cell(
    setting: Setting, name: str, tasks: tuple[str, ...], options: dict[str, Any]
) -> list[Row]:
    rows: dict[str, tuple[str, dict[str, Any]]] = {
        "multi_task_matched": ("multi_task_matched", {}),
        "compute_matched": ("multi_task_matched", compute_matched(setting)),
        "densemtl": ("densemtl", {}),
        PROBE: (PROBE, {}),
    }
    return [
        Row(
            name=f"{row}-{name}",
            architecture=architecture,
            tasks=tasks,
            varies_tasks=name.startswith("tasks="),
            options=own,
            recipe_options=options,
        )
        for row, (architecture, own) in rows.items()
    ]


EXCHANGE = Study(
    name="exchange",
    rows=exchange,
    optimizer="matched",
    defaults=PRETRAINED,
    baseline="single_task_matched",
    probe=True,
)
PHASE = Study(
    name="phase",
    rows=phase,
    optimizer="matched",
    defaults=PRETRAINED,
    varies=("training split",),
    probe=True,
    baseline=f"multi_task_matched-images={ALL_IMAGES}",
)
