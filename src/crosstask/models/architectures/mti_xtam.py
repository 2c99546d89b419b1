"""DenseMTL's cross-task attention inside MTI-Net's multi-scale scheme.

A combination that DenseMTL (Lopes et al., WACV 2023) names as future work; not published.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crosstask.models.architectures.mti_net import MTI_NET
from crosstask.models.architectures.sca_mtl import sca_mtl
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.encoders.pyramid_maps import Neck
from crosstask.models.exchanges.base import check_tasks
from crosstask.models.networks.multiscale import MultiScaleNetwork


def mti_xtam(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    neck: Neck = "auto",
    propagation: bool = True,
    grouping: str = "intended",
    head_channels: int | None = None,
    deep_supervision: bool = True,
    fusion: str = "add",
    correlation: str | None = "spatial",
    self_attention: str | None = "half",
    alpha: bool = True,
    kv_downscale: str = "s",
) -> MultiScaleNetwork:
    """MTI-Net whose distillation at each of the four scales is DenseMTL's exchange block (mTEB).

    Correlations are computed at stride 8 from the stride 4 features and at the features' own
    stride elsewhere, the rule of DenseMTL's decoder levels.

    Args:
        width, neck, propagation, head_channels, deep_supervision: see `mti_net`.
        grouping: softmax groups of the propagation, see `group_softmax`; here as the papers mean.
        fusion, correlation, self_attention, alpha, kv_downscale: see `TaskExchange` and
            `CrossTaskAttention`.

    Raises:
        ValueError: one task, an unknown choice, a missing stride.
    """
    check_tasks(tuple(tasks))
    options: dict[str, Any] = {
        "fusion": fusion,
        "correlation": correlation,
        "self_attention": self_attention,
        "alpha": alpha,
        "kv_downscale": kv_downscale,
    }
    return sca_mtl(
        encoder,
        tasks,
        width,
        neck,
        self_attention=None,
        task_exchange="xtam",
        scale_attention=False,
        propagation="convolution" if propagation else None,
        propagate_from="initial",
        grouping=grouping,
        head_channels=head_channels,
        deep_supervision=deep_supervision,
        exchange_options=options,
    )


# Not published: trained as MTI-Net.
MTI_XTAM = replace(MTI_NET, build=mti_xtam)
