"""Studies: named grids of runs, as Python functions."""

from crosstask.experiments.studies.catalogue import STUDIES, find_study
from crosstask.experiments.studies.study import Row, Setting, Study, StudyRun

__all__ = ["STUDIES", "Row", "Setting", "Study", "StudyRun", "find_study"]
