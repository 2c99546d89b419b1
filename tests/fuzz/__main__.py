"""`python -m fuzz --files 1000 --seed 0`: damaged files through check, load, predict and train --skip-bad.

Every outcome must be a named error or a right result. Where a format has no checksum, and where a file
says something else that is legal, "other pixels" is all that can be asked. Exit code 1 otherwise.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.damage import BYTES, damaged
from fuzz.originals import KINDS, LISTS, train_command, write_frame, write_lists

COLUMNS = (
    "named", "right", "other pixels", "silent-wrong", "traceback", "signal", "hang", "code",
)  # fmt: skip
GOOD = COLUMNS[:3]
PATIENCE = 300  # seconds without a word: a hang
MEMORY = 16 * 2**30
Attempt = dict[str, Any]
Outcome = tuple[str, str]


class Fuzz:
    """One round: originals, damaged copies, and what became of them.

    Args:
        folder: for all files.
        files: how many are damaged.
        seed: decides which, and how.
    """

    def __init__(self, folder: Path, files: int, seed: int) -> None:
        self.folder, self.files, self.random = folder, files, random.Random(seed)
        self.root, self.run, self.model = folder / "data", folder / "run", folder / "model"
        self.outcomes: list[tuple[str, str, Outcome, Attempt]] = []  # kind, stage, outcome, attempt
        self._number = 0

    def go(self) -> None:
        write_lists(self.root, frames=False)
        for kind in ("", *KINDS):
            write_frame(self.root, f"whole_{kind}".replace(".", "_"), kind)
        (self.root / "splits/train.txt").write_text("whole_\nwhole_depth_npz\n")
        (self.root / "splits/val.txt").write_text("whole_image_png\n")
        first = [
            self.attempt("run", "command", argv=train_command(self.run, self.root, 2), codes=[0]),
            self.attempt("model", "save", place=str(self.run), to=str(self.model)),
        ]
        for attempt, outcome in self.tried(first):
            assert outcome[0] == "right", (attempt, outcome)
        plan = [*self.frames(self.files * 3 // 5), *self.lists(self.files // 10)]
        plan += self.models(self.files - self.files * 3 // 5 - self.files // 10)
        images = [a for a in plan if a["stage"] == "load" and a["kind"].startswith("image")]
        commands = self.commands([a["name"] for a in plan if a["stage"] == "load"], images)
        results = self.tried([*plan, *commands])
        for attempt, outcome in results:
            self.outcomes.append((attempt["kind"], attempt["stage"], outcome, attempt))
        loaded = {a["name"]: o for a, o in results if a["stage"] == "load"}
        self.judge_prediction(images, loaded)
        self.judge_training(loaded)

    def attempt(self, kind: str, stage: str, **facts: Any) -> Attempt:
        self._number += 1
        log = str(self.folder / f"log_{self._number}.json")
        return {"id": self._number, "kind": kind, "stage": stage, "log": log, "names": []} | facts

    def damage(self, file: Path) -> dict[str, Any]:
        """Damages a file where it lies; says what and how."""
        way, data = damaged(file, self.random)
        file.unlink()  # not through a link to the original
        file.write_bytes(data)
        in_bytes = way in {w.__name__ for w in BYTES}
        return {"file": str(file), "way": way, "bytes": in_bytes, "names": [str(file)]}

    def frames(self, number: int) -> Iterator[Attempt]:
        """Each has one damaged file, and is checked and loaded."""
        kinds = list(KINDS)
        for index in range(number):
            kind = kinds[index % len(kinds)]
            name = f"frame_{index:04d}"
            file = write_frame(self.root, name, kind)
            assert file is not None
            odd = index % 25 == 24 and not kind.startswith("image")
            facts = self.odd_file(file) if odd else self.damage(file)
            facts |= {
                "root": str(self.root),
                "name": name,
                "whole": f"whole_{kind}".replace(".", "_"),
            }
            yield self.attempt(kind, "check", **facts)
            yield self.attempt(kind, "load", **facts)

    def odd_file(self, file: Path) -> dict[str, Any]:
        """A pipe, a device or a folder in the place of a file."""
        file.unlink()
        way = self.random.choice(("pipe", "device", "folder", "circle"))
        if way == "pipe":
            os.mkfifo(file)
        elif way == "folder":
            file.mkdir()
        else:
            file.symlink_to("/dev/zero" if way == "device" else file.name)
        # Another ending may be looked for, and said to be missing.
        place = str(file.with_suffix(""))
        return {"file": str(file), "way": way, "bytes": False, "names": [place]}

    def lists(self, number: int) -> Iterator[Attempt]:
        """A folder each, of which one list is damaged."""
        for index in range(number):
            root = write_lists(self.folder / f"lists_{index}")
            facts = self.damage(root / LISTS[index % len(LISTS)])
            check = ["data", "check", "folder", "--root", str(root), "--json"]
            facts |= {"root": str(root), "names": [facts["file"], str(root)]}
            yield self.attempt(LISTS[index % 4], "command", argv=check, codes=[0, 1, 2], **facts)
            yield self.attempt(LISTS[index % 4], "folder", **facts)

    def models(self, number: int) -> Iterator[Attempt]:
        """Copies of the run and the model, each with one damaged file."""
        kinds = ("last.ckpt", "model.json", "run/model.json", "model.safetensors", "config.yaml")
        for index in range(number):
            kind = kinds[index % len(kinds)]
            place = self.folder / f"model_{index}"
            of_run = kind in ("last.ckpt", "run/model.json", "config.yaml")
            shutil.copytree(self.run if of_run else self.model, place, copy_function=os.link)
            inside = {"last.ckpt": "checkpoints/last.ckpt", "run/model.json": "model.json"}
            facts = self.damage(place / inside.get(kind, kind))
            facts |= {
                "place": str(place),
                "whole": str(self.run),
                "names": [facts["file"], str(place)],
            }
            if kind == "config.yaml":  # an error about an option names the option
                yield self.attempt(kind, "config", **facts | {"names": [""]})
            else:
                yield self.attempt(kind, "model", **facts)

    def commands(self, names: list[str], images: list[Attempt]) -> Iterator[Attempt]:
        """The command lines over all frames at once."""
        (self.root / "splits/train.txt").write_text("\n".join(["whole_", *names]) + "\n")
        root, out = str(self.root), str(self.folder / "predictions")
        check = ["data", "check", "folder", "--root", root, "--json", "--workers", "0"]
        yield self.attempt("all frames", "command", argv=check, codes=[1], what="check")
        files = [a["file"] for a in images if Path(a["file"]).is_file()]
        whole = str(self.root / "images/whole_.png")
        predict = ["predict", str(self.model), *files, whole, "--output", out, "--device", "cpu"]
        yield self.attempt("all images", "command", argv=predict, codes=[0, 2], what="predict")
        steps = len(names) // 4 + 1
        train = train_command(self.folder / "skipping", self.root, steps, "--skip-bad")
        yield self.attempt("all frames", "command", argv=train, codes=[0], what="train")

    def said(self, what: str) -> dict[str, Any]:
        """What a command said; nothing if it was not right."""
        for _, _, outcome, attempt in self.outcomes:
            if attempt.get("what") == what and outcome[0] == "right":
                return dict(json.loads(Path(attempt["log"]).read_text()))
        return {}

    def judge_prediction(self, images: list[Attempt], loaded: dict[str, Outcome]) -> None:
        """Every image of the command is predicted, or named."""
        said = self.said("predict")
        for attempt in images if said else []:
            if not Path(attempt["file"]).is_file():
                continue
            name = Path(attempt["file"]).stem
            done = list((self.folder / "predictions").glob(f"{name}_*panel.png"))
            outcome: Outcome = ("silent-wrong", "neither predicted nor named")
            if attempt["file"] in said["err"]:
                outcome = ("named", "")
            elif done:
                found = loaded[attempt["name"]][0]
                outcome = (found, "") if found in GOOD[1:] else ("silent-wrong", f"load: {found}")
            self.outcomes.append((attempt["kind"], "predict", outcome, attempt))

    def judge_training(self, loaded: dict[str, Outcome]) -> None:
        """What cannot be read is named as skipped."""
        report = self.folder / "skipping/skipped.json"
        skipped = json.loads(report.read_text())["frames"] if report.is_file() else []
        for kind, stage, outcome, attempt in list(self.outcomes):
            if stage != "load" or kind.startswith(("normals", "edges")) or not self.said("train"):
                continue
            if attempt["name"] in skipped:
                outcome = ("named", "")
            elif outcome[0] == "named":
                outcome = ("silent-wrong", "trained on")
            self.outcomes.append((kind, "train", outcome, attempt))

    # ---- processes ---------------------------------------------------------------------------

    def tried(self, plan: list[Attempt]) -> list[tuple[Attempt, Outcome]]:
        """Attempts with their outcomes; a process that one of them ends is started again after it."""
        found: list[tuple[Attempt, Outcome]] = []
        while len(found) < len(plan):
            rest = plan[len(found) :]
            done, ended = self._process(rest)
            found += zip(rest, done, strict=False)
            if len(done) < len(rest):
                found.append((rest[len(done)], ended))
        return found

    def _process(self, plan: list[Attempt]) -> tuple[list[Outcome], Outcome]:
        todo, results = self.folder / "plan.json", self.folder / "results.jsonl"
        todo.write_text(json.dumps(plan))
        results.unlink(missing_ok=True)
        log = self.folder / "process.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.attempts", str(todo), str(results)],
                cwd=self.folder,
                env=self._environment(),
                stdout=output,
                stderr=output,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
            )
            hangs = not self._wait(process, results)
        rows = (
            [json.loads(line) for line in results.read_text().splitlines()]
            if results.exists()
            else []
        )
        done = [(row["outcome"], row["detail"]) for row in rows if "outcome" in row]
        if hangs:
            return done, ("hang", f"no word for {PATIENCE} s")
        return done, ("signal", f"exit code {process.returncode}: {log.read_text()[-1500:]}")

    def _environment(self) -> dict[str, str]:
        paths = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, paths)),
            "FUZZ_MARKER": str(self.folder / "fuzz_marker"),
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
        }

    @staticmethod
    def _wait(process: "subprocess.Popen[Any]", results: Path) -> bool:
        """Until it ends; False where it had to be ended."""
        heard, length = time.monotonic(), 0
        while process.poll() is None:
            time.sleep(0.1)
            size = results.stat().st_size if results.exists() else 0
            if size != length:
                heard, length = time.monotonic(), size
            if time.monotonic() - heard > PATIENCE:
                process.kill()
                process.wait()
                return False
        return True

    # ---- what came out -----------------------------------------------------------------------

    def bad(self) -> list[str]:
        """Lines about the outcomes that may not be."""
        return [
            f"{outcome[0]}: {kind} {stage} ({attempt.get('way', '')}, {attempt.get('file', '')}): {outcome[1]}"
            for kind, stage, outcome, attempt in self.outcomes
            if outcome[0] not in GOOD
        ]

    def table(self) -> str:
        """Markdown: a row for each kind of file and stage, and their sums."""
        counts: dict[str, Counter[str]] = {}
        for kind, stage, outcome, attempt in self.outcomes:
            group = kind.split(".")[0] if "." in kind and kind in KINDS else kind
            counts.setdefault(f"{group}: {attempt.get('what', stage)}", Counter())[outcome[0]] += 1
        total = sum(counts.values(), Counter())
        lines = [f"| file: stage | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
        for name, row in [*counts.items(), ("sum", total)]:
            lines.append(f"| {name} | {' | '.join(str(row[c]) for c in COLUMNS)} |")
        return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a new folder for all files, which stays")
    args = parser.parse_args(argv)
    folder = args.keep or Path(tempfile.mkdtemp(prefix="crosstask-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fuzz = Fuzz(folder, args.files, args.seed)
        fuzz.go()
    finally:
        if args.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{args.files} damaged files, seed {args.seed}, {len(fuzz.outcomes)} attempts\n")
    print(fuzz.table())
    for line in fuzz.bad():
        print(line, file=sys.stderr)
    return 1 if fuzz.bad() else 0


if __name__ == "__main__":
    sys.exit(main())
