"""Balancing: from one loss per task to the gradients of shared and task-specific parameters.

Two kinds meet in one small interface. A *scalariser* weighs the losses and lets autograd do the
rest (`combine`). An *aggregator* looks at each task's gradient with respect to the shared
parameters and combines those (`backward`, `finish`). One method a file.
"""

from crosstask.balancing.balancer import Balancer
from crosstask.balancing.create import METHODS, create_balancer
from crosstask.balancing.fixed import FixedWeights
from crosstask.balancing.gradnorm import GradNorm
from crosstask.balancing.uncertainty import Uncertainty

__all__ = [
    "METHODS",
    "Balancer",
    "FixedWeights",
    "GradNorm",
    "Uncertainty",
    "create_balancer",
]
