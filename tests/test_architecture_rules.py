"""The rules of the house, read off the syntax trees."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crosstask
import crosstask.tasks

PACKAGE = Path(crosstask.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a room imports rooms of lower floors only, not its neighbours on the same floor.
FLOORS = (
    ("suggest", "media", "losses"),
    ("plugins",),
    ("models", "geometry"),
    ("metrics",),
    ("tasks",),
    ("balancing", "drawing"),
    ("data",),
    ("evaluation",),
    ("regimes",),
    ("engine",),
    ("recipes", "predict"),
    ("experiments", "deploy", "web"),
    ("cli",),
    ("notebooks",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_LIGHTNING = ("geometry", "losses", "metrics", "tasks", "models", "media", "drawing", "data", "evaluation",
                     "predict", "deploy", "plugins", "engine/checkpoints", "engine/places",
                     "engine/rebuilding", "engine/weights", "engine/runs", "engine/metrics_file", "engine/hardware")  # fmt: skip


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """Every node below, without what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        yield child
        yield from statements(child, inside_functions)


def imports(path: Path, inside_functions: bool = True) -> list[str]:
    """Modules that a file imports; of `from crosstask import x` and `from package import x` also x."""
    found = []
    for node in statements(ast.parse(path.read_text()), inside_functions):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in names if name in MODULES]
            found += modules if len(modules) == len(names) else [node.module, *modules]
    return list(dict.fromkeys(found))


MODULES = {module_of(path): path for path in FILES}


def test_few_files_lie_loose_and_every_room_has_a_floor() -> None:
    loose = [p.name for p in PACKAGE.glob("*.py")]
    assert sorted(loose) == ["__init__.py", "__main__.py", "losses.py", "suggest.py"]
    assert {room_of(p) for p in FILES} - {"__init__", "__main__"} == set(FLOOR)


@pytest.mark.parametrize("room", FLOOR)
def test_imports_point_down(room: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        if room_of(path) == room
        for name in imports(path)
        if name.startswith("crosstask.")
        and (other := name.split(".")[1]) != room
        and FLOOR[other] >= FLOOR[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_needs_itself() -> None:
    """No circle between files, imports inside functions included; a package's front door apart."""
    needs = {
        name: [m for m in imports(path) if m in MODULES and MODULES[m].name != "__init__.py"]
        for name, path in MODULES.items()
        if path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for needed in needs[name]:
                visit(needed, (*trail, name))
            done.add(name)

    for name in needs:
        visit(name, ())


def test_models_know_torch_and_timm_only() -> None:
    # timm itself reads its weights through the last two
    known = ("torch", "timm", "jaxtyping", "math", "collections", "dataclasses", "typing", "contextlib",
             "difflib", "inspect", "itertools", "functools", "copy", "warnings", "os", "pathlib",
             "pickle", "json", "abc", "crosstask", "re", "urllib", "types", "operator", "hashlib", "importlib", "sys",
             "safetensors", "huggingface_hub")  # fmt: skip
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        if room_of(path) == "models"
        for name in imports(path, inside_functions=False)
        if name.split(".")[0] not in known
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", WITHOUT_LIGHTNING)
def test_the_library_works_without_lightning(part: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        if path.relative_to(PACKAGE).with_suffix("").as_posix().startswith(part)
        for name in imports(path, inside_functions=False)
        if name.split(".")[0] in ("lightning", "pytorch_lightning")
        or name.startswith("crosstask.regimes")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_forbidden_names() -> None:
    bad = ("utils", "helpers", "common")
    assert not [p for p in FILES if p.stem in bad or p.stem.startswith("base_")]


MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 450, 60


def test_no_file_is_long() -> None:
    """A file holds one idea."""
    lines = {path: path.read_text().count("\n") for path in FILES}
    assert not [f"{p}: {n}" for p, n in lines.items() if n > MOST_LINES_OF_A_FILE]


def lengths(path: Path) -> Iterator[tuple[int, str]]:
    """(lines, name) of every function, its docstring and decorators apart."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = ast.get_docstring(node) is not None
            told = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
            yield (node.end_lineno or 0) - node.lineno + 1 - told, node.name


def test_no_function_is_long() -> None:
    """With its signature and without its docstring."""
    assert not [
        f"{path.relative_to(PACKAGE)}: {name} has {number} lines"
        for path in FILES
        for number, name in lengths(path)
        if number > MOST_LINES_OF_A_FUNCTION
    ]


def test_nothing_is_moved_to_a_gpu_by_hand() -> None:
    assert not [p.name for p in FILES if ".cuda()" in p.read_text()]


# Outside of tasks/ and data/ (and of notebooks, which show them) `normals` stands in these files only.
NAMES_NORMALS = {
    "recipes/sets.py": "the task sets of the papers, which recipes and studies have by default",
    "metrics/normals.py": "the metric itself",
    "metrics/__init__.py": "exports it",
    "geometry/pinhole.py": "surface normals from depth, a fact of geometry",
    "models/architectures/atrc.py": "the published contexts of ATRC, task by task",
    "models/decoders/auxiliary_labels.py": "ATRC's labels, by the names of its tasks",
}


def test_a_task_is_not_spread_over_the_code() -> None:
    """What is known of a task is a field or a method of its class."""
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if room_of(path) not in ("tasks", "data", "notebooks")
        and re.search(r"\bnormals\b", path.read_text())
    }
    assert naming == set(NAMES_NORMALS) and len(naming) <= 6


def test_nobody_asks_for_the_class_of_a_task() -> None:
    """Outside of tasks/ a task is asked for its fields and methods, so that an own one works."""
    classes = {
        cls.__name__
        for cls in vars(crosstask.tasks).values()
        if isinstance(cls, type)
        and issubclass(cls, crosstask.tasks.Task)
        and cls is not crosstask.tasks.Task
    }
    wrong = []
    for path in FILES:
        if room_of(path) == "tasks":
            continue
        imported = {
            alias.asname or alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("crosstask.tasks")
            for alias in node.names
            if alias.name in classes
        }
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked, kinds = (ast.unparse(argument) for argument in node.args)
                if asked == "task" or set(re.findall(r"\w+", kinds)) & imported:
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


MOST_PROBES = 55


def probes(path: Path) -> list[int]:
    """Lines on which a file looks an attribute up by name."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [c for c in calls if isinstance(c.func, ast.Name)]
    return [c.lineno for c in named if c.func.id in ("getattr", "hasattr")]  # type: ignore[attr-defined]


def test_attributes_are_declared_rather_than_probed_for() -> None:
    """A contract is a class with defaults; where one is looked up by name a comment says why.

    The comment stands on the line, or on one of the three above it.
    """
    wrong, found = [], 0
    for path in FILES:
        lines = path.read_text().splitlines()
        for number in probes(path):
            found += 1
            if not any("# " in line for line in lines[max(0, number - 4) : number]):
                wrong.append(f"{path.relative_to(PACKAGE)}:{number}: {lines[number - 1].strip()}")
    assert not wrong, "\n".join(wrong)
    assert found <= MOST_PROBES, f"{found} look-ups by name; declare what is asked for"


# Written another way: a log that grows, a lock, a note beside a failed run, a video's frames on their way.
_NOT_ATOMIC = {
    ("engine/pace.py", "write_text"),  # a switch of the kernel, no file
    ("engine/metrics_file.py", "open"),
    ("engine/runs.py", "open"),
    ("engine/storing.py", "open"),  # the trainer's temporary file, see `Checkpoints`
    ("experiments/studies/running.py", "write_text"),
}


def writes(path: Path) -> Iterator[tuple[str, str]]:
    """(method, what it is called on) of the calls that write a file by its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        mode = next((a.value for a in node.args[:1] if isinstance(a, ast.Constant)), "r")
        opened = node.func.attr == "open" and isinstance(mode, str) and mode[:1] in ("w", "a", "x")
        if opened or node.func.attr in ("write_text", "write_bytes"):
            yield node.func.attr, ast.unparse(node.func.value)
        if node.func.attr == "savefig" and ast.unparse(node.args[0]) != "data":  # bytes in memory
            yield node.func.attr, ast.unparse(node.args[0])


def test_files_are_written_whole_or_not_at_all() -> None:
    """Through `atomic_path`, or functions of `media/files.py` that use it."""
    wrong = [
        f"{path.relative_to(PACKAGE)}: {place}.{method}"
        for path in FILES
        for method, place in writes(path)
        if place != "temporary"
        and room_of(path) != "notebooks"  # examples, which are copied and write what a reader would
        and (path.relative_to(PACKAGE).as_posix(), method) not in _NOT_ATOMIC
    ]
    assert not wrong
