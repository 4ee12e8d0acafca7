"""Bijectors of distrax as ours and ours as distrax's: the same numbers, exactly."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen.bijectors import Bijector, Chain, Coupling, Flip, Squeeze, as_distrax, from_distrax
from jaxgen.core import ShapeError
from jaxgen.models import Flow, StandardNormal
from jaxgen.networks import MLP
from jaxgen.testing import check_attributes, perturb, to_float64
from jaxgen.training import TrainSettings, fit

RNG = np.random.default_rng(0)
X = RNG.uniform(-0.9, 0.9, (5, 3))
KNOTS = RNG.normal(size=(3, 3 * 4 + 1))
MASK = np.array([True, False, True])


def network(rngs=None):
    net = MLP(3, 6, hidden=(5,), activation="tanh", rngs=rngs or nnx.Rngs(0))
    return perturb(to_float64(net), jax.random.key(0))


def affine_of(params):
    shift, log_scale = jnp.split(params, 2, axis=-1)
    return distrax.ScalarAffine(shift, log_scale=0.1 * log_scale)


def masked_coupling(net):
    return distrax.MaskedCoupling(jnp.asarray(MASK), net, affine_of)


def spline():
    return distrax.RationalQuadraticSpline(jnp.asarray(KNOTS), -1.0, 1.0)


THEIRS = {
    "numbers": lambda: distrax.ScalarAffine(0.5, 2.0),
    "one for all": lambda: distrax.ScalarAffine(jnp.array(0.5), jnp.array(2.0)),
    "one each": lambda: distrax.ScalarAffine(jnp.asarray(X[0]), log_scale=jnp.asarray(X[1])),
    "tanh": distrax.Tanh,
    "inverse": lambda: distrax.Inverse(distrax.Tanh()),
    "spline": spline,
    "masked coupling": lambda: masked_coupling(network()),
    "block": lambda: distrax.Block(distrax.Tanh(), 1),
    "lambda": lambda: distrax.Lambda(lambda x: 2.0 * x + 1.0),
    "matrix": lambda: distrax.TriangularLinear(jnp.eye(3) + 0.1 * jnp.asarray(KNOTS[:, :3])),
    "chain": lambda: distrax.Chain(
        [
            masked_coupling(network()),
            distrax.Block(distrax.ScalarAffine(0.1, jnp.array(0.5)), 1),
            distrax.Inverse(distrax.Block(spline(), 1)),
        ]
    ),
}


@jax.jit
def both_ways(first, second, x):
    """Both methods of two bijectors at the same points, as one program: compiling is the cost."""
    z = first.inverse_and_log_det(x)[0]
    return [
        [
            *bijector.inverse_and_log_det(x),
            *bijector.forward_and_log_det(z),
        ]
        for bijector in (first, second)
    ]


def assert_same(first, second, x):
    got, expected = both_ways(first, second, jnp.asarray(x))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    return got


def assert_the_same_bits(first, second, x):
    """Outside of jit, where no compiler reorders."""
    for method in ("inverse_and_log_det", "forward_and_log_det"):
        for one, other in zip(getattr(first, method)(x), getattr(second, method)(x), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", THEIRS)
def test_theirs_as_ours_are_the_same_numbers(name, x64):
    theirs = THEIRS[name]()
    ours = from_distrax(theirs, (3,))
    assert isinstance(ours, Bijector)
    assert from_distrax(theirs).event_ndims == ours.event_ndims == 1
    got = assert_same(ours, distrax.Block(theirs, 1 - theirs.event_ndims_in), X)
    assert [value.shape for value in got] == [(5, 3), (5,)] * 2
    check_attributes(ours)


def test_theirs_as_ours_are_the_same_bits(x64):
    theirs = masked_coupling(network())
    assert_the_same_bits(from_distrax(theirs), theirs, jnp.asarray(X))
    assert_the_same_bits(as_distrax(from_distrax(theirs)), theirs, jnp.asarray(X))


@pytest.mark.parametrize(
    "name", ["coupling vector", "maf context", "conv1x1 lu image", "chain", "scan"]
)
def test_ours_as_theirs_are_the_same_numbers(name, x64):
    example = registry.BIJECTORS[name]
    ours = perturb(to_float64(example.make(nnx.Rngs(0))), jax.random.key(0))
    context = example.context(ours)
    theirs = as_distrax(ours, context)
    assert isinstance(theirs, distrax.Bijector)
    assert theirs.event_ndims_in == theirs.event_ndims_out == len(example.event)
    if context is None:
        assert_same(theirs, ours, example.data())
        return
    z, log_det = jax.jit(lambda b, x: b.inverse_and_log_det(x))(theirs, example.data())
    got = jax.jit(lambda b, z, c: b.forward_and_log_det(z, c))(ours, z, context)
    np.testing.assert_allclose(got[0], example.data(), atol=1e-12)
    np.testing.assert_allclose(got[1], -log_det, atol=1e-12)


def test_ours_as_theirs_are_the_same_bits(x64):
    example = registry.BIJECTORS["coupling vector"]
    ours = perturb(to_float64(example.make(nnx.Rngs(0))), jax.random.key(0))
    x = jnp.asarray(example.data())
    assert_the_same_bits(as_distrax(ours), ours, x)
    assert_the_same_bits(from_distrax(as_distrax(ours)), ours, x)
    theirs = as_distrax(ours)
    np.testing.assert_array_equal(theirs.forward(x), ours.forward(x))
    np.testing.assert_array_equal(theirs.inverse(x), ours.inverse(x))
    np.testing.assert_array_equal(theirs.forward_log_det_jacobian(x), ours.forward_log_det(x))
    np.testing.assert_array_equal(theirs.inverse_log_det_jacobian(x), ours.inverse_log_det(x))


@pytest.mark.parametrize("name", ["spline", "masked coupling", "chain"])
def test_there_and_back(name, x64):
    theirs = THEIRS[name]()
    block = distrax.Block(theirs, 1 - theirs.event_ndims_in)
    assert_same(as_distrax(from_distrax(theirs)), block, X)


def test_ours_in_a_transformed_distribution_and_a_chain_of_theirs(x64):
    example = registry.BIJECTORS["coupling vector"]
    ours = perturb(to_float64(example.make(nnx.Rngs(0))), jax.random.key(0))
    flow = Flow(ours)
    base = distrax.MultivariateNormalDiag(jnp.zeros(4), jnp.ones(4))
    theirs = distrax.Transformed(base, as_distrax(ours))
    assert (theirs.event_shape, theirs.batch_shape) == ((4,), ())
    x = jnp.asarray(example.data())
    log_prob = jax.jit(lambda model, x: model.log_prob(x))
    np.testing.assert_allclose(log_prob(theirs, x), log_prob(flow, x), rtol=1e-12)
    samples, scores = theirs.sample_and_log_prob(seed=jax.random.key(0), sample_shape=6)
    np.testing.assert_allclose(log_prob(flow, samples), scores, rtol=1e-9)

    slower = distrax.Chain([distrax.Block(distrax.ScalarAffine(0.0, 2.0), 1), as_distrax(ours)])
    z, log_det = slower.inverse_and_log_det(x)
    expected, part = ours.inverse_and_log_det(x / 2.0)
    np.testing.assert_allclose(z, expected, rtol=1e-12)
    np.testing.assert_allclose(log_det, part - 4 * np.log(2.0), rtol=1e-12)


def test_ours_as_theirs_is_an_argument_of_jit_and_grad():
    traces = []

    @jax.jit
    def log_det(bijector, x):
        traces.append(1)
        return bijector.forward_log_det_jacobian(x).sum()

    first, second = (
        as_distrax(perturb(Coupling((4,), registry.mlp(nnx.Rngs(0))), jax.random.key(seed)))
        for seed in (0, 1)
    )
    x = jnp.ones((2, 4))
    assert log_det(first, x) != log_det(second, x)
    assert len(traces) == 1  # parameters are arguments, not constants of the program
    slopes = jax.grad(lambda b: b.forward_log_det_jacobian(x).sum())(first)
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(slopes))


def test_a_function_of_parameters_is_trained():
    data = RNG.normal(size=(64, 3)).astype(np.float32) * 2.0 + 1.0
    coupling = from_distrax(masked_coupling, (3,), params=MLP(3, 6, hidden=(4,), rngs=nnx.Rngs(0)))
    start = {"shift": jnp.zeros(3), "log_scale": jnp.zeros(3)}
    scale = from_distrax(diagonal, (3,), params=start)
    flow = Flow(Chain([coupling, Flip(), scale]))
    check_attributes(flow)
    settings = TrainSettings(steps=200, batch_size=64, learning_rate=0.05, steps_per_dispatch=200)
    result = fit(flow, data, settings=settings, progress=False)
    trained = result.model.bijector.layers[2].params.tree()
    best = -np.log(data.std(0)).sum() - 1.5 * (1 + np.log(2 * np.pi))
    assert np.mean(Flow.log_prob(result.model, data)) > best - 0.05
    np.testing.assert_allclose(trained["log_scale"][1], np.log(data.std(0))[1], atol=0.3)


def diagonal(params):
    return distrax.ScalarAffine(params["shift"], log_scale=params["log_scale"])


def test_the_arrays_of_an_object_are_not_trained():
    """Trained each on its own, a scale and its logarithm would part, and no bijection be left."""
    flow = Flow(from_distrax(THEIRS["one each"]()), StandardNormal((3,)))
    grads = jax.grad(lambda m: m.log_prob(jnp.asarray(X, jnp.float32)).sum())(flow)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads))
    assert not jax.tree.leaves(nnx.state(flow, nnx.Param))


def test_images_of_a_scalar_bijector(x64):
    x = RNG.normal(size=(2, 4, 4, 1))
    chain = Chain([from_distrax(distrax.Tanh()), Squeeze((4, 4, 1))])
    block = from_distrax(distrax.Tanh(), (4, 4, 1))
    z = Squeeze((4, 4, 1)).inverse(x)
    expected = distrax.Block(distrax.Tanh(), 3).forward_log_det_jacobian(z)
    np.testing.assert_allclose(chain.forward_log_det(z), expected, rtol=1e-12)
    np.testing.assert_allclose(
        block.forward_log_det(x), distrax.Block(distrax.Tanh(), 3).forward_log_det_jacobian(x)
    )
    assert (block.event_shape, block.event_ndims) == ((4, 4, 1), 3)


def odd(**attributes):
    bijector = distrax.Tanh()
    vars(bijector).update(attributes)
    return bijector


class Flatten(distrax.Bijector):
    """(2, 2) to (4,)."""

    def __init__(self):
        super().__init__(event_ndims_in=2, event_ndims_out=1)

    def forward_and_log_det(self, x):
        return x.reshape(*x.shape[:-2], 4), jnp.zeros(x.shape[:-2])

    def inverse_and_log_det(self, y):
        return y.reshape(*y.shape[:-1], 2, 2), jnp.zeros(y.shape[:-1])


def test_sides_of_different_rank():
    ours = from_distrax(Flatten(), (4,))
    assert (ours.base_shape, ours.event_shape) == ((2, 2), (4,))
    assert ours.inverse(jnp.ones((3, 4))).shape == (3, 2, 2)
    assert ours.forward_log_det(jnp.ones((3, 2, 2))).shape == (3,)
    assert as_distrax(ours).event_ndims_in == 2
    repeated = from_distrax(Flatten(), (5, 4))
    assert repeated.base_shape == (5, 2, 2)
    assert repeated.inverse_log_det(jnp.ones((3, 5, 4))).shape == (3,)


MISTAKES = {
    "not ours": (lambda: as_distrax(distrax.Tanh()), TypeError, "expected a jaxgen.*got Tanh"),
    "no context": (
        lambda: as_distrax(registry.BIJECTORS["coupling context"].make(nnx.Rngs(0))),
        ShapeError,
        r"as_distrax\(Coupling\).*expected a context of shape \(\*batch, 2\), got None",
    ),
    "another context": (
        lambda: as_distrax(registry.BIJECTORS["coupling context"].make(nnx.Rngs(0)), jnp.ones(3)),
        ShapeError,
        r"context: expected shape \(\*batch, 2\), got \(3,\)",
    ),
    "an unasked context": (
        lambda: as_distrax(Flip(), jnp.ones(3)),
        ShapeError,
        r"as_distrax\(Flip\): this bijector is unconditional",
    ),
    "not theirs": (lambda: from_distrax(Flip()), TypeError, "a distrax.Bijector.*got Flip"),
    "an object with params": (
        lambda: from_distrax(distrax.Tanh(), params=jnp.ones(2)),
        TypeError,
        "a function that builds a distrax.Bijector.*got Tanh",
    ),
    "a function that returns something else": (
        lambda: from_distrax(jnp.sum, params=jnp.ones(2)),
        TypeError,
        "a function that returns a distrax.Bijector, got",
    ),
    "too few axes": (
        lambda: from_distrax(distrax.DiagLinear(jnp.ones(3)), ()),
        ShapeError,
        r"at least 1 axes, got shape \(\)",
    ),
    "a shape that does not fit": (
        lambda: from_distrax(distrax.DiagLinear(jnp.ones(3)), (2,)),
        ShapeError,
        r"events of shape \(2,\) do not fit",
    ),
    "no shape where sides differ": (
        lambda: from_distrax(Flatten()),
        ShapeError,
        "events of 1 axes from 2; pass the shape of the data as event_shape",
    ),
    "a key": (
        lambda: from_distrax(odd(key=jax.random.key(0))),
        ValueError,
        "expected arrays of numbers, got one of key",
    ),
    "a large integer": (
        lambda: from_distrax(odd(count=jnp.array([3, -(2**24) - 1]))),
        ValueError,
        r"integers up to 2\^24, which floats hold exactly, got 16777217",
    ),
    "a batch of bijectors": (
        lambda: from_distrax(distrax.ScalarAffine(jnp.ones((5, 3)))).forward(jnp.ones(3)),
        ShapeError,
        r"return values of shape \(3,\), got \(5, 3\)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    act, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        act()
