"""Floor 2: networks without causality, for couplings, priors and encoders.

A network is called as ``network(x, context, key=key)``; it states the ``context_shape`` that it
expects (None for none), ends in a zero layer, and applies dropout only where it is given a key.
"""

from jaxgen.networks.conv_resnet import ConvResNet
from jaxgen.networks.mlp import MLP

__all__ = ["MLP", "ConvResNet"]
