"""The layers of the exchanges as their equations are written, and random weights and features."""

import torch
from torch.nn import functional

TASKS = ("a", "b", "c")


def randomise(module):
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            low = 0.5 if "running_var" in name else -0.3
            with torch.no_grad():
                tensor.copy_(torch.empty_like(tensor).uniform_(low, low + 1.0))
    return module.double().eval()


def make_features(size=(8, 12), tasks=TASKS):
    return {task: torch.randn(2, 8, *size, dtype=torch.double) for task in tasks}


def block(x, layers):
    """1x1 convolution, batch norm on its statistics, ReLU."""
    return norm(functional.conv2d(x, layers[0].weight), layers[1]).relu()


def norm(x, layer):
    mean, var = layer.running_mean.view(1, -1, 1, 1), layer.running_var.view(1, -1, 1, 1)
    x = (x - mean) / (var + layer.eps).sqrt()
    return x * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)


def conv(x, layer):
    return functional.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[-1] // 2)


def gate(x, layer):
    return conv(x, layer.feature) * conv(x, layer.mask).sigmoid()


def grow(x, factor):
    return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
