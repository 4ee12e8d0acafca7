"""The precision report names the layer that loses digits, and how many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Coupling,
    Flip,
    Inverse,
    Logit,
    Split,
    Standardize,
)
from jaxgen.core import ShapeError
from jaxgen.models import Dequantized, Flow, StandardNormal
from jaxgen.networks import MLP
from jaxgen.testing import perturb, precision_report

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)


class Log(Bijector):
    """z = log(x)."""

    def forward_and_log_det(self, z, context=None):
        return jnp.exp(z), jnp.sum(z, -1)

    def inverse_and_log_det(self, x, context=None):
        return jnp.log(x), -jnp.sum(jnp.log(x), -1)


class Exponential(Bijector):
    """z = -log(1 - x), which is x for small x; `naive` loses it against the 1."""

    def __init__(self, naive):
        self.naive = naive

    def forward_and_log_det(self, z, context=None):
        return -jnp.expm1(-z), -jnp.sum(z, -1)

    def inverse_and_log_det(self, x, context=None):
        z = -jnp.log(1 - x) if self.naive else -jnp.log1p(-x)
        return z, jnp.sum(z, -1)


def coupling(rngs, size=2):
    make = lambda n, m: MLP(n, m, hidden=(4,), rngs=rngs)  # noqa: E731
    return Coupling((size,), make)


def test_a_naive_logarithm_is_named():
    x = np.array([[1e-5, 3e-5], [2e-4, 0.5]], np.float32)
    layers = [ActNorm((2,)), Log(), Flip()]
    bad = precision_report(Flow(Chain([*layers, Exponential(True)])), x)
    good = precision_report(Flow(Chain([*layers, Exponential(False)])), x)
    assert (bad.worst.path, bad.worst.layer) == ("bijector.layers.3", "Exponential")
    # float32 keeps 2^-24 beside a 1: of 1e-5 that is 0.6%, and log p moves by up to 11 times that.
    assert 1e-3 < bad.worst.float32 < 0.1
    assert bad.float32 == pytest.approx(bad.worst.float32, rel=0.01)
    assert good.float32 < 1e-5
    assert max(row.float32 for row in good.rows) < 1e-5
    assert "bijector.layers.3  Exponential" in str(bad)
    marked = [line for line in str(bad).splitlines() if line.endswith("<- worst")]
    assert len(marked) == 1
    assert marked[0].startswith("bijector.layers.3")


def test_a_layer_that_saturates_is_no_infinite_error():
    """sigmoid(20) is 1 in float32, which counts as the last number before it; in float64 it is
    20 again."""
    flow = Flow(Chain([Logit(alpha=0.0), Inverse(Logit(alpha=0.0))]), StandardNormal((2,)))
    report = precision_report(flow, np.array([[20.0, 0.0]], np.float32))
    rows = {row.layer: row.float32 for row in report.rows}
    assert 10.0 < rows["Inverse(Logit)"] < np.inf
    assert 10.0 < rows["Logit"] < np.inf
    assert rows["StandardNormal"] < 1e-4
    assert 10.0 < report.float32 < np.inf


def test_the_rounding_of_float64_data_has_a_row_of_its_own():
    flow = Flow(Logit(alpha=0.0), StandardNormal((2,)))
    x = np.array([[0.5, 1.0 - 2.0**-20 - 1e-9]])
    report = precision_report(flow, x)
    assert report.worst.path == "data"
    assert report.worst.float32 == pytest.approx(report.float32, rel=0.05)
    rounded = precision_report(flow, x.astype(np.float32))
    assert rounded.rows[0].float32 == 0.0
    assert rounded.float32 < 0.01 * report.float32
    beyond = precision_report(flow, np.array([[0.5, 1.0 - 1e-12]]))
    assert beyond.rows[0].path == "data"
    assert beyond.rows[0].float32 > 100.0


def direct(model, x, context=None):
    """log p in each precision, by hand."""
    single = np.asarray(jax.jit(type(model).log_prob)(model, x, context), np.float64)
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), model)
        exact = jax.jit(type(model).log_prob)(double, x.astype(np.float64), context)
        assert exact.dtype == jnp.float64
        half = jaxgen.compute_in(model, jnp.bfloat16)
    coarse = np.asarray(jax.jit(type(model).log_prob)(half, x, context), np.float64)
    bits = np.prod(model.event_shape) * np.log(2)
    return [np.abs(value - np.asarray(exact)).max() / bits for value in (single, coarse)]


@pytest.mark.parametrize("name", [pytest.param("realnvp", marks=pytest.mark.slow), "glow", "maf"])
def test_the_totals_are_those_of_the_whole_model(name):
    rngs, context = nnx.Rngs(0), None
    if name == "realnvp":
        model, x = zoo.realnvp((2,), steps=2, hidden=(6,), rngs=rngs), X
    elif name == "maf":
        model = zoo.maf((2,), layers=2, hidden=(6,), context_features=1, rngs=rngs)
        x, context = X, np.array([[0.5], [-1.0], [2.0]], np.float32)
    else:
        options = {"levels": 1, "steps": 1, "width": 3, "residual": True, "bounds": (0.0, 1.0)}
        model = zoo.glow((2, 2, 1), **options, rngs=rngs)
        x = np.random.default_rng(0).uniform(size=(2, 2, 2, 1)).astype(np.float32)
    model = perturb(model, KEY)
    report = precision_report(model, x, context)
    single, half = direct(model, x, context)
    assert report.float32 == pytest.approx(single, rel=1e-6)
    assert report.bfloat16 == pytest.approx(half, rel=1e-6)
    # Well conditioned: a few roundings of 2^-24 for each layer, far from the 2^-8 of bfloat16.
    assert 0 < report.float32 < 1e-5
    assert 1e-4 < report.bfloat16 < 1.0
    # To first order the layers' errors add up to the model's, with signs; so it is not larger.
    assert report.bfloat16 < 1.5 * sum(row.bfloat16 for row in report.rows)
    assert report.float32 < 1.5 * sum(row.float32 for row in report.rows)
    networks = {"Coupling", "MaskedAutoregressive", "Split"}
    for row in report.rows:
        if row.layer not in networks:
            assert row.bfloat16 == row.float32
    assert max(report.rows, key=lambda row: row.bfloat16).layer in networks
    # of realnvp and maf: the steps, and the data's units; of glow: the logit, the squeeze there and
    # back, actnorm, convolution and coupling
    expected = {"realnvp": 2 * 4 + 1, "maf": 2 * 3 + 1, "glow": 1 + 2 + 3}
    assert len(report.rows) == 1 + expected[name] + 1


def test_the_error_of_one_layer_is_its_own():
    """By hand, for the middle one of three layers."""
    first, second, third = (perturb(coupling(nnx.Rngs(i)), jax.random.key(i)) for i in range(3))
    flow = Flow(Chain([Flip(), third, Flip(), second, Flip(), first]))
    report = precision_report(flow, X)
    row = report.rows[1 + 2]
    assert row.path == "bijector.layers.3"
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), flow)
        after_first, _ = Chain(list(double.bijector.layers)[4:]).inverse_and_log_det(
            X.astype(np.float64)
        )
        reaching = np.asarray(after_first, np.float32)
        rest = Flow(Chain(list(double.bijector.layers)[:3]), StandardNormal((2,)))
        z, log_det = double.bijector.layers[3].inverse_and_log_det(reaching.astype(np.float64))
        expected = np.asarray(rest.log_prob(z) + log_det)
    # Compiled, and of as many copies as the report has readings: the order of additions, and so
    # their rounding, is the compiler's.
    invert = jax.jit(type(second).inverse_and_log_det)
    z, log_det = (each[0] for each in invert(second, np.stack([reaching] * 3)))
    with jax.enable_x64(True):
        got = np.asarray(rest.log_prob(np.asarray(z, np.float64))) + np.asarray(log_det, float)
    assert row.float32 == pytest.approx(np.abs(got - expected).max() / (2 * np.log(2)), rel=1e-3)


def test_a_flow_as_a_base_a_split_and_an_inverse_are_taken_apart():
    inner = Chain([ActNorm((2,)), Flip()])
    network = MLP(2, 4, hidden=(3,), rngs=nnx.Rngs(0))
    flow = Flow(
        Chain([Inverse(Chain([Flip(), ActNorm((4,))])), Split(inner, (4,), network)]),
        Flow(Standardize((4,), scale=2.0)),
    )
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    report = precision_report(perturb(flow, KEY), x)
    assert [(row.path, row.layer) for row in report.rows] == [
        ("data", "rounding"),
        ("bijector.layers.1", "Split"),
        ("bijector.layers.1.inner.layers.1", "Flip"),
        ("bijector.layers.1.inner.layers.0", "ActNorm"),
        ("bijector.layers.0.bijector.layers.0", "Inverse(Flip)"),
        ("bijector.layers.0.bijector.layers.1", "Inverse(ActNorm)"),
        ("base.bijector", "Standardize"),
        ("base.base", "StandardNormal"),
    ]
    assert report.float32 < 1e-5


def test_any_other_model_is_one_layer():
    model = perturb(zoo.made((3,), hidden=(4,), rngs=nnx.Rngs(0)), KEY)
    report = precision_report(model, np.array([[0, 1, 1], [1, 0, 0]]))
    assert [row.path for row in report.rows] == ["data", "model"]
    assert report.worst.layer == "Autoregressive"
    assert report.worst.float32 == report.float32 < 1e-6
    assert report.worst.bfloat16 == report.bfloat16 > 1e-5


def test_without_networks_there_is_no_second_column():
    report = precision_report(Flow(ActNorm((2,))), X)
    assert report.bfloat16 is None
    assert {row.bfloat16 for row in report.rows} == {None}
    assert str(report).splitlines()[-1].split() == ["whole", "model", f"{report.float32:.1e}", "-"]


def test_precision_is_switched_only_inside(x64):
    flow = perturb(Flow(Chain([ActNorm((2,)), coupling(nnx.Rngs(0))])), KEY)
    inside = precision_report(flow, X)
    assert jnp.ones(()).dtype == jnp.float64
    with jax.enable_x64(False):
        assert precision_report(flow, X) == inside
        assert jnp.ones(()).dtype == jnp.float32


MISTAKES = {
    "a bound": (
        lambda: precision_report(Dequantized(Flow(ActNorm((2,))), 4), np.zeros((1, 2), int)),
        TypeError,
        r"exact likelihood, got Dequantized, .*precision_report\(model.flow, x \+ 0.5\)",
    ),
    "another shape": (
        lambda: precision_report(Flow(ActNorm((2,))), np.zeros((3, 4), np.float32)),
        ShapeError,
        r"Flow.precision_report: expected shape \(\*batch, 2\), got \(3, 4\)",
    ),
    "not a number": (
        lambda: precision_report(Flow(ActNorm((2,))), np.full((1, 2), np.nan, np.float32)),
        ValueError,
        "the data hold 2 NaN",
    ),
    "an unasked context": (
        lambda: precision_report(Flow(ActNorm((2,))), X, X),
        ShapeError,
        "this model is unconditional",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    act, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        act()
