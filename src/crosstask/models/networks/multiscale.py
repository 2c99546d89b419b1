"""The multi-scale network of MTI-Net and SCA-MTL: task heads, exchange and propagation by scale.

Sources: Vandenhende et al., MTI-Net, ECCV 2020; Kim, Choi and Min, SCA-MTL, ICIP 2022.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.decoders.multiscale import TaskScales
from crosstask.models.encoders.pyramid_maps import STRIDES, PyramidMaps, fit_output
from crosstask.models.exchanges.sca_task import AllPairsAttention
from crosstask.models.layers.recompute import run
from crosstask.models.layers.sizes import crop
from crosstask.models.networks.scene_network import SceneNetwork, by_level

LEVELS = (2, 3, 4, 5)


class MultiScaleNetwork(SceneNetwork):
    """Image to raw outputs ``{task: [stride 32, 16, 8, 4, image size]}``.

    From coarse to fine, at each scale: every task's head reads the shared map (and the message of
    the coarser scale), predicts, the tasks exchange, and a message goes to the next finer scale.
    In the end each task aggregates its four maps. A side output of stride s covers
    ceil(H/s) x ceil(W/s); `final_only` leaves the side outputs out.

    Args:
        encoder: see `Encoder`; strides 4, 8, 16 and 32 among its own.
        maps: picks those four, with or without a neck.
        decoders: one for each task; their order is the order of the tasks. Tasks whose decoder
            has no final prediction are auxiliary: their last output is the finest side prediction.
        self_attention: one module per scale, fine to coarse, whose output is concatenated in front
            of the map; ``nn.Identity`` duplicates the map; None leaves the maps alone.
        exchanges: level (log2 of the stride) to a module ``{task: features} -> `` the same.
        propagations: level to a module from features to messages for the next finer level.
        propagate_exchanged: messages are made of features after the exchange (SCA-MTL), not
            before it (MTI-Net).
        all_pairs: replaces the exchanges of the coarsest scales together.
    """

    def __init__(
        self,
        encoder: nn.Module,
        maps: PyramidMaps,
        decoders: Mapping[str, TaskScales],
        self_attention: nn.ModuleList | None = None,
        exchanges: Mapping[int, nn.Module] | None = None,
        propagations: Mapping[int, nn.Module] | None = None,
        propagate_exchanged: bool = True,
        all_pairs: AllPairsAttention | None = None,
    ) -> None:
        super().__init__(decoders)
        self.encoder = encoder
        self.maps = maps
        self.self_attention = self_attention
        self.decoders = nn.ModuleDict(dict(decoders))
        self.exchanges = nn.ModuleDict(by_level(exchanges or {}))
        if all_pairs is not None:
            self.exchanges["all_pairs"] = all_pairs
        self.propagations = nn.ModuleDict(by_level(propagations or {}))
        self.propagate_exchanged = propagate_exchanged
        together = len(all_pairs.channels) if all_pairs is not None else 1
        self.groups = (
            tuple(range(3, 3 - together, -1)),
            *((k,) for k in range(3 - together, -1, -1)),
        )
        self.levels = tuple(reversed(LEVELS))

    def decode(
        self, features: list[Tensor], size: tuple[int, int] | None = None
    ) -> dict[str, list[Tensor]]:
        """Outputs from features; `size` is the image's (H, W), by default that of the padded image."""
        padded = self.padded_size(features)
        initial, _, exchanged = self._features(features)
        wanted = size or padded
        outputs = {}
        for task in self.tasks:
            decoder = self._decoder(task)
            given = [] if self.final_only and len(decoder.predictions) else initial[task]
            sides = [
                self._run(task, decoder.side, k, x)
                for k, x in enumerate(given)
                if len(decoder.side_predictions)
            ]
            full_scale = len(decoder.predictions) > 0
            last = self._run(task, decoder.predict, exchanged[task]) if full_scale else sides[0]
            first = (
                0 if len(decoder.predictions) else 1
            )  # the finest is the last output, and counts once
            pairs = list(zip(sides, STRIDES, strict=False))[first:]
            fitted = [fit_output(x, stride, wanted) for x, stride in pairs]
            full = functional.interpolate(last, size=padded, mode="bilinear", align_corners=False)
            outputs[task] = [*reversed(fitted), crop(full, wanted)]
            if self.final_only:
                outputs[task] = outputs[task][-1:]
        return outputs

    def streams(self, image: Float[Tensor, "b c h w"], level: int) -> dict[str, Tensor]:
        """Each task's features at a level (2 to 5), as an exchange at that level reads them."""
        if level not in LEVELS:
            raise ValueError(f"`level` is {level}; expected one of {LEVELS}.")
        _, own, _ = self._features(self.encode(image))
        return {task: own[task][LEVELS.index(level)] for task in self.tasks}

    def _run(self, task: str, part: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """A part of a task's decoder, recomputed in the backward pass where asked for."""
        return cast(Tensor, run(self.decoders[task], self.recompute, part, *inputs))

    def _decoder(self, task: str) -> TaskScales:
        return cast(TaskScales, self.decoders[task])

    def _shared(self, features: list[Tensor]) -> list[Tensor]:
        """The four maps that all heads read, self-attention in front of the backbone's own."""
        maps = self.maps(features)
        if self.self_attention is None:
            return maps
        attended = [module(x) for module, x in zip(self.self_attention, maps, strict=True)]
        return [torch.cat(pair, 1) for pair in zip(attended, maps, strict=True)]

    def _features(
        self, features: list[Tensor]
    ) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]], dict[str, list[Tensor]]]:
        """Per task, fine to coarse: initial features, those that enter the exchange, those after."""
        shared = self._shared(features)
        initial: dict[str, list[Any]] = {task: [None] * 4 for task in self.tasks}
        own: dict[str, list[Any]] = {task: [None] * 4 for task in self.tasks}
        exchanged: dict[str, list[Any]] = {task: [None] * 4 for task in self.tasks}
        messages: dict[str, Tensor] = {}
        for group in self.groups:
            for k in group:
                for task in self.tasks:
                    decoder = self._decoder(task)
                    initial[task][k] = self._run(
                        task, decoder.initial, k, shared[k], messages.get(task)
                    )
                    own[task][k] = self._run(
                        task, decoder.read_coarser, k, initial[task][k], initial[task][k + 1 :]
                    )
                if k != group[-1] or not self.propagate_exchanged:
                    messages = self._propagate(k, own)
            self._exchange(group, own, exchanged)
            if self.propagate_exchanged:
                messages = self._propagate(group[-1], exchanged)
        return initial, own, exchanged

    def _exchange(
        self, group: tuple[int, ...], own: dict[str, list[Any]], exchanged: dict[str, list[Any]]
    ) -> None:
        """Fills ``exchanged`` at the scales of a group, coarse to fine."""
        if "all_pairs" in self.exchanges and group == self.groups[0]:
            ordered = sorted(group)
            maps_of = {t: [own[t][k] for k in ordered] for t in own}
            mixed = self.run_exchange("all_pairs", maps_of)
            for task, maps in mixed.items():
                for k, x in zip(ordered, maps, strict=True):
                    exchanged[task][k] = x
            return
        level, k = str(LEVELS[group[0]]), group[0]
        streams = {task: maps[k] for task, maps in own.items()}
        if level in self.exchanges:
            streams = self.run_exchange(level, streams)
        for task, x in streams.items():
            exchanged[task][k] = x

    def _propagate(self, k: int, maps: dict[str, list[Any]]) -> dict[str, Tensor]:
        level = str(LEVELS[k])
        if level not in self.propagations:
            return {}
        return self.propagations[level]({task: own[k] for task, own in maps.items()})
