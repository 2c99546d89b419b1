"""How much of a decoder's lead on an HRNet is the stem's? A network and a study of your own, in one file.

    crosstask study benchmarks/hrnet_stem.py:HRNET_STEM --trust --output runs/hrnet_stem
    crosstask table runs/hrnet_stem --trust --baseline multi_task_matched --against without_stem

DenseMTL's decoder also reads the stem at stride 2, two convolutions deep; SCA-MTL, MTI-Net and ATRC
read the four maps behind the last stage alone. `without_stem` is `multi_task_matched` with the stem's
map hidden from its decoders.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from crosstask.experiments.studies import Row, Setting, Study
from crosstask.models.architectures.matched import multi_task_matched
from crosstask.models.encoders.encoder import Encoder

TASKS = ("segmentation", "depth", "normals")


class AllButFirst(nn.Module):
    """The maps of a backbone without the finest."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> list[Tensor]:
        return list(self.backbone(image))[1:]


def without_stem(
    encoder: Encoder, tasks: Mapping[str, int], width: float = 1.0, **decoder: Any
) -> nn.Module:
    """`multi_task_matched` whose decoders begin at stride 4."""
    hidden = Encoder(
        AllButFirst(encoder.backbone),
        encoder.channels[1:],
        encoder.strides[1:],
        encoder.normalization,
        encoder.multiple,
    )
    return multi_task_matched(hidden, tasks, width, **decoder)


def rows(setting: Setting) -> list[Row]:
    """An HRNet's stem: DenseMTL's decoder with and without it, and SCA-MTL, which never reads it."""
    own = f"{__file__}:without_stem"
    networks = {
        "without_stem": own,
        "multi_task_matched": "multi_task_matched",
        "sca_mtl": "sca_mtl",
    }
    return [Row(name=name, architecture=net, tasks=TASKS) for name, net in networks.items()]


HRNET_STEM = Study(
    name="hrnet_stem",
    rows=rows,
    optimizer="matched",
    defaults={
        "encoder": "hrnet_w18_small_v2",
        "pretrained": False,
        "width": 0.25,
        "size": "64x128",
        "batch_size": 4,
        "steps": 400,
        "val_every": 400,
        "val_length": 32,
        "train_length": 2000,
        "test_length": 200,
        "scene_seed": "seed",
    },
    baseline="multi_task_matched",
)
