"""Studies: named grids of runs, as Python functions."""

from crosstask.experiments.studies.catalogue import STUDIES, find_study
from crosstask.experiments.studies.study import Setting, StudyRun

__all__ = ["STUDIES", "Setting", "StudyRun", "find_study"]
