"""From a run directory back to its experiment and data."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from crosstask.engine import checkpoints, places
from crosstask.engine.experiment import Experiment
from crosstask.engine.own_networks import without_weights
from crosstask.engine.runs import BEST_ON_REPORTED, WITHDRAWN, Run, RunError
from crosstask.engine.warm_start import restore_companions, take_over_inputs
from crosstask.engine.weights import load_weights
from crosstask.plugins.trust import Trust, trusted
from crosstask.recipes.catalogue import find_recipe


def open_run(
    run: Path | str,
    checkpoint: str | None = None,
    root: str | None = None,
    experiment: Experiment | None = None,
    trust: Trust = False,
) -> Experiment:
    """The experiment of a run directory with its trained weights.

    Args:
        checkpoint: "best" or "last"; None is the one that was scored.
        root: where the dataset lies now, if not where it was in training.
        experiment: what was trained, if it was no recipe; its weights are replaced.
        trust: which Python files that the run names may run, see `crosstask.plugins.trust`.

    Raises:
        RunError, ModelFileError: no run, no checkpoint, or one of another network.
        TrustError: a file would have to run that is not trusted.
    """
    place = Run(run)
    experiment = experiment or reopen(place, root, trust)
    description, weights = places.find(place.path, checkpoint)
    take_over_inputs(experiment.regime, experiment.regime.companions(), description)
    load_weights(experiment.regime.inference_network(), weights, str(place.path))
    file = place.checkpoint(checkpoint)
    restore_companions(experiment.regime, file)
    experiment.scored = checkpoints.scored_facts(file, rule_of(place, checkpoint))
    return experiment


def rule_of(place: Run, checkpoint: str | None = None) -> str:
    """How a checkpoint of a run was chosen, in the words of `crosstask.engine.runs`."""
    rule = place.rule()
    if checkpoint in (None, rule):
        return rule
    return "last" if checkpoint == "last" else BEST_ON_REPORTED


def begin(
    function: Callable[..., Experiment], options: Mapping[str, Any], run: Path | str, resume: bool
) -> Experiment:
    """A recipe's experiment; with random weights where a checkpoint of the run replaces them all."""
    replaced = resume and Run(run).last.is_file()
    return function(**(without_weights(options) if replaced else options))


def reopen(run: Run, root: str | None = None, trust: Trust = False) -> Experiment:
    """The experiment of a run directory, made again from its config.yaml, with random weights."""
    config = run.read_config()
    if not config:
        raise RunError(
            f"{run.path} was trained from an experiment made in Python, not from a recipe; give that "
            "experiment: `crosstask.evaluate(run, experiment=...)`"
        )
    config = run.read_config("recipe")
    for option in WITHDRAWN:
        if option in config:
            raise RunError(
                f"{run.path} was trained with `{option}: {config[option]}`, which this version no longer "
                "has; evaluate it with the version that its env.json names"
            )
    config = trusted(config, run.path, trust, run.own_files())
    function = find_recipe(config.pop("recipe"))
    config = without_weights(config)
    if root is not None:
        config["root"] = root
    try:
        return cast(Experiment, function(**config))
    except TypeError as error:
        raise ValueError(
            f"{run.config_file} does not fit this version's recipe ({error}); it was written by another "
            "version, or edited"
        ) from error
