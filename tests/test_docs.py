"""The documentation builds without a warning, and the dataset pages say what the code does."""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

import fakes.bsds500
import fakes.camvid
import fakes.cityscapes
import fakes.folder
import fakes.nyudv2
import fakes.pascal_context
import fakes.rows
import fakes.sequences
import fakes.sevenscenes
import fakes.synthia
import fakes.vkitti2
from crosstask.cli import main
from crosstask.cli.main import COMMANDS
from crosstask.cli.parsing import recipe_parser
from crosstask.data import labels
from crosstask.data.datasets.catalogue import READERS
from crosstask.data.datasets.pascal_context import _PARTS
from crosstask.data.streets import STREET_CLASSES
from crosstask.recipes.catalogue import RECIPES, find_recipe
from crosstask.recipes.recipe import parts_of
from crosstask.tasks import ClassTable, HumanParts

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {name: DOCS / "datasets" / f"{name}.md" for name in (*READERS, "procedural")}
WRITERS: Mapping[str, Callable[[Path], object]] = {
    "bsds500": fakes.bsds500.write,
    "camvid": fakes.camvid.write,
    "cityscapes": fakes.cityscapes.write,
    "folder": fakes.folder.write,
    "hub": fakes.rows.write,
    "nyudv2": fakes.nyudv2.write,
    "pascal_context": fakes.pascal_context.write,
    "sevenscenes": fakes.sevenscenes.write,
    "synthia": fakes.synthia.write,
    "vkitti2": fakes.vkitti2.write,
}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    lines = [re.sub(r"\|  (?=\|)", "| ", line) for line in lines]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def colour(rgb: tuple[int, int, int]) -> str:
    return ", ".join(map(str, rgb))


def place(index: Mapping[int, int] | Mapping[str, int], key: object) -> str:
    """Class index of a stored id or name; nothing where it is void."""
    return str(index.get(key, ""))  # type: ignore[call-overload]


def cityscapes_table() -> str:
    tables = labels.CITYSCAPES_TABLES
    rows = []
    for name, colours in zip(labels.CITYSCAPES_19.names, labels.CITYSCAPES_19.colors, strict=True):
        stored = labels.CITYSCAPES_ID[name]
        numbers = [place(tables[count][1], stored) for count in (19, 16, 13, 8, 7)]
        rows.append([stored, name, *numbers, colour(colours)])
    return table(["stored id", "class", "19", "16", "13", "8", "7", "colour"], rows)


def nyu_table() -> str:
    rows = [
        [i + 1, name, labels.NYU_40_TO_13[i], labels.NYU_13.names[labels.NYU_40_TO_13[i] - 1]]
        for i, name in enumerate(labels.NYU_40.names)
    ]
    return table(["stored id", "of 40", "of 13", "class of 13"], rows)


def synthia_table() -> str:
    rows = [
        [
            index,
            place({n: i for i, n in enumerate(labels.CITYSCAPES_13.names)}, name),
            name,
            place(labels.SYNTHIA_RAND, name),
            place(labels.SYNTHIA_SEQS, name),
        ]
        for index, name in enumerate(labels.CITYSCAPES_16.names)
    ]
    return table(["of 16", "of 13", "class", "stored id, rand", "stored id, seqs"], rows)


def vkitti2_table() -> str:
    fourteen, eight = (labels.VKITTI2_TABLES[count][1] for count in (14, 8))
    colours = zip(labels.VKITTI2_14.names, labels.VKITTI2_14.colors, strict=True)
    rows = [[name, colour(rgb), fourteen[name], place(eight, name)] for name, rgb in colours]
    return table(["class", "stored colour", "of 14", "of 8"], rows)


def numbered(classes: ClassTable) -> str:
    rows = [
        [i, n, colour(c)]
        for i, (n, c) in enumerate(zip(classes.names, classes.colors, strict=True))
    ]
    return table(["index", "class", "colour"], rows)


def parts_table() -> str:
    names = HumanParts().classes.names
    rows = [[index, names[index], ", ".join(parts)] for index, parts in _PARTS.items()]
    return table(["index", "part", "names in the files"], rows)


TABLES: Mapping[str, Sequence[Callable[[], str]]] = {
    "cityscapes": (cityscapes_table,),
    "nyudv2": (nyu_table,),
    "synthia": (synthia_table,),
    "vkitti2": (vkitti2_table,),
    "camvid": (lambda: numbered(labels.CAMVID_11),),
    "pascal_context": (lambda: numbered(labels.PASCAL_21), parts_table),
    "procedural": (lambda: numbered(STREET_CLASSES),),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_dataset_page_agrees_with_the_code(name: str) -> None:
    text = PAGES[name].read_text()
    for expected in TABLES.get(name, ()):
        assert expected() in text, f"{PAGES[name]} should have this table:\n{expected()}"
    if name not in READERS:
        return
    reader = READERS[name]
    flat = " ".join(text.split())
    for fact in (reader.homepage, reader.licence):
        assert " ".join(fact.split()) in flat
    assert f"```text\n{reader.tree.strip()}\n```" in text
    for count in reader.official.values():
        assert re.search(rf"\b{count}\b", text), f"{PAGES[name]} does not give the count {count}"
    for modality in reader.supported:
        assert f"`{modality}`" in text, f"{PAGES[name]} does not name {modality}"


def commands(name: str) -> list[list[str]]:
    """Arguments of the `crosstask` lines of a page."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGES[name].read_text(), flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines if line.strip()]
    assert all(words[0] == "crosstask" for words in found), found
    return [words[1:] for words in found]


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_dataset_page_exist(name: str) -> None:
    kinds = {tuple(words[:2]) if words[0] == "data" else words[0] for words in commands(name)}
    assert {("data", "preview"), "train"} <= kinds
    for words in commands(name):
        if words[0] == "train":
            parser = recipe_parser(words[1], "train")[1]
            parser.add_argument("--run")
            assert parser.read(words[2:]).run is not None


@pytest.mark.parametrize("name", [n for n in PAGES if n != "frames"])
def test_check_and_preview_of_a_page_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written, on the miniature; a miniature has fewer frames than the official split."""
    monkeypatch.chdir(tmp_path)
    if name in WRITERS:
        WRITERS[name](tmp_path / "DIR")
    ran = 0
    for words in commands(name):
        if words[:2] in (["data", "check"], ["data", "preview"]) and "variant=seqs" not in words:
            quick = ["--partial"] if words[1] == "check" else ["--count", "2", "--width", "64"]
            assert main([*words, *quick]) == 0, words
            ran += 1
    assert ran >= (2 if name in WRITERS else 1)


def reference_pages() -> dict[str, str]:
    """Of the command line, as the site makes them."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


def test_the_reference_has_every_command_and_each_option_of_the_recipes_where_it_belongs() -> None:
    pages = reference_pages()
    assert {*COMMANDS, "index", "recipe_options"} == set(pages)
    for option in ("--run RUN", "--resume", "--devices DEVICES"):
        assert f"\n`{option}`\n: " in pages["train"]
    assert "\n`--rows ROWS`\n: " in pages["study"] and "--batch-size" not in pages["study"]
    assert "## crosstask data prepare coco" in pages["data"].replace("###", "##")
    shared, *sections = re.split(r"(?m)^## (?=[a-z0-9_]+\.)", pages["recipe_options"])
    for section, name in zip(sections, RECIPES, strict=True):
        assert section.startswith(name)
        for option in parts_of(find_recipe(name)).options:
            term = f"\n`--{option.name.replace('_', '-')} "
            assert (term in section) + shared.count(term) >= 1, (name, option.name)
    assert shared.count("\n`--accumulate ") == 1 and "\n`--accumulate" not in "".join(sections)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    folders = ["-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")]
    done = subprocess.run([*command, *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {page.stem for page in (tmp_path / "html" / "datasets").glob("*.html")}
    assert set(PAGES) <= pages
