"""Bounds of each entry, in every flow of vectors: a support, a unit, and no value outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import Bounded, Logit, Standardize
from jaxgen.testing import perturb

KEY = jax.random.key(0)
BOUNDS = [None, (5.0, None), (None, -1.0), (0.0, 4.0)]
# The smallest of each; what takes vectors takes these bounds.
FLOWS = {
    "flowpp": {"steps": (1,), "components": 2, "hidden": (6,)},
    "iaf": {"layers": 1, "hidden": (6,)},
    "made": {"levels": None, "hidden": (6,)},
    "maf": {"layers": 1, "hidden": (6,)},
    "maf_mog": {"layers": 1, "hidden": (6,), "components": 2},
    "nice": {"couplings": 2, "hidden": (6,)},
    "nsf": {"steps": 1, "bins": 3, "width": 4, "blocks": 1},
    "realnvp": {"steps": 1, "hidden": (6,)},
    "tarflow": {"blocks": 1, "layers": 1, "width": 4, "heads": 1},
}

# One of each structure by default; the others share their layers.
DEFAULT = ("made", "maf", "realnvp")
EACH = [pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow) for name in FLOWS]


def flow(name, bounds=BOUNDS):
    options = FLOWS[name] | {"bounds": bounds, "alpha": 0.0}
    return zoo.build(name, (4,), options, rngs=nnx.Rngs(0))


def data(rng, size=1000):
    real, above, below, both = rng.normal(size=(4, size))
    x = [real, 5 + np.exp(above), -1 - np.exp(below), 2 + np.tanh(both)]
    return np.stack(x, 1).astype(np.float32)


@pytest.mark.parametrize("name", EACH)
def test_samples_are_inside_and_others_have_no_density(name):
    model = perturb(flow(name), KEY)
    model = model.standardize(data(np.random.default_rng(0)), None)

    @jax.jit
    def examine(model):
        x = model.sample(KEY, 500)
        outside = jnp.array([[0.0, 4.0, -2.0, 1.0], [0.0, 6.0, 0.0, 1.0], [0.0, 6.0, -2.0, 4.5]])
        slopes = jax.grad(lambda x, model: model.log_prob(x).sum(), (0, 1))(outside, model)
        return x, model.log_prob(x), model.log_prob(outside), slopes

    x, log_prob, outside, slopes = examine(model)
    assert np.isfinite(log_prob).all()
    assert (x[:, 1] > 5).all()
    assert (x[:, 2] < -1).all()
    assert ((x[:, 3] > 0) & (x[:, 3] < 4)).all()
    np.testing.assert_array_equal(outside, [-np.inf] * 3)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(slopes))


@pytest.mark.parametrize("name", EACH)
def test_the_density_does_not_depend_on_the_unit_of_an_entry(name):
    x = data(np.random.default_rng(0))

    def mean(units):
        scaled = [
            pair if pair is None else tuple(end if end is None else end * unit for end in pair)
            for pair, unit in zip(BOUNDS, units, strict=True)
        ]
        model = perturb(flow(name, scaled), KEY, 0.1)
        y = (x * units).astype(np.float32)
        log_prob = jax.jit(type(model).log_prob)
        return float(np.mean(log_prob(model.standardize(y, None), y)) + np.sum(np.log(units)))

    plain = mean(np.ones(4))
    for units in (np.array([1e-9, 1e9, 1e-9, 1e9]), np.array([1e9, 1e-9, 1e9, 1e-9])):
        # In single precision a bound times a unit is rounded, and what is next to it moves.
        assert mean(units) == pytest.approx(plain, abs=2e-3)


def test_the_map_at_the_datas_end_is_what_the_bounds_need():
    def last(bounds, shape=(4,)):
        model = zoo.nice(shape, couplings=2, hidden=(4,), bounds=bounds, rngs=nnx.Rngs(0))
        return model.bijector.layers[-1]

    assert isinstance(last(None), Standardize)
    assert isinstance(last([None] * 4), Standardize)
    for same in ((0, 4), [(0, 4)] * 4, np.array([[0, 4]] * 4)):
        assert isinstance(last(same), Logit)
        assert (last(same).low, last(same).high) == (0.0, 4.0)
    for one in ((0, None), [[0, None]] * 4):
        assert last(one).bounds == ((0.0, None),) * 4
    assert isinstance(last([None, None, None, (0, 1)]), Bounded)
    assert last((0, None), (2, 2, 3)).bounds == ((0.0, None),) * 3


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([(0, 1)] * 3, r"one for each of 4 entries, got 3"),
        ((0, np.inf), r"expected finite numbers, or None for an end that is open, got \(0, inf\)"),
        ((0, np.nan), "expected finite numbers"),
        ((1, 0), r"expected low < high, got \(1, 0\)"),
        ([None, None, (0, 1, 2), None], r"a pair \(low, high\) for an entry, got \(0, 1, 2\)"),
        ([None, None, (0, "1"), None], "expected finite numbers"),
        ("positive", "expected a pair"),
        (3.0, "expected a pair"),
        ([None, (None, True), None, None], "expected finite numbers"),
    ],
)
def test_what_are_no_bounds(bounds, message):
    with pytest.raises(ValueError, match=message):
        flow("nice", bounds)


def test_data_outside_are_refused_by_entry():
    layer = Bounded((4,), [(None, None), (5, None), (None, -1), (0, 4)], alpha=0.0)
    good = data(np.random.default_rng(0))
    layer.check_data(good)
    for entry, value, said in (
        (1, 5.0, "the bound itself"),
        (2, 7.0, "itself"),
        (3, -0.5, "widen"),
    ):
        bad = good.copy()
        bad[3, entry] = value
        with pytest.raises(ValueError, match=rf"in entry {entry}, got {value:g}; .*{said}"):
            layer.check_data(bad)
