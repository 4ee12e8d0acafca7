"""NADE and its kin against their equations, written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import FVSBN, MADE, NADE, EoNADE, Growing
from jaxgen.likelihoods import Bernoulli
from jaxgen.models import Autoregressive, Ensemble
from jaxgen.testing import cast, perturb, to_float64


def member(kind, *args, **options):
    return to_float64(perturb(kind(*args, rngs=nnx.Rngs(0), **options), jax.random.key(0)))


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_nade_is_its_equations(x64):
    nade = member(NADE, (5,), 2, width=3)
    x = np.random.default_rng(0).normal(size=5)
    order = np.array([3, 0, 4, 1, 2])
    got = nade(jnp.asarray(x), order=jnp.asarray(order))
    kernel, bias = np.asarray(nade.kernel[...]), np.asarray(nade.bias[...])
    for t, i in enumerate(order):
        hidden = sigmoid(bias + x[order[:t]] @ kernel[order[:t]])
        expected = nade.out_bias[...][i] + hidden @ nade.out_kernel[...][i]
        np.testing.assert_allclose(got[i], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [NADE, EoNADE])
@pytest.mark.parametrize("narrow", ["bfloat16", "float32"])
def test_what_is_read_may_be_of_a_wider_dtype_than_the_parameters(kind, narrow, x64):
    options = {"width": 3} if kind is NADE else {"hidden": (3,)}
    network = cast(member(kind, (3,), 1, **options), narrow)
    x = jnp.array([[0.0, 1.0, 1.0]], jnp.float64)
    np.testing.assert_array_equal(network(x), network(x.astype(narrow)))
    assert np.all(np.isfinite(Autoregressive(network, Bernoulli()).log_prob(x.astype(int))))


def test_dropout_drops_units_for_all_positions_of_an_event(x64):
    nade = member(NADE, (5,), 1, width=16, dropout=0.5)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)))

    @jax.jit
    def at(t, event):
        """The derivatives of a position's parameter by its weights: the units, or 0."""
        by = jax.grad(lambda nade: nade(x, key=jax.random.key(1))[event, t, 0])(nade)
        return by.out_kernel[...][t, :, 0]

    kept = np.array([[at(t, event) != 0 for t in (0, 2, 4)] for event in range(3)])
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape))
    assert np.any(kept[0] != kept[1])  # each event has its own
    hidden = sigmoid(np.asarray(nade.bias[...]))
    np.testing.assert_allclose(at(0, 0), np.where(kept[0, 0], 2.0 * hidden, 0.0), rtol=1e-12)


def test_rho_scales_the_step_and_not_the_position(x64):
    nade = member(NADE, (3,), 1, width=2, rescale=True)
    order = jnp.array([2, 0, 1])
    x = jnp.asarray(np.random.default_rng(0).normal(size=3))
    hidden = sigmoid(nade.rho[...][1] * (nade.bias[...] + x[2] * nade.kernel[...][2]))
    expected = nade.out_bias[...][0] + hidden @ nade.out_kernel[...][0]
    np.testing.assert_allclose(nade(x, order=order)[0], expected, rtol=1e-12)


def test_growing_is_a_network_for_each_position(x64):
    growing = member(Growing, (4,), 2, width=3)
    x = np.random.default_rng(0).normal(size=4)
    got = growing(jnp.asarray(x))
    kernel, bias = growing.hidden.direct_kernel[...], growing.hidden.out_bias[...]
    for i in range(4):
        hidden = np.tanh(bias[i] + np.einsum("s,sh->h", x[:i], kernel[:i, i]))
        expected = growing.bias[...][i] + hidden @ growing.kernel[...][i]
        np.testing.assert_allclose(got[i], expected, rtol=1e-12)


def test_fvsbn_is_made_without_hidden_layers(x64):
    fvsbn = member(FVSBN, (4,), 1)
    made = member(MADE, (4,), 1, hidden=(), direct=True)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4)))
    np.testing.assert_array_equal(fvsbn(x), made(x))
    assert isinstance(fvsbn, MADE)


def test_dropout_needs_a_key(x64):
    x = jnp.ones(4)
    run = jax.jit(lambda network, key: network(x, key=key))
    for kind in (NADE, Growing):
        network, without = (member(kind, (4,), 1, width=8, dropout=rate) for rate in (0.5, 0.0))
        assert not np.allclose(run(network, jax.random.key(0)), run(network, jax.random.key(1)))
        np.testing.assert_array_equal(run(network, None), run(without, None))


@pytest.mark.parametrize("dropping", [False, True])
def test_eonade_predicts_what_its_chain_says(x64, dropping):
    """At each step of an order, one prediction from what is seen gives that step's parameters."""
    key = jax.random.key(2) if dropping else None
    network = member(EoNADE, (5,), 2, hidden=(6, 4), dropout=0.5)
    x, order = jax.random.normal(jax.random.key(1), (3, 5)), jnp.array([3, 0, 4, 1, 2])
    params = network(x, order=order, key=key)
    assert dropping != np.allclose(params, network(x, order=order))
    for t, position in enumerate(order.tolist()):
        seen = jnp.isin(jnp.arange(5), order[:t])
        garbage = jnp.where(seen, x, jnp.nan)
        predicted = network.predict(garbage, seen, key=key)[:, position]
        np.testing.assert_allclose(predicted, params[:, position], atol=1e-12)


def test_eonades_weight_makes_one_step_an_unbiased_chain(x64):
    network = member(EoNADE, (3,), 1, hidden=(6,))
    single = Autoregressive(network, Bernoulli())
    orders = jnp.asarray(list(itertools.permutations(range(3))))
    model, x = Ensemble(single, orders), jnp.array([[1, 0, 1], [0, 0, 1]])
    expected = np.mean([single.log_prob(x, order=order) for order in orders], axis=0)
    keys = jax.random.split(jax.random.key(2), 20_000)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: model.elbo(x, key)))(keys))
    error = draws.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - expected) < 4 * error)
