"""Markov models: counted tables are the most probable ones, and graphs are checked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.conditionals import Markov
from jaxgen.core import ShapeError
from jaxgen.likelihoods import Bernoulli, Categorical, Normal
from jaxgen.models import Autoregressive
from jaxgen.testing import check_conditional, perturb, to_float64


def binary(num, size, seed=0):
    """Values that lean to the one before."""
    rng = np.random.default_rng(seed)
    x = np.zeros((num, size), np.int32)
    x[:, 0] = rng.random(num) < 0.3
    for i in range(1, size):
        x[:, i] = rng.random(num) < np.where(x[:, i - 1] == 1, 0.8, 0.1 * i)
    return x


@pytest.mark.parametrize("head", [Bernoulli(), Categorical(2)], ids=["bernoulli", "categorical"])
def test_counts_are_the_empirical_conditional_distribution(head, x64):
    x = binary(500, 4)
    values = np.asarray(head.encode(jnp.arange(2)))
    chain = Markov((4,), head.num_params(()), parents=1, values=values).estimate(x, 0.0)
    params = chain(head.encode(jnp.asarray(x)))
    one = np.exp(head.log_prob(jnp.ones((500, 4), int), params))
    for i in range(1, 4):
        for past in range(2):
            rows = x[:, i - 1] == past
            np.testing.assert_allclose(one[rows, i], x[rows, i].mean(), rtol=1e-9)
    np.testing.assert_allclose(one[:, 0], x[:, 0].mean(), rtol=1e-9)


def test_counts_maximise_the_likelihood(x64):
    x = jnp.asarray(binary(300, 4))
    chain = Markov((4,), 1, parents=2, values=(0.0, 1.0), shared=True).estimate(np.asarray(x), 0.0)
    model = to_float64(Autoregressive(chain, Bernoulli()))
    slopes = jax.grad(lambda model: jnp.mean(model.log_prob(x)))(model)
    np.testing.assert_allclose(slopes.conditional.table[...], 0.0, atol=1e-9)
    moved = perturb(model, jax.random.key(0), 0.05)
    assert jnp.mean(moved.log_prob(x)) < jnp.mean(model.log_prob(x))


def test_a_pseudo_count_is_a_prior():
    chain = Markov((1,), 2, parents=0, values=(-1.0, 1.0))
    counted = chain.estimate(np.ones((3, 1), int), pseudo_count=2.0)
    np.testing.assert_allclose(np.exp(counted.table[...])[0, 0], [1 / 5, 4 / 5], rtol=1e-6)
    never = chain.estimate(np.ones((3, 1), int), pseudo_count=0.0)
    assert np.all(np.isfinite(never.table[...]))


@pytest.mark.parametrize(
    ("size", "arguments"),
    [
        (3, {"parents": 0}),
        (3, {"parents": 0, "shared": True}),
        (3, {"parents": [(), (), ()]}),
        (1, {"parents": np.int64(2)}),
    ],
    ids=["k=0", "k=0, shared", "a graph without edges", "one position"],
)
def test_tables_without_parents_are_the_frequencies(size, arguments):
    x = binary(200, size)
    chain = Markov((size,), 1, values=(0.0, 1.0), **arguments).estimate(x, 0.0)
    model = Autoregressive(chain, Bernoulli())
    ones = x.mean(None if chain.shared else 0)
    expected = np.log(np.where(x, ones, 1 - ones)).sum(1)
    np.testing.assert_allclose(model.log_prob(jnp.asarray(x)), expected, rtol=1e-5)
    keys = jax.random.key(0), 5
    np.testing.assert_array_equal(model.sample(*keys), model.sample(*keys, method="naive"))


def test_without_examples_the_prior_is_left():
    counted = Markov((2,), 1, parents=1, values=(0.0, 1.0)).estimate(np.zeros((0, 2), int))
    np.testing.assert_array_equal(counted.table[...], 0.0)


def categorical(shared=True, parents=2, size=6):
    values = Categorical(3).encode(jnp.arange(3)).tolist()
    return Markov((size,), 3, parents=parents, values=values, shared=shared)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 20.0])
def test_a_shared_table_backs_off_to_shorter_pasts(alpha):
    """Against the recursion written out: a position further on sees the same table."""
    rng = np.random.default_rng(0)
    x = np.minimum(rng.integers(0, 3, (7, 6)), rng.integers(0, 3, (7, 6)))
    lengths = np.array([6, 6, 1, 2, 0, 5, 6])
    counted = categorical().estimate(x, alpha, lengths=lengths, backoff=True)
    table = np.exp(np.asarray(counted.table[...], np.float64))
    pasts = []  # (nearest, farther), 3 where there is none; what came
    for row, length in zip(x, lengths, strict=True):
        before = [3, 3]
        for value in row[:length]:
            pasts.append((tuple(before), value))
            before = [value, before[0]]

    def estimate(past):
        prior = np.full(3, 1 / 3) if past is None else estimate(past[:-1] if past else None)
        if past is None:
            return prior
        came = [value for before, value in pasts if before[: len(past)] == past]
        total = len(came) + alpha
        return (np.bincount(came, minlength=3) + alpha * prior) / total if total else prior

    for nearest in range(4):
        for farther in range(4):
            found = table[nearest + 4 * farther]
            np.testing.assert_allclose(found, estimate((nearest, farther)), atol=1e-6)


def test_counting_in_pieces_changes_nothing(monkeypatch):
    x = np.random.default_rng(0).integers(0, 3, (50, 6))
    whole = [categorical(shared).estimate(x, backoff=True) for shared in (True, False)]
    monkeypatch.setattr("jaxgen.conditionals.markov._COUNTED_AT_ONCE", 7)
    for shared, expected in zip((True, False), whole, strict=True):
        found = categorical(shared).estimate(x, backoff=True)
        np.testing.assert_array_equal(found.table[...], expected.table[...])


def test_counted_homogeneous_tables_fit_signals_of_any_length():
    x = np.random.default_rng(0).integers(0, 3, (50, 6))
    short, long = (categorical(size=size) for size in (6, 40))
    counted = short.estimate(x, backoff=True)
    assert counted.table[...].shape == long.table[...].shape


def test_a_linear_chain_is_an_autoregressive_process(x64):
    chain = to_float64(perturb(Markov((5,), 2, parents=1, shared=True), jax.random.key(0)))
    model = Autoregressive(chain, Normal())
    x = jax.random.normal(jax.random.key(1), (5,))
    before = jnp.concatenate([jnp.zeros(1), x[:-1]])
    params = before[:, None] * chain.kernel[...][0] + chain.bias[...]
    np.testing.assert_allclose(model.log_prob(x), jnp.sum(Normal().log_prob(x, params)))


def test_the_order_of_generation_puts_parents_first():
    graph = ((2,), (0,), (3,), ())
    order = Markov((4,), 1, parents=graph, values=(0.0, 1.0)).own_order().tolist()
    assert all(order.index(j) < order.index(i) for i, each in enumerate(graph) for j in each)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parents": -1}, "expected 0 or more parents, got -1"),
        ({"parents": ((1,), (0,), ())}, "cycle"),
        ({"parents": ((1,), ())}, "expected parents for 3 positions, got 2"),
        ({"parents": ((3,), (), ())}, r"positions 0\.\.2 as parents of position 0, got \(3,\)"),
        ({"parents": ((1, 1), (), ())}, "expected different positions"),
        ({"values": (0.0, 1.0, 3.0)}, "evenly spaced"),
        ({"values": (0.0,)}, "two or more values"),
    ],
)
def test_mistakes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Markov((3,), 1, **options)


def test_too_many_parents_for_a_table():
    with pytest.raises(ValueError, match="at most 12 parents for tables, got 13"):
        Markov((20,), 1, parents=13, values=(0.0, 1.0))
    assert Markov((20,), 1, parents=13)(jnp.zeros(20)).shape == (20, 1)


def test_estimates_need_tables_of_a_choice():
    with pytest.raises(ValueError, match="got a linear one"):
        Markov((2,), 1).estimate(np.zeros((1, 2), int))
    with pytest.raises(ValueError, match=r"expected lengths \(1,\) from 0 to 2, got .* 3 to 3"):
        Markov((2,), 1, values=(0.0, 1.0)).estimate(np.zeros((1, 2), int), lengths=np.array([3]))
    with pytest.raises(ValueError, match="categorical head"):
        Markov((2,), 2, values=(0.0, 0.5, 1.0)).estimate(np.zeros((1, 2), int))
    with pytest.raises(ShapeError, match=r"expected examples \(n, \*\(2,\)\), got \(4, 3\)"):
        Markov((2,), 1, values=(0.0, 1.0)).estimate(np.zeros((4, 3), int))
    with pytest.raises(ValueError, match="expected levels from 0 to 1"):
        Markov((2,), 1, values=(0.0, 1.0)).estimate(np.full((1, 2), 2))


def test_the_kit_holds_a_chain_to_its_promised_dependencies(x64):
    """A matrix of dependencies is exact: neither more nor less may be seen."""
    chain, x = Markov((4,), 1, parents=2), jax.random.normal(jax.random.key(0), (2, 4))
    distance = np.arange(4)[:, None] - np.arange(4)
    two, three = ((distance >= 1) & (distance <= order) for order in (2, 3))
    check_conditional(chain, x, dense=two, eager=False)
    with pytest.raises(AssertionError, match=r"depend on position 0.*expected exactly 0"):
        check_conditional(chain, x, dense=distance == 1, eager=False)
    with pytest.raises(AssertionError, match="a missing dependency"):
        check_conditional(chain, x, dense=three, eager=False)
