"""One task's decoder of a multi-scale network."""

from crosstask.models.decoders.multiscale import TaskScales
from crosstask.models.exchanges.sca_scale import ScaleAttention
from models.published_counts import count


def test_size_of_the_head_with_cross_scale_attention() -> None:
    channels = (36, 72, 144, 288)
    attention = ScaleAttention(channels)
    assert attention.out_channels == (216, 288, 288, 288)
    head = TaskScales(channels, channels, 40, attention)
    assert count(attention) + count(head.mix) + count(head.predictions) == 1_442_992
