"""A recipe takes its settings as flat options: in Python, from the command line, in an own file."""

import inspect
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from crosstask.cli import main
from crosstask.cli.parsing import recipe_parser
from crosstask.recipes import recipe, variant
from crosstask.recipes.catalogue import RECIPES, find_recipe
from crosstask.recipes.procedural import partial, supervised
from crosstask.recipes.recipe import parts_of, recipe_without
from crosstask.recipes.resolving import resolve
from crosstask.recipes.settings import NetworkSettings, TrainingSettings, filled

SHORT = TrainingSettings(steps=3, lr=0.5)


@recipe
def made(
    tasks: str = "depth",
    network: NetworkSettings = NetworkSettings(width=0.5),
    training: TrainingSettings = SHORT,
) -> dict[str, Any]:
    """Made up.

    Args:
        seed: of everything.
    """
    return {"tasks": tasks, "network": network, "training": training}


def options(function: Any) -> dict[str, Any]:
    return {option.name: option for option in parts_of(function).options}


class TestInPython:
    def test_a_field_is_a_keyword(self) -> None:
        found = made("edges", steps=7, width=0.25)
        assert found["tasks"] == "edges"
        assert found["training"] == replace(SHORT, steps=7)
        assert found["network"] == NetworkSettings(width=0.25)
        assert made() == {
            "tasks": "depth",
            "network": NetworkSettings(width=0.5),
            "training": SHORT,
        }

    def test_whole_settings_replace_the_defaults_and_single_fields_come_on_top(self) -> None:
        assert made(training=TrainingSettings(seed=4))["training"] == TrainingSettings(seed=4)
        found = made(training=TrainingSettings(seed=4), steps=1)["training"]
        assert found == TrainingSettings(seed=4, steps=1)

    def test_an_unknown_name_is_an_error(self) -> None:
        with pytest.raises(TypeError, match="stepps"):
            made(stepps=3)
        with pytest.raises(ValueError, match="did you mean steps"):
            variant(made, "Mine.", stepps=3)

    def test_the_signature_and_the_documentation_are_flat(self) -> None:
        parameters = inspect.signature(made).parameters
        assert parameters["steps"].default == 3 and parameters["width"].annotation is float
        assert "network" not in parameters
        assert made.__doc__ is not None and made.__doc__.startswith("Made up.\n\nArgs:\n    tasks:")
        assert "    batch_size: images a batch" in made.__doc__

    def test_a_sentence_of_the_recipe_comes_before_that_of_the_settings(self) -> None:
        assert options(made)["seed"].sentence == "of everything."
        assert options(made)["accumulate"].sentence == "batches of one optimiser step."

    def test_a_variant_changes_values_and_keeps_the_options(self) -> None:
        mine = variant(made, "Mine.", tasks="edges", steps=9, seed=1)
        assert mine()["tasks"] == "edges"
        assert mine()["training"] == replace(SHORT, steps=9, seed=1)
        assert mine("normals", seed=2)["training"] == replace(SHORT, steps=9, seed=2)
        assert mine(training=SHORT)["training"] == SHORT  # what is given wins
        assert list(options(mine)) == list(options(made))
        assert variant(mine, "Again.", width=0.1)(seed=0)["training"].steps == 9
        assert made()["training"] == SHORT

    def test_a_fixed_field_is_no_option(self) -> None:
        fixed = recipe_without("seed")(parts_of(made).function)
        assert "seed" not in options(fixed)
        with pytest.raises(TypeError, match="seed"):
            fixed(seed=1)

    def test_a_parameter_of_its_own_hides_a_field(self) -> None:
        @recipe
        def own(steps: str = "many", training: TrainingSettings = SHORT) -> Any:
            return steps, training.steps

        assert own() == ("many", 3) and own(steps="few") == ("few", 3)
        assert options(own)["steps"].type is str

    def test_one_name_in_two_settings_is_an_error(self) -> None:
        @dataclass(frozen=True)
        class Other:
            seed: int = 0

        def own(training: TrainingSettings = SHORT, other: Other = Other()) -> None: ...

        with pytest.raises(ValueError, match="`seed` is an option of both `training` and `other`"):
            recipe(own)

    def test_what_is_left_open_is_filled(self) -> None:
        found = filled(TrainingSettings(steps=None, lr=0.1), steps=5, lr=0.2)
        assert (found.steps, found.lr) == (5, 0.1)
        with pytest.raises(ValueError, match="`batch_size` is None"):
            TrainingSettings(batch_size=None).length()


@pytest.mark.parametrize("name", RECIPES)
def test_every_option_has_a_sentence_and_stands_in_a_group(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = [n for n, option in options(find_recipe(name)).items() if not option.sentence]
    assert not silent
    assert main(["train", name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "(TrainingSettings): --steps STEPS" in text
    assert "The network (NetworkSettings): --architecture ARCHITECTURE" in text


def test_partial_is_supervised_with_two_fields_changed() -> None:
    changed = {n: o.default for n, o in options(partial).items()}
    usual = {n: o.default for n, o in options(supervised).items()}
    assert changed == {**usual, "labels_per_image": 1, "steps": 800}


def test_reading_options_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from crosstask.cli import main\n"
        "from crosstask.cli.parsing import recipe_parser\n"
        "from crosstask.recipes.catalogue import RECIPES\n"
        "for name in RECIPES: recipe_parser(name, 'train')[1].format_help()\n"
        "assert main(['study', 'table1', '--dataset', 'cityscapes', '--help']) == 0\n"
        "assert not {'torch', 'lightning', 'timm'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestOwnFile:
    def write(self, folder: Path, text: str) -> str:
        (folder / "mine.py").write_text("from typing import Any\n" + text)
        return f"{folder}/mine.py:run"

    def info(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
        assert main(["info", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    FLAGS = ("--size", "32x64", "--encoder", "resnet10t", "--steps", "5", "--width", "0.0625")

    @pytest.mark.parametrize(
        "text",
        [
            # all that it does not give is passed on, and found by reading the source
            "from crosstask.recipes.procedural import supervised\n"
            "def run(tasks: str = 'depth,normals', **options: Any):\n"
            '    """Mine."""\n'
            "    return supervised(tasks=tasks, seed=3, **options)\n",
            "from crosstask.recipes import variant\n"
            "from crosstask.recipes.procedural import supervised\n"
            "run = variant(supervised, 'Mine.', tasks='depth,normals', seed=3)\n",
            "from __future__ import annotations\n"
            "from crosstask.recipes import *\n"
            "from crosstask.recipes.procedural import supervised\n"
            "def run(tasks: str = 'depth,normals', streets: StreetSettings = StreetSettings(),\n"
            "        network: NetworkSettings = NetworkSettings(),\n"
            "        training: TrainingSettings = TrainingSettings(batch_size=4, optimizer='matched')):\n"
            '    """Mine."""\n'
            "    return supervised(\n"
            "        tasks=tasks, streets=streets, network=network, training=training, seed=3)\n",
        ],
        ids=["passed on", "variant", "settings"],
    )
    def test_has_all_options(
        self, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = self.write(tmp_path, text.replace("from __future__ import annotations\n", ""))
        if "__future__" in text:
            file = tmp_path / "mine.py"
            file.write_text("from __future__ import annotations\n" + file.read_text())
        facts = self.info(capsys, name, *self.FLAGS)
        assert (facts["tasks"], facts["size"], facts["steps"]) == (
            ["depth", "normals"],
            [32, 64],
            5,
        )
        assert (facts["encoder"], facts["batch_size"]) == ("resnet10t", 4)
        assert main(["train", name, "--help"]) == 0
        assert "factor on decoder widths" in " ".join(capsys.readouterr().out.split())
        wanted = {"width": 0.0625, "pretrained": False, "encoder": "resnet10t", "size": "32x64"}
        function, config = resolve(name, wanted)
        experiment = function(**config)
        assert experiment.seed == 3 and experiment.size == (32, 64)

    def test_what_is_passed_on_is_all_but_what_is_given(self, tmp_path: Path) -> None:
        name = self.write(
            tmp_path,
            "from crosstask.recipes import TrainingSettings\n"
            "from crosstask.recipes.procedural import supervised\n"
            "def run(training: TrainingSettings = TrainingSettings(steps=5), **options: Any):\n"
            "    return supervised(training=training, tasks='depth', **options)\n",
        )
        _, parser, names = recipe_parser(name, "train")
        library = set(options(supervised))
        assert set(names) == library - {"tasks"} and len(names) == len(set(names))
        assert parser.get_defaults()["steps"] == 5

    def test_settings_of_ones_own(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        name = self.write(
            tmp_path,
            "from dataclasses import dataclass\n"
            "from crosstask.recipes import NetworkSettings\n"
            "from crosstask.recipes.procedural import supervised\n"
            "@dataclass(frozen=True)\n"
            "class Noise:\n"
            '    """Noise.\n\n    Attributes:\n        strength: of it.\n    """\n'
            "    strength: float\n"
            "    rounds: int = 2\n"
            "def run(noise: Noise = Noise(0.5), network: NetworkSettings = NetworkSettings(width=0.1)):\n"
            "    return supervised(tasks='depth,normals', size='32x64', network=network, steps=noise.rounds)\n",
        )
        assert self.info(capsys, name, "--rounds", "7", "--encoder", "resnet10t")["steps"] == 7
        assert main(["train", name, "--help"]) == 0
        assert "Noise (Noise): --strength STRENGTH of it." in " ".join(
            capsys.readouterr().out.split()
        )

    def test_a_parameter_without_a_default_is_required(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = self.write(
            tmp_path,
            "from crosstask.recipes.procedural import supervised\n"
            "def run(rounds: int):\n"
            "    return supervised(tasks='depth,normals', width=0.1, size='32x64', steps=rounds)\n",
        )
        assert main(["info", name]) == 2
        assert "rounds" in capsys.readouterr().err
        assert self.info(capsys, name, "--rounds", "3")["steps"] == 3
