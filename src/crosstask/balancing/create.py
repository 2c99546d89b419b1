"""`--balancing NAME[:key=value,...]`."""

import ast
from collections.abc import Sequence
from typing import Any

from crosstask.balancing.balancer import Balancer
from crosstask.balancing.fixed import FixedWeights
from crosstask.balancing.gradnorm import GradNorm
from crosstask.balancing.uncertainty import Uncertainty
from crosstask.suggest import nearest
from crosstask.tasks import Task, paper_weights

METHODS = ("paper", "equal", "uncertainty", "gradnorm", "mgda")


def create_balancer(name: str, tasks: Sequence[Task]) -> Balancer:
    """The balancer behind `--balancing NAME`.

    "paper": the published weights of the task set (see `crosstask.tasks.paper_weights`);
    "equal": every loss weighs 1; "fixed:segmentation=50,depth=1": weights of your own;
    "uncertainty", "gradnorm": learned; "mgda", "dwa", "pcgrad" and every other scalariser or
    aggregator of TorchJD by its name. All but "equal" and "fixed" start from the published
    weights, which bring the losses to one scale. Options follow a colon: "gradnorm:alpha=0.5",
    "cagrad:c=0.4", "dwa:temperature=2.0,epoch=500" (batches; if left out, one pass over the data,
    at most a tenth of the run).

    Raises:
        ValueError: unknown name or option; the nearest are named.
        ImportError: the method is TorchJD's and it is not installed.
    """
    method, _, text = name.partition(":")
    options = parse_options(name, text)
    names = [task.name for task in tasks]
    weights = paper_weights(tasks)
    if method == "fixed":
        for key in options:
            if key not in names:
                raise ValueError(nearest(key, names, "task in `balancing`"))
        return FixedWeights(options)
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
        return GradNorm(names, weights, **options)
    return FixedWeights(weights if method == "paper" else {})


def _from_torchjd(
    method: str, names: Sequence[str], weights: dict[str, float], options: dict[str, Any]
) -> Balancer:
    from crosstask.balancing import torchjd

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
    except (SyntaxError, ValueError):
        raise ValueError(
            f"`balancing` is {name!r}; expected NAME or NAME:key=value,key=value with numbers"
        ) from None
