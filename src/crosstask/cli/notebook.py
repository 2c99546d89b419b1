"""`crosstask notebook`: copies of the example notebooks."""

import json
from pathlib import Path

import crosstask
from crosstask.cli.arguments import CommandParser
from crosstask.media.files import atomic_path

SOURCES = Path(crosstask.__file__).parent / "notebooks"


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    known = notebooks()
    if args.list:
        for file in known:
            print(f"{file.stem:<20} {title(file)}")
        return 0
    chosen = [file for file in known if file.stem[0] in args.numbers or not args.numbers]
    if unknown := [number for number in args.numbers if number not in {f.stem[0] for f in known}]:
        raise ValueError(
            f"there is no notebook {unknown[0]!r}; `crosstask notebook --list` lists them"
        )
    written = copy(chosen, args.output, args.format, args.force)
    print("\n".join(map(str, written)))
    if args.format == "ipynb":
        print(f"\nopen them with Jupyter: jupyter lab {args.output}")
    return 0


def notebooks() -> list[Path]:
    """The sources, in order: Python files with cells after `# %%` (jupytext's percent format)."""
    return sorted(SOURCES.glob("[0-9]*.py"))


def title(file: Path) -> str:
    """The heading of a notebook."""
    return next(line for line in file.read_text().splitlines() if line.startswith("# # "))[4:]


def copy(files: list[Path], folder: Path, ending: str, force: bool = False) -> list[Path]:
    """Writes notebooks, and the files that they import, into a folder.

    Raises:
        ValueError: a file is there already, and `force` is false.
    """
    beside = [file for file in sorted(SOURCES.glob("*.py")) if not file.stem[0].isdigit()]
    planned = {folder / file.with_suffix(f".{ending}").name: file for file in files}
    planned |= {folder / file.name: file for file in beside}
    there = [target for target in planned if target.exists()]
    if there and not force:
        raise ValueError(f"{there[0]} is there already; pass `--force` to write over it")
    texts = {
        target: as_notebook(file) if target.suffix == ".ipynb" else file.read_text()
        for target, file in planned.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for target, text in texts.items():
        with atomic_path(target) as temporary:
            temporary.write_text(text)
    return list(planned)


def as_notebook(file: Path) -> str:
    """The JSON of a notebook without outputs.

    Raises:
        ImportError: the extra `notebooks` is not installed.
    """
    try:
        import jupytext
    except ImportError as error:
        raise ImportError(
            "notebooks need jupytext: pip install 'crosstask[notebooks]'; or take their sources, which "
            "editors and Jupyter open too: `crosstask notebook --format py`"
        ) from error
    notebook = json.loads(jupytext.writes(jupytext.read(file, fmt="py:percent"), fmt="ipynb"))
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return json.dumps(notebook, indent=1) + "\n"


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="crosstask notebook",
        description="Copy the example notebooks beside you: predict and look, your data, the papers' ideas, "
        "an honest comparison, an own idea. They run on a CPU, and need no data.",
    )
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="which; all if left out")
    parser.add_argument("--list", action="store_true", help="list them, and write nothing")
    parser.add_argument(
        "--output", type=Path, default=Path("notebooks"), help="folder that is written"
    )
    parser.add_argument(
        "--format",
        choices=("ipynb", "py"),
        default="ipynb",
        help="notebooks, or their sources: Python with cells after `# %%%%`, which needs nothing installed",
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there")
    return parser
