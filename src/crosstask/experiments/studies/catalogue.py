"""The list of studies."""

from crosstask.experiments.studies import adaptation, family, paper, self_supervised
from crosstask.experiments.studies.study import Study
from crosstask.suggest import nearest

STUDIES: dict[str, Study] = {
    "table1": paper.table1,
    "table2": paper.table2,
    "table3": paper.table3,
    "table4a": paper.table4a,
    "table4b": paper.table4b,
    "table5": self_supervised.table5,
    "table6": adaptation.table6,
    "attention_parts": paper.attention_parts,
    "task_weights": paper.task_weights,
    "balancing": paper.balancing,
    "sca_ablation": family.sca_ablation,
    "architectures": family.architectures,
    "linear_designs": family.linear_designs,
}

# Studies that compare architectures on equal terms unless told otherwise; the paper's own tables
# use its optimisers.
MATCHED = ("architectures", "sca_ablation", "balancing", "linear_designs")


# Studies on the recipe `<dataset>.adaptation`; the others are on `<dataset>.supervised`.
ADAPTATION = ("table6",)
# What delta is measured against where it is not the single-task networks: "none", or a row.
BASELINES = {"table5": "none", "table6": "single_task-adversarial"}
# Studies on the recipe `<dataset>.self_supervised`.
SELF_SUPERVISED = ("table5",)


def find_study(name: str) -> Study:
    """A study by its name.

    Raises:
        ValueError: unknown name; the nearest are named.
    """
    if name not in STUDIES:
        raise ValueError(nearest(name, list(STUDIES), "study"))
    return STUDIES[name]


def default_optimizer(name: str) -> str:
    """The optimiser preset of a study: "paper" or "matched"."""
    if name in SELF_SUPERVISED:
        return "paper_self_supervised"
    return "matched" if name in MATCHED else "paper"


def recipe_of(name: str, dataset: str) -> str:
    """The recipe of a study on a dataset."""
    if name in SELF_SUPERVISED:
        return f"{dataset}.self_supervised"
    return f"{dataset}.{'adaptation' if name in ADAPTATION else 'supervised'}"
