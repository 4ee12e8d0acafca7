"""Temperature: 1 changes no bit, others change the noise as defined, nonsense is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx
from scipy import stats

from jaxgen.cli import main
from jaxgen.conditionals import MADE
from jaxgen.core import METHODS
from jaxgen.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    GaussianMixture,
    Likelihood,
    Normal,
)
from jaxgen.models import (
    Autoregressive,
    ClassConditionalNormal,
    Dequantized,
    DiagonalNormal,
    Embedded,
    Flow,
    Logistic,
    Mixture,
    MultivariateNormal,
    StandardNormal,
    StudentT,
    Uniform,
    VonMises,
)
from jaxgen.networks import Embedding
from jaxgen.runs import Recipe, load, train
from jaxgen.testing import perturb, to_float64
from jaxgen.training import TrainSettings

KEY = jax.random.key(0)


def member(name):
    model = perturb(registry.MODELS[name].make(nnx.Rngs(0)), KEY)
    context = registry.MODELS[name].context(model)
    return model, None if context is None else jnp.asarray(context)


DENSITIES = {
    "standard normal": lambda: StandardNormal((3,)),
    "logistic": lambda: Logistic((3,)),
    "student t": lambda: StudentT((3,)),
    "diagonal normal": lambda: perturb(DiagonalNormal((3,)), KEY),
    "multivariate normal": lambda: perturb(MultivariateNormal((3,)), KEY),
    "class-conditional normal": lambda: perturb(ClassConditionalNormal((3,), 2), KEY),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_the_deviation_of_a_base_is_multiplied(name):
    density = DENSITIES[name]()
    context = None if density.context_shape is None else jnp.array([1, 0])
    location = 0.0
    if name in ("diagonal normal", "multivariate normal"):
        location = np.asarray(density.mean[...])
    elif context is not None:
        location = np.asarray(density.means[...])[context]
    draw = lambda **options: np.asarray(density.sample(KEY, 4, context, **options))  # noqa: E731
    np.testing.assert_array_equal(draw(temperature=1.0), draw())
    assert draw(temperature=0.5).dtype == np.float32
    for temperature in (0.5, 3, np.float64(0.25), jnp.float32(2.0)):
        expected = location + float(temperature) * (draw() - location)
        np.testing.assert_allclose(draw(temperature=temperature), expected, atol=1e-6)


def test_a_uniform_entry_is_the_same_at_every_temperature():
    density = Uniform((2,), -1.0, 3.0)
    for temperature in (0.5, 4.0):
        cold = density.sample(KEY, 100, temperature=temperature)
        np.testing.assert_array_equal(cold, density.sample(KEY, 100))


def test_the_deviation_of_a_narrow_angle_is_multiplied_and_stays_on_the_circle():
    density = VonMises((2,), 0.5, 400.0)
    for temperature in (0.5, 1.0, 3.0):
        away = np.asarray(density.sample(KEY, 20_000, temperature=temperature)) - 0.5
        np.testing.assert_allclose(away.std(0), temperature / 20.0, rtol=0.03)
    assert np.abs(density.sample(KEY, 1000, temperature=1e3)).max() <= np.float32(np.pi)


@pytest.mark.parametrize("temperature", [float(np.finfo(np.float32).tiny), 1e-6, 1e-3, 1.0])
def test_angles_are_drawn_at_any_temperature(temperature):
    x = np.asarray(VonMises((1,)).sample(KEY, 4000, temperature=temperature))[:, 0]
    assert np.all(np.abs(x) <= np.float32(np.pi))
    if temperature < 1e-30:  # which is narrower than scipy's
        assert np.abs(x).max() < 1e-7
    else:
        law = stats.vonmises(1.0 / temperature**2)
        assert stats.kstest(x.astype(np.float64), law.cdf).pvalue > 1e-4


def test_a_mixture_chooses_its_component_at_the_temperature():
    mixture = Mixture((1,), Normal(), 2, rngs=nnx.Rngs(0))
    mixture.logits[...] = jnp.array([0.0, 1.0])
    mixture.params[...] = jnp.array([[[-100.0, 0.0]], [[100.0, 0.0]]])
    for temperature in (1.0, 0.25, 4.0):
        x = np.asarray(mixture.sample(KEY, 20_000, temperature=temperature))
        share = 1.0 / (1.0 + np.exp(-1.0 / temperature))
        assert np.mean(x > 0) == pytest.approx(share, abs=0.015)
        assert np.std(np.abs(x) - 100.0) == pytest.approx(temperature, rel=0.03)


PARAMS = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
HEADS = {
    "bernoulli": (Bernoulli(), 6),
    "categorical": (Categorical(6), 1),
    "normal": (Normal(), 3),
    "mixture of normals": (GaussianMixture(2), 1),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_at_a_temperature(name):
    head, size = HEADS[name]
    shape = (4000, 5, size)
    params = jnp.broadcast_to(PARAMS, (4000, *PARAMS.shape))
    noise = head.noise(KEY, shape, jnp.float32)

    def draw(temperature=1.0):
        tempered = head.temper(params, noise, (size,), temperature, 1.0)
        return np.asarray(head.sample(*tempered, (size,)))

    np.testing.assert_array_equal(draw(), head.sample(params, noise, (size,)))
    cold = draw(0.5)
    assert (cold.shape, cold.dtype) == (shape, draw().dtype)
    if name == "bernoulli":
        expected = 1.0 / (1.0 + np.exp(-2.0 * PARAMS))
        np.testing.assert_allclose(cold.mean(0), expected, atol=0.04)
    elif name == "categorical":
        weights = np.exp(2.0 * PARAMS)
        expected = weights / weights.sum(-1, keepdims=True)
        counts = (cold == np.arange(6)).mean(0)
        np.testing.assert_allclose(counts, expected, atol=0.04)
    elif name == "normal":
        mean = PARAMS.reshape(5, 3, 2)[..., 0]
        np.testing.assert_allclose(cold - mean, 0.5 * (draw() - mean), atol=1e-5)
    else:
        # Where both temperatures chose the same component, its deviation is halved.
        means = PARAMS[:, 2:4] + np.array([-1.0, 1.0])
        errors = np.abs(cold - means[None] - 0.5 * (draw() - means[None]))
        assert np.mean(errors.min(-1) < 1e-5) > 0.8
        weights = np.exp(2.0 * PARAMS[:, :2])
        expected = np.sum(weights / weights.sum(-1, keepdims=True) * means, -1)
        np.testing.assert_allclose(cold.mean((0, 2)), expected, atol=0.15)


def test_a_flow_takes_its_latents_from_the_base_at_the_temperature(x64):
    flow, context = member("realnvp context")
    flow = to_float64(flow)
    draw = jax.jit(Flow.sample, static_argnums=2, static_argnames="temperature")
    x, cold = (draw(flow, KEY, 3, context, temperature=t) for t in (1.0, 0.5))
    np.testing.assert_array_equal(x, draw(flow, KEY, 3, context))
    infer = jax.jit(Flow.infer)
    np.testing.assert_allclose(infer(flow, cold, context), 0.5 * infer(flow, x, context), atol=1e-9)


@pytest.mark.parametrize("name", ["made categorical"])
def test_every_method_returns_the_same_samples_at_a_temperature(name, x64):
    model, _ = member(name)
    model = to_float64(model)
    draw = jax.jit(
        Autoregressive.sample, static_argnums=2, static_argnames=("method", "temperature")
    )
    x = draw(model, KEY, 20, temperature=0.5)
    assert not np.array_equal(x, draw(model, KEY, 20))
    for method in METHODS[1:]:
        other = draw(model, KEY, 20, method=method, temperature=0.5)
        np.testing.assert_allclose(other, x, atol=1e-12)


def test_models_of_models_pass_it_on():
    flow, _ = member("realnvp vector")
    cold = flow.sample(KEY, 6, temperature=0.5)
    integers = Dequantized(flow, 4).sample(KEY, 6, temperature=0.5)
    np.testing.assert_array_equal(integers, np.clip(np.floor(cold), 0, 3))

    conditional, _ = member("realnvp context")
    embedded = Embedded(conditional, Embedding(3, 2, rngs=nnx.Rngs(0)))
    labels = jnp.array([2, 0])
    np.testing.assert_array_equal(
        embedded.sample(KEY, 2, labels, temperature=0.5),
        conditional.sample(KEY, 2, embedded.embed(labels), temperature=0.5),
    )


def test_an_ensemble_freezes():
    """At a low temperature every order gives its one most likely event."""
    ensemble, _ = member("made ensemble")
    draw = jax.jit(type(ensemble).sample, static_argnums=2, static_argnames="temperature")
    cold = draw(ensemble, KEY, 200, temperature=1e-6)
    assert len(np.unique(np.asarray(cold), axis=0)) <= 3
    assert len(np.unique(np.asarray(draw(ensemble, KEY, 200)), axis=0)) > 8


def test_it_may_be_traced():
    draw = jax.jit(lambda t: StandardNormal((2,)).sample(KEY, 3, temperature=t))
    np.testing.assert_array_equal(draw(1.0), StandardNormal((2,)).sample(KEY, 3))


@pytest.mark.parametrize("scale", [-3.0, -9.0])
def test_a_discretized_mixture_narrows_below_its_smallest_scale(scale):
    head = DiscretizedLogisticMixture(256, 1, min_log_scale=-3.0)
    params = jnp.broadcast_to(jnp.array([0.0, 0.2, scale]), (20_000, 3))
    noise = head.noise(KEY, (20_000,), jnp.float32)

    def spread(temperature):
        return float(jnp.std(head.sample(*head.temper(params, noise, (), temperature, 1.0), ())))

    assert spread(1.0) == pytest.approx(np.pi / np.sqrt(3) * np.exp(-3.0) * 127.5, rel=0.03)
    assert spread(0.1) == pytest.approx(0.1 * spread(1.0), rel=0.05)
    assert spread(1e-6) == 0.0


@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
def test_the_smallest_temperature_gives_the_most_likely_level(name, top_p):
    head, size = HEADS[name]
    params = 5.0 * jnp.asarray(PARAMS)
    noise = head.noise(KEY, (5, size), jnp.float32)
    frozen = head.sample(*head.temper(params, noise, (size,), 1.2e-38, top_p), (size,))
    mode = params > 0 if name == "bernoulli" else params.argmax(-1, keepdims=True)
    np.testing.assert_array_equal(frozen, mode)


@pytest.mark.parametrize("top_p", [0.0, 1.1, np.nan, "a", None, [0.5, 0.5]])
def test_a_nonsensical_nucleus_is_refused(top_p):
    model, _ = member("made binary")
    with pytest.raises(ValueError, match="expected 0 < top_p <= 1, got"):
        model.sample(KEY, 2, top_p=top_p)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf, 1e-39, 1e39, "hot", None])
def test_nonsense_is_refused(temperature):
    with pytest.raises(ValueError, match="expected a positive, finite temperature, from"):
        StandardNormal((2,)).sample(KEY, 2, temperature=temperature)


@pytest.mark.parametrize("name", ["made binary", "flow", "dequantized"])
def test_nonsense_is_refused_by_every_kind_of_model(name):
    model = registry.MODELS[name].make(nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"\.sample: expected a positive, finite temperature"):
        model.sample(KEY, 2, temperature=-1.0)


def test_a_density_of_samples_has_no_temperature():
    with pytest.raises(TypeError, match="temperature"):
        StandardNormal((2,)).sample_and_log_prob(KEY, 2, temperature=0.5)


@pytest.mark.slow
def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = TrainSettings(steps=1, batch_size=16, steps_per_dispatch=1)
    model_args = {"layers": 1, "hidden": []}
    experiment = Recipe("maf", "toy:rings", model_args=model_args, train=settings)
    train(experiment, "run", progress=False)
    for arguments, name in (
        ([], "a"),
        (["--temperature", "1"], "b"),
        (["--temperature", ".5"], "c"),
    ):
        assert main(["sample", "run", "--out", f"{name}.png", *arguments]) == 0
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert pictures[0] == pictures[1] != pictures[2]
    capsys.readouterr()
    assert main(["sample", "run", "--temperature", "-1"]) == 1
    assert capsys.readouterr().err == (
        "jaxgen: Flow.sample: expected a positive, finite temperature, from 1.18e-38 to 3.4e+38, "
        "got -1.0\n"
    )
    assert main(["sample", "run", "--top-p", "0.5"]) == 1
    assert capsys.readouterr().err == (
        "jaxgen: sample: top_p is for autoregressive models, got Flow; use a temperature\n"
    )


def test_the_command_line_of_a_model_of_levels_in_another_shape(tmp_path, monkeypatch):
    """Vectors are read as images, and the nucleus changes what is drawn."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).integers(0, 2, (40, 6)).astype(bool)
    np.savez("bits.npz", train=rows, valid=rows[:8], test=rows[:8])
    settings = TrainSettings(steps=1, batch_size=16, steps_per_dispatch=1)
    experiment = Recipe(
        "made", "npz:bits.npz", event_shape=[2, 3, 1], model_args={"hidden": []}, train=settings
    )
    train(experiment, "run", progress=False)
    assert load("run").event_shape == (2, 3, 1)
    for arguments, name in (([], "a"), (["--top-p", "1"], "b"), (["--top-p", "0.1"], "c")):
        assert main(["sample", "run", "--out", f"{name}.png", *arguments]) == 0
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert pictures[0] == pictures[1] != pictures[2]
    wrong = dataclasses.replace(experiment, event_shape=[2, 2, 1])
    with pytest.raises(ValueError, match="expected an event shape of 6 entries"):
        train(wrong, "other", progress=False)


class Laplace(Likelihood):
    """By the inverse of its distribution function, whose noise no temperature may multiply."""

    params_per_value = 2

    def log_prob(self, value, params):
        mean, log_scale = jnp.moveaxis(self.unpack(params, ()), -1, 0)
        return -jnp.abs(value - mean) * jnp.exp(-log_scale) - log_scale - jnp.log(2.0)

    def noise(self, key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -0.5, 0.5)

    def sample(self, params, noise, position_shape):
        mean, log_scale = jnp.moveaxis(self.unpack(params, position_shape), -1, 0)
        return mean - jnp.exp(log_scale) * jnp.sign(noise) * jnp.log1p(-2 * jnp.abs(noise))


class Tempered(Laplace):
    """The same, whose scale is multiplied."""

    def temper(self, params, noise, position_shape, temperature, top_p):
        return params.at[..., 1].add(jnp.log(temperature)), noise


def test_a_head_of_ones_own_says_what_a_temperature_means():
    def model(head):
        return Autoregressive(MADE((3,), 2, hidden=(4,), rngs=nnx.Rngs(0)), head)

    key = jax.random.key(0)
    plain = model(Laplace()).sample(key, 500)
    with pytest.raises(ValueError, match=r"Laplace: expected a temperature of 1.*Laplace\.temper"):
        model(Laplace()).sample(key, 500, temperature=0.5)
    with pytest.raises(ValueError, match="expected a temperature of 1"):
        jax.jit(lambda t: model(Laplace()).sample(key, 5, temperature=t))(0.5)
    # At its start the network gives every entry the mean 0 and the scale 1.
    np.testing.assert_allclose(
        model(Tempered()).sample(key, 500, temperature=0.5), 0.5 * plain, rtol=1e-5, atol=1e-6
    )
