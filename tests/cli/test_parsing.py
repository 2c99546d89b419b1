"""Options of recipes on the command line."""

from pathlib import Path

import pytest

from crosstask.cli.parsing import recipe_parser


@pytest.mark.parametrize("name", ["procedural.supervised", "folder.supervised"])
def test_a_number_that_is_none_is_told_with_its_option(name: str, tmp_path: Path) -> None:
    """Of every option of a recipe that takes a number, from the command line and from a file."""
    _, parser, names = recipe_parser(name, "train")
    numbers = 0
    for option, hint in parser._hints().items():
        kinds = str(hint)
        if option not in names or not any(kind in kinds for kind in ("int", "float")):
            continue
        if any(other in kinds for other in ("str", "list", "tuple", "dict")):
            continue
        numbers += 1
        flag, what = f"--{option.replace('_', '-')}", "finite" if "float" in kinds else "whole"
        with pytest.raises(ValueError, match=rf"^`{flag}` is inf; expected a {what} number"):
            parser.read([flag, "inf"])
        (tmp_path / "c.yaml").write_text(f"{option}: many\n")
        with pytest.raises(ValueError, match=rf"^`{flag}` is many; expected a {what} number"):
            parser.read(["--config", str(tmp_path / "c.yaml")])
    assert numbers > 20


def test_other_types_are_the_parsers_own_affair(capsys: pytest.CaptureFixture[str]) -> None:
    _, parser, _ = recipe_parser("procedural.supervised", "train")
    with pytest.raises(SystemExit):
        parser.read(["--options", "3"])
    assert "options" in capsys.readouterr().err
    with pytest.raises(ValueError, match="`--pretrained` is maybe; expected true or false"):
        parser.read(["--pretrained=maybe"])
    assert parser.read(["--no-pretrained", "--lr", "1e-3"]).lr == 1e-3
