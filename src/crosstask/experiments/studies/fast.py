"""What the family for real time keeps of accuracy, and what its exchange is worth."""

from typing import Any

from crosstask.experiments.studies.exchange import PRETRAINED
from crosstask.experiments.studies.study import Row, Setting, Study, plain, single_task
from crosstask.recipes.sets import S_D_N_E

# As `exchange`, but the encoder is trained as well: that is how these networks are used.
FINE_TUNED: dict[str, Any] = {**PRETRAINED, "freeze": ""}
# As in `crosstask.models.decoders.fast`, which would load torch to list options.
SIZES = ("n", "s", "m")
# Sizes of the family are their own widths.
WHOLE: dict[str, Any] = {"width": 1.0}


def fast(setting: Setting) -> list[Row]:
    """The sizes of `fast` with and without their exchange, beside `densemtl_linear` and four separate networks.

    `fast-s-stride-2` predicts at stride 2 (`prediction_stride`) where `fast-s` predicts at 4.
    `fast-s-apart` are four networks with the same decoder, one a task; `single_task` are four with
    the survey's DeepLab head.
    """
    rows = [
        single_task(S_D_N_E),
        Row(
            name="fast-s-apart",
            architecture="fast",
            tasks=S_D_N_E,
            options={"size": "s"},
            recipe_options=WHOLE,
            apart=True,
        ),
        *plain(("densemtl_linear",), S_D_N_E),
    ]
    networks: dict[str, dict[str, Any]] = {size: {"size": size} for size in SIZES}
    networks["s-stride-2"] = {"size": "s", "prediction_stride": 2}
    for name, options in networks.items():
        for suffix, exchange in (("", {}), ("-no-exchange", {"exchange": "none"})):
            rows.append(
                Row(
                    name=f"fast-{name}{suffix}",
                    architecture="fast",
                    tasks=S_D_N_E,
                    options={**options, **exchange},
                    recipe_options=WHOLE,
                )
            )
    return rows


FAST = Study(
    name="fast",
    rows=fast,
    optimizer="matched",
    defaults=FINE_TUNED,
    baseline="single_task",
    probe=True,
)
