"""The rules of the house, read off the syntax tree."""

import ast
from pathlib import Path

import pytest

import crosstask

PACKAGE = Path(crosstask.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# part -> parts of this package that it may import; what is not listed may import everything.
ALLOWED: dict[str, tuple[str, ...]] = {
    "geometry": (),
    "losses": (),
    "colormap": (),
    "metrics": ("metrics", "geometry", "losses", "tasks"),
    "tasks": ("tasks", "losses", "metrics", "geometry", "colormap", "visualize", "photometric"),
    "models": ("models",),
    "data": (
        "data",
        "tasks",
        "geometry",
        "losses",
        "video",
        "metrics",
        "visualize",
        "legends",
        "colormap",
        "naming",
    ),
}
WITHOUT_LIGHTNING = ("geometry", "losses", "metrics", "tasks", "models", "data", "evaluation",
                     "scene_model", "predict", "export", "inference", "model_files", "visualize", "images")  # fmt: skip


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Modules imported at the top level of a file (not inside functions or TYPE_CHECKING)."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "crosstask":
                found += [f"crosstask.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_point_one_way(part: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        if part_of(path) == part
        for name in imports(path)
        if name.startswith("crosstask.") and name.split(".")[1] not in (*ALLOWED[part], part)
    ]
    assert not wrong, "\n".join(wrong)


def test_models_know_torch_and_timm_only() -> None:
    known = ("torch", "timm", "jaxtyping", "math", "collections", "dataclasses", "typing", "contextlib",
             "difflib", "inspect", "itertools", "functools", "copy", "warnings", "os", "pathlib",
             "pickle", "json", "abc", "crosstask", "re", "urllib", "types", "operator")  # fmt: skip
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        if part_of(path) == "models"
        for name in imports(path)
        if name.split(".")[0] not in known
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", WITHOUT_LIGHTNING)
def test_the_library_works_without_lightning(part: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        if part_of(path) == part
        for name in imports(path)
        if name.split(".")[0] in ("lightning", "pytorch_lightning")
        or name.startswith("crosstask.regimes")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_forbidden_names() -> None:
    bad = ("utils", "helpers", "common")
    assert not [p for p in FILES if p.stem in bad or p.stem.startswith("base_")]


def test_nothing_is_moved_to_a_gpu_by_hand() -> None:
    assert not [p.name for p in FILES if ".cuda()" in p.read_text()]


def test_tasks_are_not_spread_over_the_code() -> None:
    """A task's name stands in its own file, in recipes, readers and pictures; nowhere in models."""
    naming = [p.name for p in FILES if part_of(p) == "models" and '"normals"' in p.read_text()]
    assert set(naming) <= {"released.py", "auxiliary_labels.py", "atrc.py"}, naming
