"""NICE: additive couplings preserve volume; the scaling alone does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.models import Logistic, StandardNormal
from jaxgen.testing import perturb

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 2, 2, 1)).astype(np.float32)


def nice(shape, **options):
    return perturb(zoo.nice(shape, couplings=2, hidden=(6,), rngs=nnx.Rngs(0), **options), KEY)


def test_the_log_determinant_is_that_of_the_scaling():
    flow = nice((2, 2, 1))
    scaling = flow.bijector.layers[0].inner.layers[0]
    log_det = flow.bijector.inverse_log_det(X)
    np.testing.assert_allclose(log_det, -scaling.log_scale[...].sum() * np.ones(3), rtol=1e-6)


def test_images_are_flattened():
    np.testing.assert_array_equal(nice((2, 2, 1)).log_prob(X), nice((4,)).log_prob(X.reshape(3, 4)))


def test_the_two_couplings_exchange_odd_and_even_entries():
    flow = nice((4,))
    last = jax.tree.map(lambda leaf: leaf[0], flow.bijector.layers[0].layers[1].steps)
    x = jnp.asarray(X.reshape(3, 4))
    for layer, kept in zip(last.layers, (slice(0, None, 2), slice(1, None, 2)), strict=True):
        changed = np.asarray(layer.inverse(x) != x).all(0)
        assert not changed[kept].any()
        assert changed.sum() == 2


def test_the_base_is_logistic_unless_told():
    assert isinstance(nice((4,)).base, Logistic)
    assert isinstance(nice((4,), base="normal").base, StandardNormal)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"couplings": 3}, ValueError, "an even number of couplings, got 3"),
        ({"base": "logistc"}, ValueError, "did you mean 'logistic'"),
        ({"event_shape": (1,)}, ShapeError, "at least 2 channels to split"),
    ],
)
def test_bad_input(options, error, message):
    arguments = {"event_shape": (2,), "hidden": (4,), "rngs": nnx.Rngs(0), **options}
    with pytest.raises(error, match=message):
        zoo.nice(arguments.pop("event_shape"), **arguments)
