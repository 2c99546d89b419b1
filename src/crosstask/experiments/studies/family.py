"""SCA-MTL's ablation, and every architecture of the field side by side."""

from typing import Any

from crosstask.experiments.studies.study import (
    MATCHED_SINGLE_TASK,
    Row,
    Setting,
    Study,
    controls,
    plain,
    single_tasks,
)
from crosstask.recipes.sets import S_D_N, S_D_N_E

_WIDE: dict[str, Any] = {
    "self_attention": "duplicate",
    "task_exchange": "gated",
    "scale_attention": False,
    "propagation": "convolution",
    "propagate_from": "initial",
}
# From MTI-Net to SCA-MTL, one step at a time, and three changes of the whole.
SCA_STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("b-wide", _WIDE),
    ("c-self-attention", {**_WIDE, "self_attention": "window"}),
    ("d-task-attention", {**_WIDE, "self_attention": "window", "task_exchange": "linear"}),
    ("e-propagation", {"scale_attention": False}),
    ("f-scale-attention", {}),
    ("g-light-head", {"head_channels": 256}),
    ("h-scales-first", {"order": "scales_first"}),
    ("i-all-pairs", {"pairs": "all"}),
)

_POINTWISE: dict[str, Any] = {"mixing": "pointwise", "gate": False, "attention": None}
# Designs of the exchange whose cost is linear in the number of tasks; the first is the default.
_AS_THE_BLOCK: dict[str, Any] = {"levels": [1]}
LINEAR_DESIGNS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("densemtl_linear", {}),
    ("linear-1x1-only", _POINTWISE),
    ("linear-no-attention", {"attention": None}),
    ("linear-shared-attention", {"attention": "shared"}),
    ("linear-one-level", _AS_THE_BLOCK),
    ("linear-one-level-conv", {**_AS_THE_BLOCK, "mixing": "conv"}),
    ("linear-one-level-1x1-only", {**_AS_THE_BLOCK, **_POINTWISE}),
)


def linear_designs(setting: Setting) -> list[Row]:
    """What an exchange of linear cost keeps of the block's gain on S-D-N-E, design by design."""
    rows = [
        *single_tasks(S_D_N_E),
        *controls(setting, S_D_N_E),
        *plain(("densemtl",), S_D_N_E),
        *(
            Row(name=name, architecture="densemtl_linear", tasks=S_D_N_E, options=options)
            for name, options in LINEAR_DESIGNS
        ),
    ]
    return rows


def sca_ablation(setting: Setting) -> list[Row]:
    """What SCA-MTL adds to MTI-Net, part by part, at equal widths (rows a to i)."""
    rows = [*single_tasks(S_D_N), *controls(setting, S_D_N)]
    rows.append(Row(name="a-mti_net", architecture="mti_net", tasks=S_D_N))
    rows += [
        Row(name=name, architecture="sca_mtl", tasks=S_D_N, options=options)
        for name, options in SCA_STEPS
    ]
    return rows


def architectures(setting: Setting) -> list[Row]:
    """Every architecture on S-D-N with the same encoder, optimiser, steps and seeds.

    The first rows answer the first question: does the exchange beat no exchange, and the same
    arithmetic spent on wider decoders?
    """
    rows = [
        *single_tasks(S_D_N),
        *controls(setting, S_D_N),
        *plain(("densemtl", "multi_task", "padnet", "threeways_padnet"), S_D_N),
        *plain(("densemtl_linear", "window", "n_to_one"), S_D_N),
        *plain(("mti_net", "mti_xtam", "sca_mtl", "atrc"), S_D_N),
    ]
    return rows


SCA_ABLATION = Study(
    name="sca_ablation",
    rows=sca_ablation,
    optimizer="matched",
    baseline=MATCHED_SINGLE_TASK,
    probe=True,
)
ARCHITECTURES = Study(
    name="architectures",
    rows=architectures,
    optimizer="matched",
    baseline=MATCHED_SINGLE_TASK,
    probe=True,
)
LINEAR = Study(
    name="linear_designs",
    rows=linear_designs,
    optimizer="matched",
    baseline=MATCHED_SINGLE_TASK,
    probe=True,
)
