"""The page about studies lists every study."""

import re
from pathlib import Path

from crosstask.experiments.studies.catalogue import STUDIES


def test_every_study_has_its_line() -> None:
    page = (Path(__file__).parents[3] / "docs/studies.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(STUDIES)
