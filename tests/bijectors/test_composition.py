"""Parts with fewer event axes, or with randomness of their own; and what compositions refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Conv1x1,
    Flip,
    Inverse,
    MaskedAutoregressive,
    Reshape,
    Scan,
    Split,
    Tanh,
)
from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.models import Flow, StandardNormal


class Shift(Bijector):
    """``x = z + context``: a vector bijector with a context of the same size."""

    context_shape = (2,)

    def forward_and_log_det(self, z, context=None):
        return z + context, jnp.zeros(z.shape[:-1])

    def inverse_and_log_det(self, x, context=None):
        return x - context, jnp.zeros(x.shape[:-1])


def test_context_follows_the_batch_into_a_part_with_fewer_event_axes():
    context = jnp.arange(8.0).reshape(4, 2)
    z = jnp.zeros((4, 3, 4, 2))  # a width of 4 would take the context's batch of 4 silently
    x = Chain([Shift(), Flip(3)]).forward(z, context)
    expected = jnp.broadcast_to(context[:, None, None, ::-1], z.shape)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("method", ["initialize", "calibrate"])
def test_adapting_gives_the_context_to_parts_with_fewer_event_axes(method):
    context = jnp.arange(8.0).reshape(4, 2)
    x = jnp.ones((4, 3, 4, 2))
    for whole in (Chain([Shift(), Flip(3)]), Split(Shift(), (3, 4, 4))):
        data = x if isinstance(whole, Chain) else jnp.concatenate([x, x], -1)
        _, z = getattr(whole, method)(data, context)
        np.testing.assert_array_equal(z, whole.inverse(data, context))


class Double(Bijector):
    """The least that a bijector can be: two methods, and a shape."""

    event_shape = (4,)

    def forward_and_log_det(self, z, context=None):
        return 2 * z, jnp.full(z.shape[:-1], 4 * jnp.log(2.0))

    def inverse_and_log_det(self, x, context=None):
        return x / 2, jnp.full(x.shape[:-1], -4 * jnp.log(2.0))


class Jitter(Double):
    """Random in training, on the way to the base."""

    def inverse_and_log_det(self, x, context=None, *, key=None):
        noise = 0.0 if key is None else jax.random.normal(key, x.shape)
        return (x + noise) / 2, jnp.full(x.shape[:-1], -4 * jnp.log(2.0))


WHOLES = {
    "chain": lambda part: Chain([Flip(), part()]),
    "scan": lambda part: Scan(lambda rngs: part(), 2, rngs=nnx.Rngs(0)),
    "split": lambda part: Split(part(), (8,)),
    "reshape": lambda part: Reshape(part(), (2, 2)),
    "inverse": lambda part: Inverse(Inverse(part())),
    "nested": lambda part: Chain([Scan(lambda rngs: Chain([part()]), 2, rngs=nnx.Rngs(0))]),
}


@pytest.mark.parametrize("name", WHOLES)
def test_a_key_reaches_the_parts_that_take_one_and_no_others(name):
    plain, random = Flow(WHOLES[name](Double)), Flow(WHOLES[name](Jitter))
    x = jnp.ones((3, *plain.event_shape))
    key, other = jax.random.split(jax.random.key(0))
    expected = plain.log_prob(x)
    np.testing.assert_array_equal(plain.log_prob(x, key=key), expected)
    np.testing.assert_array_equal(random.log_prob(x), expected)
    noisy = random.log_prob(x, key=key)
    np.testing.assert_array_equal(random.log_prob(x, key=key), noisy)
    assert np.abs(noisy - expected).min() > 1e-3
    assert np.abs(noisy - random.log_prob(x, key=other)).min() > 1e-3
    # The other direction takes no key, from whatever holds the part.
    z = plain.bijector.inverse(x)
    there, _ = random.bijector.forward_and_log_det(z, key=key)
    np.testing.assert_array_equal(there, x)


def test_a_part_that_takes_no_key_refuses_one():
    with pytest.raises(TypeError, match="unexpected keyword argument 'key'"):
        Double().inverse_and_log_det(jnp.ones(4), key=jax.random.key(0))


def test_what_takes_a_key_is_inherited():
    class Named(Jitter):
        pass

    assert (Named.forward_takes_key, Named.inverse_takes_key) == (False, True)
    assert (Double.forward_takes_key, Double.inverse_takes_key) == (False, False)
    assert (Chain.forward_takes_key, Chain.inverse_takes_key) == (True, True)


def test_split_sums_the_log_det_of_an_inner_bijector_of_vectors():
    x = 0.5 * jnp.ones((2, 4, 4, 2))
    _, log_det = Split(Tanh(), (4, 4, 2)).inverse_and_log_det(x)
    np.testing.assert_allclose(log_det, 16 * -np.log(1 - 0.25) * np.ones(2), rtol=1e-5)


def test_scan_promotes_like_a_chain():
    x = jnp.ones((3, 2), jnp.bfloat16)
    scan = Scan(lambda rngs: ActNorm((2,)), 2, rngs=nnx.Rngs(0))
    assert scan.inverse(x).dtype == Chain([ActNorm((2,)), ActNorm((2,))]).inverse(x).dtype


def test_chain_refuses_a_vector_map_of_fixed_shape_among_images():
    with pytest.raises(ShapeError, match=r"layer 0 \(Conv1x1\) takes events of shape \(3,\)"):
        Chain([Conv1x1((3,), rngs=nnx.Rngs(0)), Flip(3)])


def test_made_needs_its_context_step_by_step_too():
    made = MADE((3,), 1, hidden=(4,), context_features=2, rngs=nnx.Rngs(0))
    with pytest.raises(ShapeError, match="expected a context"):
        made.init_cache((4,))
    with pytest.raises(ShapeError, match="expected a context"):
        made.prefill(jnp.zeros((4, 3)), 1)


def test_auto_leaves_a_layer_its_own_method():
    made = MADE((3,), 2, hidden=(4,), rngs=nnx.Rngs(0))
    flow = Flow(MaskedAutoregressive(made, method="jacobi"))
    text = str(jax.make_jaxpr(lambda key: flow.sample(key, 2))(jax.random.key(0)))
    assert "while" in text  # the fixed-point loop
    text = str(
        jax.make_jaxpr(lambda key: flow.sample(key, 2, method="incremental"))(jax.random.key(0))
    )
    assert "while" not in text


def test_every_model_refuses_an_unknown_method():
    with pytest.raises(ValueError, match="unknown sampling method 'typo'"):
        StandardNormal((2,)).sample(jax.random.key(0), 1, method="typo")


def test_realnvp_refuses_a_checkerboard_of_one_pixel():
    with pytest.raises(ShapeError, match="single pixel"):
        zoo.realnvp((2, 2, 1), scales=2, rngs=nnx.Rngs(0))
