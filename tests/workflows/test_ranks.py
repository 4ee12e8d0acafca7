"""An event has as many axes as the bijector says, or nothing is built: no sum over a batch."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError, likelihoods
from jaxgen.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Flip,
    Inverse,
    Logit,
    Reshape,
    Scan,
    Split,
    Tanh,
    as_distrax,
    from_distrax,
)
from jaxgen.models import DiagonalNormal, Flow, Logistic, Mixture, StandardNormal, StudentT

SHAPES = {1: (3,), 2: (2, 3), 3: (4, 4, 1)}


class Double(Bijector):
    """A user's own bijector of events of any shape."""

    def __init__(self, event_ndims=1):
        self.event_ndims = event_ndims

    def forward_and_log_det(self, z, context=None):
        return 2 * z, self._log_det(z)

    def inverse_and_log_det(self, x, context=None):
        return x / 2, -self._log_det(x)

    def _log_det(self, value):
        axes = tuple(range(value.ndim - self.event_ndims, value.ndim))
        return jnp.sum(jnp.full(value.shape, jnp.log(2.0)), axes)


# Everything that fits events of any shape, for events of so many axes.
ANY_SHAPE = {
    "tanh": Tanh,
    "flip": Flip,
    "logit": lambda ndims: Logit(event_ndims=ndims),
    "chain": lambda ndims: Chain([Flip(ndims), Tanh()]),
    "chain of one": lambda ndims: Chain([Tanh(ndims)]),
    "inverse": lambda ndims: Inverse(Flip(ndims)),
    "inverse of a chain": lambda ndims: Inverse(Chain([Double(), Flip(ndims)])),
    "scan": lambda ndims: Scan(lambda rngs: Flip(ndims), 2, rngs=nnx.Rngs(0)),
    "scan of chains": lambda ndims: Scan(
        lambda rngs: Chain([Double(), Flip(ndims)]), 2, rngs=nnx.Rngs(0)
    ),
    "own": Double,
}
BASES = {
    "normal": StandardNormal,
    "logistic": Logistic,
    "learned": DiagonalNormal,
    "heavy": StudentT,
    "mixture": lambda shape: Mixture(shape, likelihoods.Normal(), 2, rngs=nnx.Rngs(0)),
    "flow": lambda shape: Flow(ActNorm(shape)),
}


@pytest.mark.parametrize("name", ANY_SHAPE)
@pytest.mark.parametrize("base", BASES)
def test_a_base_of_another_rank_is_refused_at_construction(name, base):
    for ndims in (1, 2, 3):
        for rank, shape in SHAPES.items():
            if rank == ndims:
                assert Flow(ANY_SHAPE[name](ndims), BASES[base](shape)).event_shape == shape
                continue
            message = rf"event_ndims={ndims}, got a base of shape .*Tanh\(event_ndims={rank}\)"
            with pytest.raises(ShapeError, match=message):
                Flow(ANY_SHAPE[name](ndims), BASES[base](shape))


@pytest.mark.parametrize("name", ANY_SHAPE)
def test_of_the_right_rank_it_is_the_density(name):
    """That of one event of all entries is the sum of those of its entries."""
    rng = np.random.default_rng(0)
    for shape in SHAPES.values():
        flow = Flow(ANY_SHAPE[name](len(shape)), StandardNormal(shape))
        x = jnp.asarray(rng.uniform(0.1, 0.9, (2, *shape)), jnp.float32)
        got = jax.jit(Flow.log_prob)(flow, x)
        assert got.shape == (2,)
        of_entry = Flow(ANY_SHAPE[name](1), StandardNormal((1,)))
        each = jax.jit(Flow.log_prob)(of_entry, x.reshape(-1, 1)).reshape(2, -1)
        np.testing.assert_allclose(got, each.sum(1), rtol=1e-5)
        assert flow.sample(jax.random.key(0), 5).shape == (5, *shape)


@pytest.mark.parametrize("elementwise", [distrax.Tanh, lambda: distrax.ScalarAffine(1.0, 2.0)])
def test_bijectors_of_distrax_act_on_vectors_unless_they_know_the_shape(elementwise):
    with pytest.raises(ShapeError, match="event_ndims=1, got a base of shape"):
        Flow(from_distrax(elementwise()), StandardNormal((4, 4, 1)))
    flow = Flow(from_distrax(elementwise(), (4, 4, 1)), StandardNormal((4, 4, 1)))
    assert flow.log_prob(jnp.full((2, 4, 4, 1), 0.5)).shape == (2,)


def test_a_split_takes_no_bijector_of_more_axes():
    with pytest.raises(ShapeError, match=r"takes events of 3 axes.*event_ndims=1"):
        Split(Flip(3), event_shape=(4,))
    with pytest.raises(ShapeError, match=r"takes events of 2 axes.*event_ndims=1"):
        Split(Chain([Flip(2), Tanh()]), event_shape=(4,))
    assert Split(Flip(), event_shape=(2, 2, 4)).forward(jnp.ones((5, 2, 2, 4))).shape[0] == 5


class OfImages(Bijector):
    """Says its shape, and leaves ``event_ndims`` at what it was."""

    event_shape = (2, 2, 1)

    def forward_and_log_det(self, z, context=None):
        return 2 * z, jnp.full(z.shape[:-3], 4 * jnp.log(2.0))

    def inverse_and_log_det(self, x, context=None):
        return x / 2, jnp.full(x.shape[:-3], -4 * jnp.log(2.0))


@pytest.mark.parametrize(
    "around",
    [
        lambda own: own,
        lambda own: Chain([own, Flip(3)]),
        lambda own: Chain([Tanh(), own]),
        lambda own: Inverse(Inverse(own)),
        lambda own: Chain([Inverse(own), own, own]),
        lambda own: Scan.stack([own]),
        lambda own: Chain([Reshape(own, (2, 2, 1)), Flip()]),
    ],
)
def test_a_stated_shape_says_the_rank(around):
    bijector = around(OfImages())
    x = jnp.full((3, 5, 2, 2, 1), 0.3)
    z, log_det = bijector.inverse_and_log_det(x)
    assert log_det.shape == (3, 5)
    slopes = jax.vmap(jax.grad(lambda x: bijector.inverse(x.reshape(2, 2, 1)).sum()))(
        jnp.full((1, 4), 0.3)
    )
    np.testing.assert_allclose(log_det, jnp.log(slopes).sum(), rtol=1e-5)
    assert Flow(bijector, StandardNormal((2, 2, 1))).log_prob(x).shape == (3, 5)
    assert as_distrax(bijector).event_ndims_out == 3
    np.testing.assert_allclose(bijector.forward_and_log_det(z)[1], -log_det, rtol=1e-5)


class OfVectors(Bijector):
    """Images on the base's side, vectors on the data's."""

    event_shape = (4,)
    base_shape = (2, 2)

    def forward_and_log_det(self, z, context=None):
        return z.reshape(*z.shape[:-2], 4), jnp.zeros(())

    def inverse_and_log_det(self, x, context=None):
        return x.reshape(*x.shape[:-1], 2, 2), jnp.zeros(())


def test_where_the_two_sides_differ_in_rank():
    flow = Flow(OfVectors())
    assert (flow.base.event_shape, flow.event_shape) == ((2, 2), (4,))
    x = jnp.arange(12.0).reshape(3, 4)
    expected = StandardNormal((4,)).log_prob(x)
    np.testing.assert_allclose(flow.log_prob(x), expected)
    mirrored = Flow(Inverse(OfVectors()))
    assert (mirrored.base.event_shape, mirrored.event_shape) == ((4,), (2, 2))
    np.testing.assert_allclose(mirrored.log_prob(x.reshape(3, 2, 2)), expected)
    back = Flow(Inverse(Inverse(OfVectors())))
    np.testing.assert_allclose(back.log_prob(x), expected)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [OfVectors(), Flip()],
        lambda: [ActNorm((2, 2)), OfVectors()],
        lambda: [ActNorm((2, 2)), OfVectors(), ActNorm((4,))],
    ],
)
def test_a_chain_of_layers_of_several_ranks_is_refused(layers):
    with pytest.raises(ShapeError, match=r"takes events of shape .* event axes"):
        Chain(layers())


class Flattening(Bijector):
    """Returns an event of another shape than it says."""

    event_ndims = 2

    def forward_and_log_det(self, z, context=None):
        return z.reshape(*z.shape[:-2], -1), jnp.zeros(())

    def inverse_and_log_det(self, x, context=None):
        return x.sum(-1), jnp.zeros(())


def test_an_event_comes_back_in_the_shape_that_was_said():
    value = jnp.ones((5, 2, 3))
    with pytest.raises(ShapeError, match=r"Flattening.forward_.* \(5, 2, 3\), got \(5, 6\)"):
        Flattening().forward(value)
    with pytest.raises(ShapeError, match=r"Flattening.inverse_.* \(5, 2, 3\), got \(5, 2\)"):
        Flow(Flattening(), StandardNormal((2, 3))).log_prob(value)


class OwnScale(Bijector):
    """Multiplies by 2, and returns what it is told to."""

    def __init__(self, log_det):
        self.log_det = log_det

    def forward_and_log_det(self, z, context=None):
        return 2 * z, self.log_det(z)

    def inverse_and_log_det(self, x, context=None):
        return x / 2, -self.log_det(x)


def test_a_log_det_of_the_whole_batch_is_refused():
    flow = Flow(OwnScale(lambda x: jnp.log(2.0 + 0 * x).sum()), StandardNormal((3,)))
    assert flow.log_prob(jnp.ones(3)).shape == ()  # of one event it is the right one
    for call in (flow.log_prob, jax.jit(flow.log_prob), jax.vmap(flow.log_prob)):
        with pytest.raises(ShapeError, match=r"summed over the event, shape \(.*2.*\), got \(\)"):
            call(jnp.ones((4, 2, 3)) if call is not flow.log_prob else jnp.ones((2, 3)))


@pytest.mark.parametrize("constant", [lambda x: 3 * jnp.log(2.0), lambda x: 3 * np.log(2.0)])
def test_a_constant_log_det_needs_no_batch(constant):
    flow = Flow(OwnScale(constant), StandardNormal((3,)))
    expected = StandardNormal((3,)).log_prob(jnp.full((2, 3), 0.5)) - 3 * np.log(2.0)
    np.testing.assert_allclose(flow.log_prob(jnp.ones((2, 3))), expected, rtol=1e-6)


@pytest.mark.parametrize("returned", [None, 1.0, (1.0,), (1.0, 2.0, 3.0), np.ones((2, 3))])
def test_what_is_no_pair_of_arrays_is_refused(returned):
    class Odd(Bijector):
        def forward_and_log_det(self, z, context=None):
            return returned

        inverse_and_log_det = forward_and_log_det

    with pytest.raises(TypeError, match="expected it to return two arrays, values and their log-"):
        Odd().forward(jnp.ones((2, 3)))
