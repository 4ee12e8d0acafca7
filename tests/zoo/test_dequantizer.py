"""The noise flow: where it starts, what it sees, and that sampling it is closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.models import Embedded
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
TINY = {"steps": 1, "components": 3, "features": 2}
IMAGE = {"width": 4, "blocks": 1, "heads": 2, "encoder_blocks": 1}


def make(event=(2,), **options):
    options = {**TINY, **(IMAGE if len(event) > 1 else {"hidden": (6,)}), **options}
    return zoo.dequantizer(event, **options, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("event", [(2,), pytest.param((2, 2, 2), marks=pytest.mark.slow)])
def test_it_starts_as_uniform_dequantization(event, x64):
    noise = to_float64(make(event))
    assert noise.context_shape == event
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (4, *event))
    u, log_q = jax.jit(Embedded.sample_and_log_prob, static_argnums=2)(noise, KEY, 500, x)
    np.testing.assert_allclose(log_q, 0.0, atol=1e-9)
    assert u.shape == (500, 4, *event)
    assert 0 < u.min() < 0.01
    assert 0.99 < u.max() < 1
    np.testing.assert_allclose(u.mean(), 0.5, atol=0.02)


@pytest.mark.slow
def test_it_sees_the_whole_image(x64):
    """Every entry of the levels moves every entry of the noise, whose draw is kept."""
    options = {"width": 4, "blocks": 1, "encoder_blocks": 1, "attention": False}
    options |= {"steps": 1, "components": 3, "features": 6}
    noise = zoo.dequantizer((2, 2, 1), **options, rngs=nnx.Rngs(0))
    noise = perturb(to_float64(noise), KEY, 1.0)
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 2, 1))
    draw = jax.jit(jax.jacrev(lambda x: noise.sample(KEY, 1, x)[0]))
    assert np.abs(draw(x)).min() > 0


def test_sampling_needs_no_numerical_inverse():
    noise, x = make(), jnp.zeros((4, 2))
    loops = [
        str(jax.make_jaxpr(run)(noise)).count("while[")
        for run in (
            lambda noise: noise.sample_and_log_prob(KEY, 3, x),
            lambda noise: noise.log_prob(jnp.full((4, 2), 0.5), x),
        )
    ]
    assert loops[0] == 0
    assert loops[1] > 0  # the other direction is the numerical one


def test_events_of_another_kind_are_refused():
    with pytest.raises(ShapeError, match=r"dequantizer: expected a vector .*, got \(4, 4\)"):
        zoo.dequantizer((4, 4), rngs=nnx.Rngs(0))
