"""`--balancing NAME[:key=value,...]`."""

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crosstask.balancing.balancer import Balancer, check_weights
from crosstask.balancing.fixed import FixedWeights
from crosstask.balancing.gradnorm import GradNorm, check_rates
from crosstask.balancing.uncertainty import Uncertainty
from crosstask.plugins.files import parse
from crosstask.plugins.find import find, registered
from crosstask.suggest import nearest
from crosstask.tasks import Task, paper_weights

METHODS = ("paper", "equal", "uncertainty", "gradnorm", "mgda")


def create_balancer(name: str | Balancer, tasks: Sequence[Task]) -> Balancer:
    """The balancer behind `--balancing NAME`.

    "paper": the published weights of the task set (see `crosstask.tasks.paper_weights`);
    "equal": every loss weighs 1; "fixed:segmentation=50,depth=1": weights of your own;
    "uncertainty", "gradnorm": learned; "mgda", "dwa", "pcgrad" and every other scalariser or
    aggregator of TorchJD by its name. All but "equal" and "fixed" start from the published
    weights, which bring the losses to one scale. Options follow a colon: "gradnorm:alpha=0.5",
    "cagrad:c=0.4", "dwa:temperature=2.0,epoch=500" (batches; if left out, one pass over the data,
    at most a tenth of the run).

    Your own: "FILE.py:NAME" or a registered name, with options behind a colon as above. A class of
    balancers is made as `Class(**options)`, a function as `function(tasks, **options)`.

    Raises:
        ValueError: unknown name or option; the nearest are named; a file that cannot be used.
        ImportError: the method is TorchJD's and it is not installed.
    """
    if isinstance(name, Balancer):
        return name
    reference = parse(name)
    method, _, text = name.partition(":")
    if reference is not None:
        method, text = str(replace(reference, rest="")), reference.rest
    options = parse_options(name, text)
    names = [task.name for task in tasks]
    if reference is not None or method in registered("balancing"):
        return _own(method, tasks, options)
    weights = paper_weights(tasks)
    if method == "fixed":
        for key in options:
            if key not in names:
                raise ValueError(nearest(key, names, "task in `balancing`"))
        return FixedWeights(check_weights(options))
    own = {"paper": (), "equal": (), "uncertainty": (), "gradnorm": ("alpha", "lr")}
    if method not in own:
        return _from_torchjd(method, names, weights, options)
    for key in options:
        if key not in own[method]:
            known = ", ".join(own[method]) or "none"
            raise ValueError(f"`balancing` is {name!r}; {method} takes these options: {known}")
    if method == "uncertainty":
        return Uncertainty(names, weights)
    if method == "gradnorm":
        return GradNorm(names, weights, **check_rates(options))
    return FixedWeights(weights if method == "paper" else {})


def _own(method: str, tasks: Sequence[Task], options: dict[str, Any]) -> Balancer:
    """A balancing method of the user's own."""
    known: dict[str, Any] = dict.fromkeys(METHODS)
    expected = "a class of crosstask.balancing.Balancer, or a function that returns one"
    kind = find("balancing", method, known, _is_balancing, expected)
    try:
        made = kind(**options) if isinstance(kind, type) else kind(tasks, **options)
    except TypeError as error:
        raise ValueError(
            f"`balancing` is {method!r} with the options {options}, and cannot be made so: {error}"
        ) from error
    if not isinstance(made, Balancer):
        raise ValueError(
            f"`balancing` is {method!r}, which made {type(made).__name__}; expected a Balancer"
        )
    return made


def _is_balancing(thing: Any) -> bool:
    return issubclass(thing, Balancer) if isinstance(thing, type) else callable(thing)


def _from_torchjd(
    method: str, names: Sequence[str], weights: dict[str, float], options: dict[str, Any]
) -> Balancer:
    from crosstask.balancing.torchjd import methods as torchjd

    try:
        known = torchjd.methods()
    except ImportError as error:
        own = ", ".join(["fixed", *METHODS])
        raise ImportError(f"`balancing` is {method!r}; {error}. Without it: {own}") from error
    key = method.lower().replace("_", "").replace("-", "")
    if key not in known:
        everything = list(dict.fromkeys(["fixed", *METHODS, *known]))
        raise ValueError(nearest(method, everything, "balancing"))
    return torchjd.create(method, names, weights, options)


def parse_options(name: str, text: str) -> dict[str, Any]:
    """ "alpha=0.5,lr=0.1" -> {"alpha": 0.5, "lr": 0.1}."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError
        return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, TypeError, ValueError):
        raise ValueError(
            f"`balancing` is {name!r}; expected NAME or NAME:key=value,key=value with numbers"
        ) from None
