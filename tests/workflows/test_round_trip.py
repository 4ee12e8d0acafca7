"""Training says so when its model can no longer be inverted."""

import re
import warnings

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import Bijector, Chain, Standardize
from jaxgen.models import ClassConditionalNormal, Embedded, Flow
from jaxgen.networks import Embedding
from jaxgen.training import Batch, TrainSettings, fit

X = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
SETTINGS = TrainSettings(steps=1, batch_size=16)


class Sloppy(Bijector):
    """Its inverse is right to one part in a hundred."""

    def __init__(self):
        self.shift = nnx.Param(jnp.zeros(()))

    def forward_and_log_det(self, z, context=None):
        return z + self.shift[...], jnp.zeros(z.shape[:-1])

    def inverse_and_log_det(self, x, context=None):
        return 1.01 * x - self.shift[...], jnp.zeros(x.shape[:-1])


def sloppy(base=None):
    return Flow(Chain([Sloppy(), Standardize((2,))]), base)


def warnings_of(model, data):
    """What training says of the way back from the latents."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, data, settings=SETTINGS, progress=False)
    return [str(each.message) for each in caught if "come back from" in str(each.message)]


def test_a_model_that_is_not_inverted_is_told():
    (told,) = warnings_of(sloppy(), X)
    assert re.search(r"come back from their latents 0\.0\d spreads away", told)


def test_so_is_a_conditional_one():
    model = sloppy(ClassConditionalNormal((2,), 2))
    assert len(warnings_of(model, Batch(X, np.arange(32) % 2))) == 1


def conditional():
    flow = zoo.maf((2,), layers=1, hidden=(6,), context_features=3, rngs=nnx.Rngs(0))
    return Embedded(flow, Embedding(2, 3, rngs=nnx.Rngs(1)))


def test_one_that_is_inverted_is_not():
    assert warnings_of(conditional(), Batch(X, np.arange(32) % 2)) == []
