"""Normals whose mean is linear in their context: of VAEs of these everything has a closed form."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.likelihoods import Normal
from jaxgen.models import Factorized


class Linear(nnx.Module):
    """A mean that is linear in the input, and a spread of every entry that is not."""

    def __init__(self, weight, bias, log_scale):
        self.weight, self.bias, self.log_scale = (
            nnx.Param(jnp.asarray(each)) for each in (weight, bias, log_scale)
        )

    def __call__(self, x):
        mean = x @ self.weight[...] + self.bias[...]
        return jnp.stack([mean, jnp.broadcast_to(self.log_scale[...], mean.shape)], axis=-1)


def linear(weight, bias, log_scale):
    """``N(x W + b, exp(log_scale)^2)``, with independent entries."""
    network = Linear(weight, bias, log_scale)
    inputs, outputs = np.shape(weight)
    return Factorized(network, Normal(), (outputs,), context_shape=(inputs,))
