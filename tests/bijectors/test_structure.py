"""Chains, scans, data-dependent starts, and the errors of wrong shapes."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx
from tensorflow_probability.substrates import jax as tfp

from jaxgen import zoo
from jaxgen.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Checkerboard,
    Conv1x1,
    Coupling,
    Flip,
    Logit,
    MaskedAutoregressive,
    Permutation,
    Scan,
    Split,
    Squeeze,
    Standardize,
)
from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.models import Dequantized, Flow, StandardNormal
from jaxgen.networks import MLP
from jaxgen.testing import perturb, to_float64
from jaxgen.transforms import Affine

X3 = np.random.default_rng(0).normal(size=(5, 3))
both_ways = jax.jit(lambda b, x: (b.forward_and_log_det(x), b.inverse_and_log_det(x)))


def perturbed(bijector, seed=0):
    return perturb(to_float64(bijector), jax.random.key(seed))


def test_scan_is_the_chain_of_its_steps(x64):
    scan = perturbed(registry.BIJECTORS["scan"].make(nnx.Rngs(0)))
    steps = [jax.tree.map(lambda leaf, i=i: leaf[i], scan.steps) for i in range(3)]
    chain, stacked = Chain(steps), Scan.stack(steps)
    for got, again, expected in zip(
        *(jax.tree.leaves(both_ways(b, X3)) for b in (scan, stacked, chain)), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-9)
        np.testing.assert_allclose(again, expected, rtol=1e-9)
    # each step has its own constant
    rows = np.asarray(scan.steps.layers[1].permutation[...])
    assert len({tuple(row) for row in rows}) > 1


def test_chain_is_listed_from_base_to_data():
    chain = Chain([Standardize((1,), scale=2.0), Standardize((1,), mean=1.0)])
    assert chain.forward(jnp.array([3.0])).tolist() == [7.0]


def test_dropout_follows_its_key():
    coupling = perturb(registry.BIJECTORS["coupling dropout"].make(nnx.Rngs(0)), jax.random.key(0))
    run = jax.jit(lambda b, x, key: b.inverse_and_log_det(x, key=key)[0])
    x = jnp.asarray(X3)
    off, off_again = run(coupling, x, None), run(coupling, x, None)
    one, same, other = (run(coupling, x, jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(off, off_again)
    np.testing.assert_array_equal(one, same)
    assert np.any(one != off)
    assert np.any(one != other)


def test_actnorm_starts_with_mean_zero_and_variance_one(x64):
    x = 3.0 + 2.0 * np.random.default_rng(0).normal(size=(6, 2, 3, 4))
    _, z = ActNorm((2, 3, 4)).initialize(jnp.asarray(x))
    np.testing.assert_allclose(np.mean(z, (0, 1, 2)), np.zeros(4), atol=1e-9)
    np.testing.assert_allclose(np.var(z, (0, 1, 2)), np.ones(4), rtol=1e-9)


def test_every_actnorm_of_a_scan_starts_normalised(x64):
    def step(rngs):
        return Chain([ActNorm((3,)), Conv1x1((3,), rngs=rngs)])

    scan = perturbed(Scan(step, 3, rngs=nnx.Rngs(0)))
    new, z = jax.jit(Scan.initialize)(scan, 5.0 * X3 - 2.0)
    seen = 5.0 * X3 - 2.0
    for index in (2, 1, 0):
        layer = jax.tree.map(lambda leaf, i=index: leaf[i], new.steps)
        seen = jax.jit(Chain.inverse)(layer, seen)
        np.testing.assert_allclose(np.mean(seen, 0), np.zeros(3), atol=1e-9)
        np.testing.assert_allclose(np.var(seen, 0), np.ones(3), rtol=1e-9)
    np.testing.assert_allclose(seen, z, rtol=1e-9)


def test_initialize_of_a_model_reaches_its_actnorms(x64):
    flow = zoo.maf((3,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))
    initialize = jax.jit(lambda m, x: m.initialize(x, jax.random.key(0)))
    new = initialize(flow, 5.0 * X3 - 2.0)
    z = jax.jit(Flow.infer)(new, 5.0 * X3 - 2.0)
    np.testing.assert_allclose(np.mean(z, 0), np.zeros(3), atol=1e-7)
    np.testing.assert_allclose(np.var(z, 0), np.ones(3), rtol=1e-7)


def test_coupling_is_distrax_with_the_same_network(x64):
    coupling = perturbed(Coupling((4,), registry.mlp(nnx.Rngs(0))))
    transform = coupling.transform

    def bijector(params):
        params = params.reshape(*params.shape[:-1], 2, 2)
        return distrax.ScalarAffine(params[..., 0], log_scale=3.0 * jnp.tanh(params[..., 1] / 3.0))

    reference = distrax.SplitCoupling(2, 1, lambda kept: coupling.network(kept), bijector)
    assert isinstance(transform, Affine)
    z = np.random.default_rng(0).normal(size=(5, 4))
    got = coupling.forward_and_log_det(z)
    for ours, theirs in zip(got, reference.forward_and_log_det(jnp.asarray(z)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    back, _ = reference.inverse_and_log_det(got[0])
    np.testing.assert_allclose(coupling.inverse(got[0]), back, rtol=1e-9)


def test_maf_is_tfp_with_the_same_network(x64):
    flow = perturbed(registry.maf((4,), nnx.Rngs(0)))

    def shift_and_log_scale(x):
        params = flow.conditional(x)
        return params[..., 0], 3.0 * jnp.tanh(params[..., 1] / 3.0)

    reference = tfp.bijectors.MaskedAutoregressiveFlow(shift_and_log_scale)
    z = np.random.default_rng(0).normal(size=(5, 4))
    x, log_det = jax.jit(MaskedAutoregressive.forward_and_log_det)(flow, z)
    np.testing.assert_allclose(x, reference.forward(jnp.asarray(z)), rtol=1e-9)
    # a fresh array: TFP would answer from its cache, and test nothing
    fresh = jnp.asarray(np.array(x))
    np.testing.assert_allclose(reference.inverse(fresh), z, rtol=1e-9)
    np.testing.assert_allclose(
        log_det, -reference.inverse_log_det_jacobian(fresh, event_ndims=1), rtol=1e-9
    )
    np.testing.assert_allclose(flow.inverse_log_det(x), -log_det, rtol=1e-9)


def test_split_leaves_the_second_half_under_its_prior(x64):
    split = registry.BIJECTORS["split odd, prior"].make(nnx.Rngs(0))
    bias = split.network.last.bias
    bias[...] = jnp.array([1, 0, 2, 0, 3, 0], bias.dtype)  # means 1, 2, 3
    z = split.inverse(jnp.array([7.0, 8.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(z, [7.0, 8.0, 0.0, 0.0, 0.0], atol=1e-9)


class Step(Bijector):
    """A step with one static attribute."""

    def __init__(self, name="a", size=2):
        self.name = name
        self.norm = ActNorm((size,))

    def forward_and_log_det(self, z, context=None):
        return self.norm.forward_and_log_det(z)

    def inverse_and_log_det(self, x, context=None):
        return self.norm.inverse_and_log_det(x)


def test_stack_names_the_first_attribute_that_differs():
    with pytest.raises(ValueError, match=r"step 2 differs from step 0 in step.name: 'a' and 'b'"):
        Scan.stack([Step(), Step(), Step("b")])
    with pytest.raises(ValueError, match=r"step.norm.event_shape: \(2,\) and \(3,\)"):
        Scan.stack([Step(), Step(size=3)])
    with pytest.raises(ValueError, match="differs from step 0 in step: "):
        Scan.stack([Flip(), ActNorm((2,))])
    with pytest.raises(ValueError, match=r"step\.event_ndims"):
        Scan.stack([Flip(), Flip(2)])
    with pytest.raises(ValueError, match="at least one step"):
        Scan.stack([])


def network(n, m):
    return MLP(n, m, hidden=(), rngs=nnx.Rngs(0))


X2 = jnp.zeros((4, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ActNorm((3,)).inverse(X2), r"ActNorm.inverse_and_log_det: .*3\), got \(4, 2\)"),
        (
            lambda: Chain([Flip(), ActNorm((3,))]).layers[1].forward(X2),
            r"expected shape \(\*batch, 3\), got \(4, 2\)",
        ),
        (
            lambda: Chain([ActNorm((2,)), ActNorm((3,))]),
            r"layer 1 \(ActNorm\) expects shape \(3,\), the layers before it make \(2,\)",
        ),
        (lambda: ActNorm((2,)).inverse(X2.astype(int)), "wrap the flow in .*Dequantized"),
        (lambda: Flip(3).inverse(X2), "at least 3 axes"),
        (lambda: Squeeze((3, 4, 1)), "sides divisible by 2, got"),
        (lambda: Coupling((1,), network), "at least 2 channels to split"),
        (lambda: Split(ActNorm((3,)), (4,)), r"keep the shape \(2,\) .* got \(3,\)"),
        (lambda: Scan(lambda r: Squeeze((2, 2, 1)), 2, rngs=nnx.Rngs(0)), "keep the event's shape"),
        (
            lambda: MaskedAutoregressive(MADE((3,), 1, hidden=(), rngs=nnx.Rngs(0))),
            "Affine needs 2 parameters .* MADE gives 1",
        ),
        (lambda: Flow(Flip()), "pass base="),
        (lambda: Flow(ActNorm((2,)), StandardNormal((3,))), r"base of shape \(2,\), got \(3,\)"),
        (lambda: zoo.realnvp((2, 2), rngs=nnx.Rngs(0)), "expected a vector"),
    ],
)
def test_wrong_shapes_are_refused_by_name(make, message):
    with pytest.raises(ShapeError, match=message):
        make()


class Picky(Bijector):
    """Checks its event's shape only when it runs."""

    def forward_and_log_det(self, z, context=None):
        return ActNorm((3,)).forward_and_log_det(z)

    def inverse_and_log_det(self, x, context=None):
        return ActNorm((3,)).inverse_and_log_det(x)


def test_errors_name_the_enclosing_layers():
    with pytest.raises(ShapeError, match="in Chain layer 1: in Chain layer 0: ActNorm"):
        Chain([Flip(), Chain([Picky()])]).inverse(X2)
    with pytest.raises(ShapeError, match="in Scan step: ActNorm"):
        Scan(lambda rngs: Picky(), 2, rngs=nnx.Rngs(0)).inverse(X2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Logit(1.0, 1.0), ValueError, "low < high"),
        (lambda: Logit(alpha=0.5), ValueError, "less than 0.5 for alpha, got 0.5"),
        (lambda: Permutation((3,), jnp.array([0, 1, 1])), ValueError, "a permutation of 0..2"),
        (lambda: Permutation((3,)), ValueError, "rngs"),
        (lambda: Standardize((2,), scale=jnp.array([1.0, 0.0])), ValueError, "positive scales"),
        (
            lambda: Scan(lambda r: Flip(), 0, rngs=nnx.Rngs(0)),
            ValueError,
            "for num_steps, got 0",
        ),
        (lambda: Chain([]), ValueError, "at least one"),
        (
            lambda: Flow(Flip(), Dequantized(Flow(ActNorm((2,))), 4)),
            TypeError,
            "density of real values for base, got a model of 4 levels",
        ),
    ],
)
def test_mistakes_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_checkerboards_of_both_colours_cover_the_image():
    shape = (3, 3, 2)
    parts = [Checkerboard(shape, swap).split(jnp.ones(shape))[0] for swap in (False, True)]
    np.testing.assert_array_equal(parts[0] + parts[1], np.ones(shape))
