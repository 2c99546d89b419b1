"""Every code block of the README and of the tutorials runs, in order, in one empty folder."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosstask.cli import main

ROOT = Path(__file__).parents[1]
PAGES = {  # page: commands, Python blocks and files that it has at least
    "README.md": (6, 3, 0),
    "docs/quickstart.md": (0, 2, 0),
    "docs/your_data.md": (4, 1, 0),
    "docs/extend.md": (12, 4, 8),
    "docs/scaling.md": (0, 1, 0),
    "docs/own_idea.md": (6, 1, 0),
}


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / page).read_text()
    blocks = re.findall(r"```(bash|python)\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    if page == "docs/own_idea.md":  # as `crosstask notebook` does
        shutil.copy(ROOT / "src/crosstask/notebooks/idea.py", tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
    noise = np.random.default_rng(0).integers(0, 255, (60, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save("photo.jpg")
    ran = {"bash": 0, "python": 0, "file": 0}
    for kind, text in blocks:
        if named := re.match(r"# (\w+\.py)\n", text):
            Path(named[1]).write_text(text)
            ran["file"] += 1
            continue
        if kind == "python":
            exec(compile(text, page, "exec"), {"__name__": "page"})
            ran[kind] += 1
            continue
        for line in filter(None, map(str.strip, text.replace("\\\n", "").splitlines())):
            program, *arguments = shlex.split(line, comments=True)
            assert program == "crosstask"
            assert main(arguments) == 0, line
            ran[kind] += 1
    assert all(n >= least for n, least in zip(ran.values(), PAGES[page], strict=True)), ran
