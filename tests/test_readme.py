"""Every code block of the README runs, in order, in one empty folder."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosstask.cli import main

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (60, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save("photo.jpg")
    ran = {"bash": 0, "python": 0}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "README.md", "exec"), {})
            ran[kind] += 1
            continue
        for line in filter(None, map(str.strip, text.splitlines())):
            program, *arguments = shlex.split(line, comments=True)
            assert program == "crosstask"
            assert main(arguments) == 0, line
            ran[kind] += 1
    assert ran["bash"] >= 6 and ran["python"] >= 3
