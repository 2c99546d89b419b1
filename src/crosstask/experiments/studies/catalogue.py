"""The list of studies."""

from crosstask.experiments.studies.adaptation import TABLE6
from crosstask.experiments.studies.exchange import EXCHANGE, PHASE
from crosstask.experiments.studies.family import ARCHITECTURES, LINEAR, SCA_ABLATION
from crosstask.experiments.studies.fast import FAST
from crosstask.experiments.studies.paper import ATTENTION_PARTS, BALANCING, TABLES, TASK_WEIGHTS
from crosstask.experiments.studies.self_supervised import TABLE5
from crosstask.experiments.studies.study import Study
from crosstask.plugins.find import find

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        *TABLES,
        TABLE5,
        TABLE6,
        ATTENTION_PARTS,
        TASK_WEIGHTS,
        BALANCING,
        SCA_ABLATION,
        ARCHITECTURES,
        LINEAR,
        EXCHANGE,
        PHASE,
        FAST,
    )
}


def find_study(given: str | Study) -> Study:
    """The study behind a name, `FILE.py:NAME`, a registered name, or itself.

    Raises:
        ValueError: unknown name (the nearest are named), or a file that cannot be used.
    """
    return find("study", given, STUDIES, lambda thing: isinstance(thing, Study), "a Study")
