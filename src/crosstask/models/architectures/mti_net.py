"""MTI-Net (Vandenhende et al., ECCV 2020): distillation between tasks at every scale."""

from collections.abc import Mapping, Sequence

from crosstask.models.architectures.architecture import (
    L1_LOSSES,
    Architecture,
    PaperSetting,
)
from crosstask.models.architectures.sca_mtl import FAMILY_OPTIMIZER, HRNET, sca_mtl
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.encoders.pyramid_maps import Neck, create_pyramid_encoder
from crosstask.models.networks.multiscale import MultiScaleNetwork
from crosstask.models.networks.scene_network import requires_two_tasks


def mti_net(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    neck: Neck = "auto",
    distillation: bool = True,
    propagation: bool = True,
    grouping: str = "released",
    head_channels: int | None = None,
    deep_supervision: bool = True,
    auxiliary_tasks: Sequence[str] = (),
) -> MultiScaleNetwork:
    """MTI-Net: task heads at strides 4 to 32, gated distillation at each, messages coarse to fine.

    With HRNet-W18-small-v2 it has 8,578,179 parameters for 40 classes and depth, 17,960,945 with
    N and E (one logit) as well, 14,838,121 with those two as auxiliary tasks.

    Args:
        width: scales the neck, from which all other widths follow.
        neck: 1x1 convolutions in front, see `PyramidMaps`.
        distillation: off leaves each task with its own features.
        propagation: the feature propagation module (FPM), fed before the distillation. Off with
            ``distillation=False`` is what one task may have.
        grouping: softmax groups of the propagation, see `group_softmax`.
        head_channels: width between the last two 1x1 convolutions; None is the concatenation's.
        deep_supervision: a side prediction of every task at every scale.
        auxiliary_tasks: tasks that only have side predictions and are read by the others (E and
            N in the paper's NYUDv2 experiments).

    Raises:
        ValueError: one task, an unknown choice, a missing stride.
    """
    if len(tasks) < 2 and (distillation or propagation):
        raise requires_two_tasks(
            tasks,
            "pass distillation=False and propagation=False, take the architecture 'single_task', "
            "or add a task",
        )
    return sca_mtl(
        encoder,
        tasks,
        width,
        neck,
        self_attention=None,
        task_exchange="gated" if distillation else None,
        scale_attention=False,
        propagation="convolution" if propagation else None,
        propagate_from="initial",
        grouping=grouping,
        head_channels=head_channels,
        deep_supervision=deep_supervision,
        auxiliary_tasks=auxiliary_tasks,
    )


PAPERS = (
    PaperSetting(dataset="nyudv2", epochs=100, batch_size=8),
    PaperSetting(dataset="pascal_context", epochs=100, batch_size=8),
)
MTI_NET = Architecture(
    mti_net,
    HRNET,
    create_pyramid_encoder,
    levels="sum",
    optimizer=FAMILY_OPTIMIZER,
    losses=L1_LOSSES,
    papers=PAPERS,
)
