"""Options of `--balancing`: numbers, and what is said of anything else."""

import numpy as np
import pytest
import torch

from crosstask.balancing import create_balancer
from crosstask.balancing.balancer import is_number
from crosstask.tasks import Depth, Segmentation

TASKS = (Segmentation(3), Depth())
WRONG = {
    "fixed:depth='1'": "finite, non-negative numbers",
    "fixed:depth=[1]": "finite, non-negative numbers",
    "fixed:depth=1e999": "'depth': inf.; expected finite",
    "fixed:depth=True": "finite, non-negative numbers",
    "fixed:depth=1" + "0" * 400: "finite, non-negative numbers",
    "fixed:depth={[1]:2}": "expected NAME or NAME:key=value",
    "gradnorm:lr='a'": "`lr` is 'a'; expected a positive rate",
    "gradnorm:lr=0": "`lr` is 0; expected a positive rate",
    "gradnorm:lr=1e999": "`lr` is inf; expected a positive rate",
    "gradnorm:alpha='x'": "`alpha` is 'x'; expected a finite number from 0 up",
    "gradnorm:alpha=-1": "`alpha` is -1; expected a finite number from 0 up",
    "gradnorm:alpha=None": "`alpha` is None; expected a finite number from 0 up",
    "dwa:temperature='a'": "`dwa:temperature` is 'a'; expected a finite number",
    "dwa:temperature=[1.0]": r"`dwa:temperature` is \[1.0\]; expected a finite number",
    "dwa:epoch='a'": "epoch='a'; expected a number of batches",
    "dwa:epoch=[1]": r"epoch=\[1\]; expected a number of batches",
    "dwa:epoch=1e999": "epoch=inf; expected a number of batches",
    "mgda:epsilon='a'": "`mgda:epsilon` is 'a'; expected a finite number",
    "mgda:epsilon=1e999": "`mgda:epsilon` is inf; expected a finite number",
    "mgda:max_iters=1.5": "`mgda:max_iters` is 1.5; expected a whole number",
    "pcd:tau='a'": "`pcd:tau` is 'a'; expected a finite number or a list of them",
    "alignedmtl:scale_mode='x'": "expected one of min, median, rmse",
    "alignedmtl:pref_vector=3": r"`alignedmtl:pref_vector` is 3; expected a list of numbers",
    "stch:mu=1,weights=['a',1]": r"expected a list of numbers, as in \[1.0, 2.0\]",
    "graddrop:f=3": "`graddrop:f` cannot be given as text; leave it out",
}


@pytest.mark.parametrize(("name", "words"), WRONG.items(), ids=[name[:25] for name in WRONG])
def test_what_is_no_number_is_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create_balancer(name, TASKS)


@pytest.mark.parametrize(
    "name",
    [
        "fixed:depth=0",
        "gradnorm:alpha=0,lr=1",
        "dwa:temperature=1,epoch=2.0",
        "mgda:epsilon=0.1,max_iters=5",
        "pcd:tau=[0.1]",
        "pcd:tau=0.1",
        "alignedmtl:scale_mode='median',pref_vector=[1,2]",
        "alignedmtl:pref_vector=None",
        "stch:mu=0.1,weights=[1,2]",
    ],
)
def test_numbers_are_taken(name: str) -> None:
    assert create_balancer(name, TASKS) is not None


def test_numbers_of_numpy_are_numbers() -> None:
    assert is_number(np.float32(0.5)) and is_number(np.int64(3), 3)
    assert not is_number(np.float32("nan")) and not is_number(np.float32(0.5), 1)
    assert not is_number(torch.tensor(1.0)) and not is_number(1j)


@pytest.mark.parametrize(
    "name", ["geometricmean", "stch:mu=0.1", "pbi:theta=1.0", "cosmos:lambda_=1.0"]
)
def test_what_is_not_linear_in_the_losses_refuses_accumulated_batches(name: str) -> None:
    x = torch.ones(1, 2, requires_grad=True)
    balancer = create_balancer(name, TASKS)
    losses = {"segmentation": x[0, 0] * 2, "depth": x[0, 1] * 3}
    total = balancer.combine(losses)
    with pytest.raises(ValueError, match=r"`--accumulate 1` with a larger `--batch-size`"):
        balancer.backward(total, losses, [], 1 / 2)
    balancer.backward(total, losses, [])
    assert x.grad is not None


@pytest.mark.parametrize("name", ["equal", "uw", "imtl_l", "dwa", "random", "mgda", "gradnorm"])
def test_what_is_linear_takes_them(name: str) -> None:
    x = torch.ones(1, 2, requires_grad=True)
    losses = {"segmentation": x[0, 0] * 2, "depth": x[0, 1] * 3}
    balancer = create_balancer(name, TASKS)
    balancer.backward(balancer.combine(losses), losses, [], 1 / 2)  # type: ignore[list-item]
    assert x.grad is not None
