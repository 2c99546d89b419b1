"""Networks: encoders, decoders, exchanges between tasks, and the architectures made of them."""

from crosstask.models.encoders.encoder import Encoder, create_encoder
from crosstask.models.exchanges.base import Exchange
from crosstask.models.networks.network import Network
from crosstask.models.networks.scene_network import SceneNetwork
from crosstask.models.registry import create_model, create_model_from_spec, list_models

__all__ = [
    "Encoder",
    "Exchange",
    "Network",
    "SceneNetwork",
    "create_encoder",
    "create_model",
    "create_model_from_spec",
    "list_models",
]
