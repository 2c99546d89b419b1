"""From a run directory back to its experiment and data."""

from typing import Any

from crosstask.engine.runs import WITHDRAWN, RunError


def other_split(dataset: Any, split: str) -> Any:
    """The dataset's split of that name, with the options of the run."""
    if getattr(dataset, "source", "") in ("procedural", "mixture") or not hasattr(
        dataset, "of_split"
    ):
        raise ValueError("`--split` needs one dataset of stored images; leave it out")
    return dataset.of_split(split)


def at_native_size(dataset: Any) -> None:
    """Images and labels as they are stored."""
    from crosstask.data import transforms

    for part in getattr(dataset, "parts", ()):
        at_native_size(part)
    if hasattr(dataset, "parts"):
        return
    if not hasattr(dataset, "transform") or getattr(dataset, "source", "") == "procedural":
        raise ValueError(
            "`--window` needs a dataset of stored images; leave it out for procedural streets"
        )
    dataset.transform = transforms.evaluation(None)


def reopen(run, root: str | None = None):  # type: ignore[no-untyped-def]
    """The experiment of a run directory, made again from its config.yaml."""
    from crosstask.recipes.catalogue import find_recipe

    config = run.read_config("recipe")
    for option in WITHDRAWN:
        if option in config:
            raise RunError(
                f"{run.path} was trained with `{option}: {config[option]}`, which this version no longer "
                "has; evaluate it with the version that its env.json names"
            )
    function = find_recipe(config.pop("recipe"))
    if root is not None:
        config["root"] = root
    for skipped in ("init_from",):
        if skipped in config:
            config[skipped] = None
    if "pretrained" in config:
        config["pretrained"] = False
    try:
        return function(**config)
    except TypeError as error:
        raise ValueError(
            f"{run.config_file} does not fit this version's recipe ({error}); it was written by another "
            "version, or edited"
        ) from error
