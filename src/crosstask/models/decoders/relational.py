"""ATRC's task decoder: a branch of the fused map, which exchanges, and a prediction.

Source: Bruggemann et al., ATRC, ICCV 2021.
"""

from jaxtyping import Float
from torch import Tensor, nn


class RelationalDecoder(nn.Module):
    """One task's branch of the fused map, and its prediction.

    Args:
        shared: width of the fused map.
        channels: width of the branch.
        outputs: channels of the prediction.
        dropout: of whole channels, before the prediction.
    """

    def __init__(self, shared: int, channels: int, outputs: int, dropout: float = 0.05) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(shared, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout2d(dropout)
        self.predictions = nn.ModuleList([nn.Conv2d(channels, outputs, 1)])

    def predict(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        """Raw output at the resolution of the features."""
        return self.predictions[0](self.dropout(features))

    def prediction_layers(self) -> list[nn.Conv2d]:
        """The layer whose bias is the output's starting value."""
        return [layer for layer in self.predictions if isinstance(layer, nn.Conv2d)]
