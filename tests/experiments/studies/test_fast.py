"""The study of the fast family: its rows, each with its control."""

from crosstask.experiments.studies import Setting, find_study
from crosstask.models.decoders.fast import SIZES
from crosstask.recipes.catalogue import find_recipe


def test_every_size_stands_beside_itself_without_exchange() -> None:
    study = find_study("fast")
    runs = study(Setting(seeds=(0,)))
    find_recipe(runs[0].recipe)  # every default is an option of it
    assert study.defaults["freeze"] == "" and study.defaults["test_length"] == 500
    options = {run.row: run.options for run in runs}
    for size in (*SIZES, "s-stride-2"):
        with_, without = options[f"fast-{size}"], options[f"fast-{size}-no-exchange"]
        assert with_["width"] == without["width"] == 1.0
        assert without["options"] == {**with_["options"], "exchange": "none"}
    assert options["fast-s-stride-2"]["options"] == {"size": "s", "prediction_stride": 2}
    assert {"densemtl_linear", "linear_probe", study.baseline} <= set(options)
    assert sum(run.row == "fast-s-apart" for run in runs) == 4
