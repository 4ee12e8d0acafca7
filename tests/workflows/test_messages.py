"""What is said to a user whose own class is incomplete, or whose data are of another kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Standardize
from jaxgen.conditionals import Conditional
from jaxgen.core import partition
from jaxgen.functional import companding
from jaxgen.functional.autoregressive import Cache
from jaxgen.likelihoods import Bernoulli, Columns, Normal, Poisson
from jaxgen.models import (
    Autoregressive,
    Dequantized,
    Embedded,
    Flow,
    Mixture,
    Model,
    StandardNormal,
)
from jaxgen.networks import Embedding

KEY = jax.random.key(0)
X = jnp.zeros((4, 3))
BITS = jnp.zeros((4, 3), int)


class NoShape(Model):
    """It forgets its event's shape."""

    def log_prob(self, x, context=None, *, key=None):
        return jnp.zeros(4)


class NoSamples(Model):
    """It only scores."""

    event_shape = (3,)

    def log_prob(self, x, context=None, *, key=None):
        return jnp.zeros(x.shape[:-1])


class NoScores(Model):
    """It only samples."""

    event_shape = (3,)

    def _draw(self, key, batch, context, how):
        return jnp.zeros((*batch, 3))


class NoCache(Conditional):
    """Its cache is an array, and there is no step."""

    def __init__(self):
        super().__init__((3,), 1)

    def init_cache(self, batch, context=None, order=None):
        return jnp.zeros(batch)


class NoStep(NoCache):
    def init_cache(self, batch, context=None, order=None):
        return Cache(None, jnp.zeros(batch))


class LosesItsCache(NoStep):
    def step(self, cache, t, x_previous):
        return jnp.zeros((*x_previous.shape, 1))


class OtherParameters(NoStep):
    def step(self, cache, t, x_previous):
        return jnp.zeros((*x_previous.shape, 2)), cache


def binary(network):
    return Autoregressive(network(), Bernoulli())


def flow():
    return zoo.maf((3,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))


TABLE = np.array([[1.0, "red", 3], [2.0, "blue", 4]], object)

SAID = {
    # classes of one's own
    "a model without a shape": (
        lambda: NoShape().log_prob(X),
        "NoShape.log_prob: expected a model that sets event_shape",
    ),
    "a model without samples": (
        lambda: NoSamples().sample(KEY, 2),
        "NoSamples defines neither sample nor _draw",
    ),
    "a base without samples": (
        lambda: Flow(ActNorm((3,)), NoSamples()).sample(KEY, 2),
        "NoSamples defines neither",
    ),
    "a model without scores": (lambda: NoScores().log_prob(X), "NoScores defines no log_prob"),
    "a cache that is none": (
        lambda: binary(NoCache).log_prob(BITS),
        r"NoCache\.init_cache: expected a .*Cache\(fixed, state\), got float32\(4,\)",
    ),
    "no step": (lambda: binary(NoStep).log_prob(BITS), "NoStep defines no step"),
    "a step that gives no cache": (
        lambda: binary(LosesItsCache).log_prob(BITS),
        r"LosesItsCache\.step: expected it to return \(params, cache\), got",
    ),
    "a step of other parameters": (
        lambda: binary(OtherParameters).sample(KEY, 4),
        r"OtherParameters\.step: expected it to return params of shape \(4, 1\), got \(4, 2\)",
    ),
    "a class for an object": (
        lambda: Flow(ActNorm, StandardNormal((3,))),
        "Flow: expected a Bijector for bijector, got the class",
    ),
    # data
    "a table of objects": (
        lambda: flow().log_prob(TABLE),
        r"Flow\.log_prob: expected an array .* got object\(2, 3\); convert its .*Dequantized",
    ),
    "a table of objects to a layer": (
        lambda: ActNorm((3,)).inverse(TABLE),
        r"ActNorm.*object\(2, 3\); convert its columns",
    ),
    "masked values": (
        lambda: flow().log_prob(np.ma.masked_array(np.ones(3), [0, 1, 0])),
        "got 1 masked values; fill them first",
    ),
    "a key that is a seed": (
        lambda: flow().sample(0, 2),
        r"Flow\.sample: expected one random key for key, as jax\.random\.key\(0\), got 0",
    ),
    "many keys": (
        lambda: flow().sample(jax.random.split(KEY), 2),
        r"Flow\.sample: expected one random key .* got key<fry>\(2,\)",
    ),
    "levels that would wrap around": (
        lambda: binary_model().log_prob(np.full((1, 3), 2**32)),
        "expected integers that int32 can hold for x, got values from 4294967296",
    ),
    "numbers beyond float32": (
        lambda: flow().log_prob([1e300] * 3),
        r"Flow\.log_prob: expected numbers that float32 can hold for x, up to 3\.4e\+38, got 1e",
    ),
    "a scale beyond float32": (
        lambda: Standardize((3,), scale=1e300),
        "Standardize: expected numbers that float32 can hold for scale, .* got 1e.300",
    ),
    "a mask for one event": (
        lambda: binary_model().complete(KEY, BITS[0], np.ones(2, bool), 1),
        r"expected a boolean mask of shape \(3,\), got bool\(2,\)$",
    ),
    "a mask for many events": (
        lambda: binary_model().complete(KEY, BITS, np.ones(2, bool), 1),
        r"of shape \(3,\), or \(4, 3\) for a mask of its own for every event, got bool\(2,\)$",
    ),
    # numbers that are none
    "parameters that are nan": (
        lambda: damaged(flow()).log_prob(X),
        r"^Flow\.log_prob: expected finite latents of finite data, got NaN; "
        r"bijector\.layers\.0\..* holds NaN$",
    ),
    "parameters that are nan, to the latents": (
        lambda: damaged(flow()).infer(X),
        r"^Flow\.infer: expected finite latents of finite data, got NaN; ",
    ),
    # densities and masses
    "levels as the base of a flow": (
        lambda: Flow(ActNorm((3,)), binary_model()),
        "Flow: expected a density of real values for base, got a model of 2 levels, "
        "Autoregressive; .*Dequantized",
    ),
    "counts as the base of a flow": (
        lambda: Flow(ActNorm((3,)), Mixture((3,), Poisson(), 2, rngs=nnx.Rngs(0))),
        "for base, got a model of inf levels, Mixture",
    ),
    "mixed columns as the base of a flow": (
        lambda: Flow(ActNorm((3,)), zoo.tabular((3,), columns=MIXED, rngs=nnx.Rngs(0))),
        "for base, got a model of integers in some columns, Ensemble",
    ),
    "a mixture of mixed columns as the base of a flow": (
        lambda: Flow(ActNorm((2,)), mixed_mixture()),
        "for base, got a model of integers in some columns, Mixture",
    ),
    "levels before a network as the base of a flow": (
        lambda: Flow(ActNorm((3,)), Embedded(given_model(), Embedding(2, 2, rngs=nnx.Rngs(0)))),
        "for base, got a model of 2 levels, Embedded",
    ),
    "levels to be made levels": (
        lambda: Dequantized(binary_model(), 4),
        "Dequantized: expected a density of real values for flow, got a model of 2 levels",
    ),
    "levels as noise": (
        lambda: Dequantized(flow(), 4, noise=binary_model()),
        "Dequantized: expected a density of real values for noise, got a model of 2 levels",
    ),
    # sound
    "sound of nan": (
        lambda: companding.encode(np.array([0.0, np.nan])),
        "encode: expected samples from -1 to 1, got nan",
    ),
    "sound of integers": (
        lambda: companding.encode(np.zeros(3, np.int16)),
        "encode: expected real samples from -1 to 1, got int16; 16-bit sound goes to from_pcm",
    ),
    "sound of another unit": (
        lambda: companding.encode(np.array([0.0, -300.0])),
        r"expected samples from -1 to 1, got -300\.0; 16-bit",
    ),
    "real sound as 16 bits": (
        lambda: companding.from_pcm(np.zeros(3)),
        "from_pcm: expected int16, got float64; real samples from -1 to 1 go to encode",
    ),
    "codes that are none": (
        lambda: companding.decode(np.array([0, 256])),
        r"decode: expected codes 0\.\.255, got 256",
    ),
    "real codes": (
        lambda: companding.decode(np.array([0.5])),
        r"decode: expected integer codes 0\.\.255, got float64",
    ),
}


MIXED = ("real", "binary", "count")


def damaged(model):
    """The same with NaN for every trained number."""
    params, merge = partition(model)
    return merge(jax.tree.map(lambda leaf: leaf * jnp.nan, params))


def given_model():
    return zoo.made((3,), hidden=(4,), context_features=2, rngs=nnx.Rngs(0))


def mixed_mixture():
    return Mixture((2,), Columns([Normal(), Bernoulli()]), 2, rngs=nnx.Rngs(0))


def binary_model():
    return zoo.made((3,), hidden=(4,), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("mistake", SAID)
def test_what_is_said(mistake):
    act, said = SAID[mistake]
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=said):
        act()


def test_the_largest_floats_are_no_mistake():
    largest = float(np.finfo(np.float32).max)
    assert np.isneginf(flow().log_prob([largest] * 3))
    assert np.isneginf(StandardNormal((3,)).log_prob([np.inf, 0.0, -np.inf]))


def test_real_columns_have_units_beside_columns_of_whole_numbers():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(50.0, 9.0, 64), rng.integers(0, 2, 64)], 1).astype(np.float32)
    units = mixed_mixture().standardize(x, None).units
    assert units.mean[...].tolist() == pytest.approx([x[:, 0].mean(), 0.0])
    assert jnp.exp(units.log_scale[...]).tolist() == pytest.approx([x[:, 0].std(), 1.0])


def test_sound_that_overshoots_is_clipped():
    assert companding.encode(np.array([-1.3, 1.3])).tolist() == [0, 255]
    assert companding.encode(jnp.array([-1.3, 1.3])).tolist() == [0, 255]


def test_nothing_is_looked_at_under_a_trace():
    jax.jit(companding.encode)(jnp.array([jnp.nan, 300.0]))
    model = flow()
    assert not np.isfinite(jax.jit(Flow.log_prob)(model, jnp.full((1, 3), jnp.nan))).any()
