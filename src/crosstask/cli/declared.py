"""Facts of architectures and datasets from their source, which is not run: lists without torch."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crosstask

_PACKAGE = Path(crosstask.__file__).parent
_READERS = _PACKAGE / "data" / "datasets"


def architectures() -> dict[str, str]:
    """{name: first line of its function's docstring}, in the registry's order."""
    found: dict[str, tuple[str, str]] = {}  # by the name of the object
    for file in sorted((_PACKAGE / "models" / "architectures").glob("*.py")):
        tree = _parse(file)
        texts = {f.name: ast.get_docstring(f) for f in tree.body if isinstance(f, ast.FunctionDef)}
        for name, value in _assignments(tree.body):
            if isinstance(value, ast.Call):
                given = [*value.args, *(keyword.value for keyword in value.keywords)]
                built = [n.id for n in given if isinstance(n, ast.Name) and n.id in texts]
                if built:
                    found[name] = built[0], (texts[built[0]] or "").partition("\n")[0]
    registry = dict(_assignments(_parse(_PACKAGE / "models" / "registry.py").body))
    (listed,) = (n for n in ast.walk(registry["ARCHITECTURES"]) if isinstance(n, ast.Tuple))
    return dict(found[entry.id] for entry in listed.elts if isinstance(entry, ast.Name))


def datasets() -> list[dict[str, Any]]:
    """Name, modalities, splits with their official sizes, homepage and licence of every dataset."""
    (base,) = _classes(_PACKAGE / "data" / "reader.py", "Reader")
    readers = [
        base | found for file in sorted(_READERS.glob("*.py")) for found in _classes(file) if found
    ]
    rows = [_row(reader, reader["official"]) for reader in readers if reader["homepage"]]
    streets = next(reader for reader in readers if not reader["homepage"])
    lengths = dict(_assignments(_parse(_READERS / "procedural.py").body))["LENGTHS"]
    streets |= {"homepage": "rendered on the fly: no files, no --root"}
    streets |= {"licence": "ships with crosstask"}
    return [*rows, _row(streets, ast.literal_eval(lengths))]


def _row(reader: dict[str, Any], official: dict[str, int]) -> dict[str, Any]:
    return {
        "name": reader["source"],
        "modalities": list(reader["supported"]),
        "splits": {split: official.get(split) for split in reader["splits"]},
        "homepage": reader["homepage"],
        "licence": reader["licence"],
    }


def _classes(file: Path, name: str | None = None) -> Iterator[dict[str, Any]]:
    """Plain values that classes of a file declare; of datasets, or of the class of this name."""
    for node in _parse(file).body:
        if isinstance(node, ast.ClassDef) and (name is None or node.name == name):
            facts = {}
            for key, value in _assignments(node.body):
                try:
                    facts[key] = ast.literal_eval(value)
                except ValueError:  # computed
                    continue
            if name is not None or "source" in facts:
                yield facts


def _assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                yield target.id, node.value


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
