"""`python -m fuzz.attempts PLAN RESULTS`: tries damaged files, one after the other, in this process.

PLAN is a JSON list of attempts. A line goes to RESULTS before and after each, so that whoever started
this process knows which one ended it.
"""

import contextlib
import io
import json
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosstask.cli.main import is_users, main
from crosstask.data.datasets.folder import FolderDataset
from crosstask.data.tools.inspection import inspect_frame
from crosstask.predict.model import load
from crosstask.recipes.reopen import open_run
from fuzz.damage import Payload

NAMED, RIGHT, PIXELS, WRONG, TRACEBACK = (
    "named",
    "right",
    "other pixels",
    "silent-wrong",
    "traceback",
)
# A flipped bit in these cannot go unnoticed: they carry checksums.
SUMMED = (".png", ".npz", ".ckpt", ".safetensors")
Outcome = tuple[str, str]


@cache
def frames(root: str) -> tuple[FolderDataset, dict[str, int]]:
    dataset = FolderDataset(root, "all", modalities=FolderDataset.supported[:4])
    return dataset, {frame.name: index for index, frame in enumerate(dataset.frames)}


def breach(sample: Mapping[str, Any]) -> str:
    """What of a sample is not as every dataset promises; "" where nothing is."""
    height, width = sample["image"].shape[-2:]
    image, depth, normals = sample["image"], sample["depth"], sample["normals"]
    length = normals.norm(dim=0)
    promises = {
        "image in [0, 1]": bool(((image >= 0) & (image <= 1)).all()),
        "depth finite, from 0": bool((depth.isfinite() & (depth >= 0)).all()),
        "normals unit or void": bool((((length - 1).abs() < 1e-3) | (length == 0)).all()),
        "classes": bool(((sample["segmentation"] < 6) | (sample["segmentation"] == 255)).all()),
        "edges": bool(torch.isin(sample["edges"], torch.tensor([0.0, 1.0, 255.0])).all()),
        "intrinsics finite": bool(sample["intrinsics"].isfinite().all()),
        "sizes": all(
            sample[n].shape[-2:] == (height, width) for n in ("depth", "normals", "edges")
        ),
    }
    return ", ".join(name for name, kept in promises.items() if not kept)


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    tensors = [name for name, value in b.items() if isinstance(value, Tensor)]
    return all(
        a[n].shape == b[n].shape and torch.allclose(a[n], b[n], equal_nan=True) for n in tensors
    )


def load_frame(attempt: Mapping[str, Any]) -> Outcome:
    dataset, places = frames(attempt["root"])
    if attempt["name"] not in places:
        return WRONG, "the frame has disappeared"
    sample, whole = dataset[places[attempt["name"]]], dataset[places[attempt["whole"]]]
    return judged(same(sample, whole), breach(sample), attempt)


def judged(equal: bool, broken: str, attempt: Mapping[str, Any]) -> Outcome:
    if broken:
        return WRONG, broken
    if equal:
        return RIGHT, ""
    summed = Path(attempt["file"]).suffix in SUMMED and attempt["bytes"]
    return (WRONG, "a checksum was passed over") if summed else (PIXELS, "")


def check_frame(attempt: Mapping[str, Any]) -> Outcome:
    """What `data check` finds; values that no file of the kind holds must not pass."""
    dataset, places = frames(attempt["root"])
    try:
        found = inspect_frame(dataset, places[attempt["name"]])
    except ValueError as error:
        return WRONG, f"the check ends, and looks at no other frame: {error}"
    if found.defects:
        told = all(Path(attempt["file"]).stem in text for text in found.defects)
        return (NAMED, found.defects[0]) if told else (WRONG, f"does not name it: {found.defects}")
    return load_frame(attempt)


def read_folder(attempt: Mapping[str, Any]) -> Outcome:
    dataset = FolderDataset(attempt["root"], "train", modalities=FolderDataset.supported[:4])
    return (PIXELS, "") if not breach(dataset[0]) else (WRONG, breach(dataset[0]))


def load_model(attempt: Mapping[str, Any]) -> Outcome:
    torch.manual_seed(0)
    image = torch.rand(3, 32, 48)
    found = load(attempt["place"]).predict(image).values
    whole = load(attempt["whole"]).predict(image).values
    finite = all(bool(value.isfinite().all()) for value in found.values())
    equal = found.keys() == whole.keys() and same(found, whole)
    return judged(equal, "" if finite else "outputs are not finite", attempt)


def reopen(attempt: Mapping[str, Any]) -> Outcome:
    made = open_run(attempt["place"])
    return (RIGHT, "") if len(made.val_data()) else (WRONG, "no data")


def save(attempt: Mapping[str, Any]) -> Outcome:
    load(attempt["place"]).save_pretrained(attempt["to"])
    return RIGHT, ""


def command(attempt: Mapping[str, Any]) -> Outcome:
    """A command line; its exit code and what it says on standard error."""
    said, out = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(out):
        code = main(attempt["argv"])
    Path(attempt["log"]).write_text(
        json.dumps({"code": code, "err": said.getvalue(), "out": out.getvalue()})
    )
    if code not in attempt["codes"]:
        return WRONG, f"exit code {code}: {said.getvalue()[-500:]}"
    return RIGHT, ""


def trial(attempt: Mapping[str, Any]) -> Outcome:
    """Outcomes that may not be, to test that they are seen."""
    if attempt["how"] == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if attempt["how"] == "code":
        pickle.loads(pickle.dumps(Payload()))
    if attempt["how"] == "traceback":
        raise KeyError("x")
    raise ValueError("/data/a.png is damaged")


STAGES: dict[str, Callable[[Mapping[str, Any]], Outcome]] = {
    "check": check_frame, "load": load_frame, "folder": read_folder, "model": load_model, "config": reopen,
    "command": command, "save": save,
    "trial": trial,
}  # fmt: skip


def attempted(attempt: Mapping[str, Any]) -> Outcome:
    try:
        return STAGES[attempt["stage"]](attempt)
    except Exception as error:
        if not is_users(error):
            return TRACEBACK, traceback.format_exc()[-1500:]
        names = [part for file in attempt["names"] for part in (file, Path(file).name)]
        if not any(name in str(error) for name in names):
            return WRONG, f"does not name {attempt['names']}: {error}"
        return NAMED, str(error)[:300]


def run(plan: Path, results: Path) -> None:
    warnings.simplefilter("ignore")
    with results.open("a") as out:
        for attempt in json.loads(plan.read_text()):
            print(json.dumps({"id": attempt["id"]}), file=out, flush=True)
            outcome, detail = attempted(attempt)
            for marker in (Path(os.environ["FUZZ_MARKER"]), Path("fuzz_marker")):
                if marker.exists():
                    marker.unlink()
                    outcome = "code"
            print(
                json.dumps({"id": attempt["id"], "outcome": outcome, "detail": detail}),
                file=out,
                flush=True,
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), Path(sys.argv[2]))
