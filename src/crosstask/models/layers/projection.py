"""The 1x1 projection of queries, keys, values and skips, in PyTorch's own initialisation."""

from torch import nn


def projection(inputs: int, outputs: int) -> nn.Sequential:
    """1x1 convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
