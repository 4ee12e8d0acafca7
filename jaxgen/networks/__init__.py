"""Floor 2: networks without causality, for couplings, priors and encoders.

A network is called as ``network(x, context, key=key)``; it states the ``context_shape`` that it
expects (None for none), ends in a zero layer, and applies dropout only where it is given a key. An
adapter of a model's contexts states its ``input_shape`` and is called with the context alone.
"""

from jaxgen.networks.adapters import Flatten, Joint
from jaxgen.networks.conv_resnet import ConvResNet
from jaxgen.networks.embedding import Embedding
from jaxgen.networks.gated_resnet import GatedResNet
from jaxgen.networks.hierarchy import FeaturePyramid, FirstState, Readout, Update
from jaxgen.networks.mlp import MLP
from jaxgen.networks.periodic import Periodic
from jaxgen.networks.pyramid import ConvDecoder, ConvEncoder
from jaxgen.networks.residual_mlp import ResidualMLP
from jaxgen.networks.upsampling import Upsampling
from jaxgen.networks.vit import VisionTransformer

__all__ = [
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "ConvResNet",
    "Embedding",
    "FeaturePyramid",
    "FirstState",
    "Flatten",
    "GatedResNet",
    "Joint",
    "Periodic",
    "Readout",
    "ResidualMLP",
    "Update",
    "Upsampling",
    "VisionTransformer",
]
