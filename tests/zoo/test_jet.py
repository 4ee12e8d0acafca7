"""Jet: the sequence of its couplings, who meets whom, the identity at first, errors."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.stats import norm

from jaxgen import zoo
from jaxgen.bijectors import Chain, Channels, Coupling, Scan
from jaxgen.core import ShapeError
from jaxgen.models import Flow
from jaxgen.testing import perturb, to_float64


def jet(shape=(4, 4, 1), **options):
    small = {"patch": 2, "depth": 1, "width": 4, "heads": 2} | options
    return zoo.jet(shape, **small, rngs=nnx.Rngs(0))


def sequence(bijector):
    """The couplings met from the data on: channels, or the tokens that are kept."""
    if isinstance(bijector, Coupling):
        channels = isinstance(bijector.split, Channels)
        return ["channels" if channels else f"tokens {int(bijector.split.swap)}"]
    if isinstance(bijector, Chain):
        return [name for layer in reversed(bijector.layers) for name in sequence(layer)]
    if isinstance(bijector, Scan):
        return bijector.num_steps * sequence(bijector.steps)
    return []


@pytest.mark.parametrize("couplings", [1, 4, 5, 9, 10, 32])
def test_four_couplings_of_channels_are_followed_by_one_of_tokens(couplings):
    found = sequence(jax.eval_shape(lambda: jet(couplings=couplings)).bijector)
    cycle = 4 * ["channels"] + ["tokens 0"] + 4 * ["channels"] + ["tokens 1"]
    assert found == (math.ceil(couplings / 10) * cycle)[:couplings]


def test_other_ratios():
    flow = jax.eval_shape(lambda: jet(couplings=3, channel_couplings=0))
    assert sequence(flow.bijector) == ["tokens 0", "tokens 1", "tokens 0"]


def test_couplings_of_channels_have_permutations_of_their_own():
    bijector = jet(couplings=4).bijector
    rows = np.asarray(bijector.layers[1].steps.layers[1].permutation[...])
    assert rows.shape == (4, 4)
    assert len({tuple(row) for row in rows}) > 1


def test_every_latent_depends_on_every_pixel(x64):
    flow = perturb(to_float64(jet(couplings=10)), jax.random.key(0), 1.0)
    x = jax.random.normal(jax.random.key(1), (4, 4, 1))
    changed = x + 0.1 * jnp.eye(16).reshape(16, 4, 4, 1)
    z = jax.jit(Flow.infer)(flow, jnp.concatenate([x[None], changed]))
    assert np.all(z[1:] != z[0])


def test_it_starts_as_a_permutation(x64):
    flow = to_float64(jet(couplings=5))
    x = jax.random.normal(jax.random.key(0), (5, 4, 4, 1))
    expected = norm.logpdf(x).reshape(5, -1).sum(axis=1)
    log_prob, z = jax.jit(lambda flow, x: (flow.log_prob(x), flow.infer(x)))(flow, x)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-12)
    np.testing.assert_allclose(jnp.sort(z.reshape(5, -1)), jnp.sort(x.reshape(5, -1)), rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((6,), {}, r"jet: expected an image .* got \(6,\); for vectors"),
        ((4, 4, 1), {"patch": 1}, "have a single entry, which has no halves; take a larger patch"),
        ((6, 6, 1), {"couplings": 5}, "of which the checkerboard pattern keeps one half"),
        ((4, 5, 1), {}, "sides divisible by 2"),
    ],
)
def test_events_that_do_not_fit_are_refused(shape, options, message):
    with pytest.raises(ShapeError, match=message):
        jet(shape, **options)


def test_no_coupling_is_refused():
    with pytest.raises(ValueError, match="for couplings, got 0"):
        jet(couplings=0)
