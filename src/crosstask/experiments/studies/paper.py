"""The tables of DenseMTL (Lopes, Vu, de Charette, WACV 2023), and the controls they leave out."""

from itertools import product

from crosstask.experiments.studies.study import (
    MATCHED_SINGLE_TASK,
    Row,
    Setting,
    Study,
    controls,
    letters,
    plain,
    single_task,
    single_tasks,
)
from crosstask.recipes.sets import S_D, S_D_N, S_D_N_E

METHODS = ("multi_task", "padnet", "threeways_padnet", "densemtl")
POSITIONS = ((4,), (3,), (2,), (1,), (2, 1), (3, 2, 1), (4, 3, 2, 1))


def table1(setting: Setting) -> list[Row]:
    """Table 1: single task, multi-task, PAD-Net, 3-ways PAD-Net and DenseMTL on S-D and S-D-N."""
    rows = [single_task(S_D_N)]
    for tasks in (S_D, S_D_N):
        rows += plain(METHODS, tasks) + controls(setting, tasks)
    return rows


def table2(setting: Setting) -> list[Row]:
    """Table 2: as Table 1, and S-D-N-E (the paper: NYUDv2)."""
    rows = [single_task(S_D_N_E)]
    for tasks in (S_D, S_D_N, S_D_N_E):
        rows += plain(METHODS, tasks) + controls(setting, tasks)
    return rows


def table3(setting: Setting) -> list[Row]:
    """Table 3: at which levels the exchange sits; no block at all is `multi_task_matched`."""
    rows = [single_task(S_D_N)]
    for tasks in (S_D, S_D_N):
        rows += controls(setting, tasks)
        for levels in POSITIONS:
            name = "densemtl" if levels == (1,) else f"densemtl-levels={'+'.join(map(str, levels))}"
            options = {} if levels == (1,) else {"levels": list(levels)}
            rows.append(Row(name=name, architecture="densemtl", tasks=tasks, options=options))
    return rows


def table4a(setting: Setting) -> list[Row]:
    """Table 4a: how directional features are fused."""
    rows = [single_task(S_D_N), *controls(setting, S_D_N), *plain(("densemtl",), S_D_N)]
    rows += [
        _variant(f"densemtl-fusion={fusion}", {"fusion": fusion})
        for fusion in ("product", "concat")
    ]
    return rows


def table4b(setting: Setting) -> list[Row]:
    """Table 4b: attention over positions, over channels, or both; fused by concatenation."""
    rows = [single_task(S_D_N), *controls(setting, S_D_N)]
    rows.append(_variant("densemtl-fusion=concat", {"fusion": "concat"}))
    for kind in ("channel", "both"):
        name = f"densemtl-fusion=concat-correlation={kind}"
        rows.append(_variant(name, {"fusion": "concat", "correlation": kind}))
    return rows


def attention_parts(setting: Setting) -> list[Row]:
    """The parts of cross-task attention, one left out or changed at a time."""
    rows = [*single_tasks(S_D_N), *controls(setting, S_D_N), *plain(("densemtl",), S_D_N)]
    rows += [
        _variant("densemtl-no-correlation", {"correlation": None}),
        _variant("densemtl-no-self-attention", {"self_attention": None}),
        _variant("densemtl-full-self-attention", {"self_attention": "full"}),
        _variant("densemtl-no-alpha", {"alpha": False}),
        _variant("densemtl-kv-s2", {"kv_downscale": "s2"}),
    ]
    return rows


def task_weights(setting: Setting) -> list[Row]:
    """The grid search behind the published weights, on the multi-task baseline."""
    rows = [single_task(S_D_N)]
    rows += [_weights(S_D, (s, 1)) for s in (1, 10, 50, 100)]
    rows += [_weights(S_D_N, (s, 1, n)) for s, n in product((10, 50, 100), (10, 50, 100))]
    return rows


def balancing(setting: Setting) -> list[Row]:
    """DenseMTL under other balancing methods than the published weights."""
    rows = [*single_tasks(S_D_N), *controls(setting, S_D_N), *plain(("densemtl",), S_D_N)]
    for name in ("equal", "uncertainty", "gradnorm", "mgda", "dwa", "pcgrad"):
        rows.append(
            Row(
                name=f"densemtl-balancing={name}",
                architecture="densemtl",
                tasks=S_D_N,
                recipe_options={"balancing": name},
            )
        )
    return rows


def _variant(name: str, options: dict[str, object]) -> Row:
    return Row(name=name, architecture="densemtl", tasks=S_D_N, options=options)


def _weights(tasks: tuple[str, ...], weights: tuple[int, ...]) -> Row:
    pairs = list(zip(tasks, weights, strict=True))
    text = ",".join(f"{task}={weight}" for task, weight in pairs)
    short = "-".join(f"{letters((task,))}{weight}" for task, weight in pairs)
    return Row(
        name=f"multi_task-weights={short}",
        architecture="multi_task",
        tasks=tasks,
        varies_tasks=True,
        recipe_options={"balancing": f"fixed:{text}"},
    )


# Depth's output as in the paper, under which its weights mean what they say.
PAPER = {"depth_output": "raw"}
TABLES = (
    Study(name="table1", rows=table1, defaults=PAPER),
    Study(name="table2", rows=table2, defaults=PAPER),
    Study(name="table3", rows=table3, defaults=PAPER),
    Study(name="table4a", rows=table4a, defaults=PAPER),
    Study(name="table4b", rows=table4b, defaults=PAPER),
)
ATTENTION_PARTS = Study(
    name="attention_parts",
    rows=attention_parts,
    baseline=MATCHED_SINGLE_TASK,
    probe=True,
)
TASK_WEIGHTS = Study(
    name="task_weights",
    rows=task_weights,
    defaults=PAPER,
)
BALANCING = Study(
    name="balancing",
    rows=balancing,
    baseline=MATCHED_SINGLE_TASK,
    probe=True,
    optimizer="matched",
)
