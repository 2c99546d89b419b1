"""Deliberate defects that the tests must find: `make mutants`, or `python tests/mutants.py [WORD...]`.

`mutants.tsv` has one a line: file under src/crosstask, old text, new text, tests that must fail. Every one is
made in a copy of the tree, one at a time; a mutant whose tests pass has survived, and the exit code is 1.
Words choose the lines that contain them; `--quick` the lines above the mark in the list.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("mutants.tsv")
MARK = "# above: quick"
KILLED, SURVIVED = "killed", "SURVIVED"


@dataclass(frozen=True)
class Mutant:
    """A defect: `old` becomes `new` in a file, and one of `tests` must fail."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def path(self, tree: Path) -> Path:
        return tree / "src" / "crosstask" / self.file

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} -> {self.new!r}"


def read(quick: bool = False) -> list[Mutant]:
    """The list; with `quick` its beginning."""
    text = LIST.read_text()
    lines = (text.partition(MARK)[0] if quick else text).splitlines()
    found = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            file, old, new, tests = line.split("\t")
            found.append(Mutant(file, old, new, tuple(tests.split())))
    return found


def copy_tree(place: Path) -> Path:
    """The sources and tests, without what builds leave behind."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, place / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


def run_tests(tree: Path, tests: tuple[str, ...], told: bool = False) -> int:
    """pytest's exit code over some tests of a tree; the end of what it says where that is `told`."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    names = [f"tests/{name}" for name in tests]
    result = subprocess.run([*command, *names], cwd=tree, env=environment, capture_output=True)
    if told:
        sys.stdout.write(result.stdout.decode()[-3000:])
    return result.returncode


def outcome(mutant: Mutant, tree: Path) -> str:
    """`KILLED`, `SURVIVED`, or what else happened to the tests."""
    path = mutant.path(tree)
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return f"its text is there {text.count(mutant.old)} times; expected once"
    try:
        path.write_text(text.replace(mutant.old, mutant.new))
        code = run_tests(tree, mutant.tests)
    finally:
        path.write_text(text)
    known = {0: SURVIVED, 1: KILLED}
    return known.get(code, f"pytest ended with {code}: the tests did not run")


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if not word.startswith("--")]
    mutants = [m for m in read("--quick" in arguments) if all(w in str(m) for w in words)]
    if not mutants:  # pytest without files would run everything
        print(f"no line of mutants.tsv has all of {words}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        tests = tuple(dict.fromkeys(name for mutant in mutants for name in mutant.tests))
        if run_tests(tree, tests, told=True) != 0:
            print("the tests fail on the sources as they are; mend that first")
            return 1
        alive = 0
        for number, mutant in enumerate(mutants, start=1):
            found = outcome(mutant, tree)
            alive += found != KILLED
            print(f"[{number}/{len(mutants)}] {found}: {mutant}", flush=True)
    print(f"{len(mutants) - alive} of {len(mutants)} killed")
    return int(alive > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
