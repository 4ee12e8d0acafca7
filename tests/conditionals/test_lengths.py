"""Networks that know of no positions: the same model over sequences of another length."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.conditionals import Markov, WaveNet
from jaxgen.models import Embedded
from jaxgen.networks import Embedding
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
X = np.asarray(jax.random.randint(KEY, (4, 8), 0, 3))
SIZES = {"width": 4, "skip_width": 4, "dilations": (1, 2)}


def labelled():
    base = zoo.wavenet((8,), levels=3, context_features=2, **SIZES, rngs=nnx.Rngs(0))
    return Embedded(base, Embedding(3, 2, rngs=nnx.Rngs(1)))


MODELS = {
    "a shared chain": lambda: zoo.markov((8,), levels=3, parents=2, shared=True, rngs=nnx.Rngs(0)),
    "a shared linear chain": lambda: zoo.markov(
        (8,), levels=None, parents=1, shared=True, rngs=nnx.Rngs(0)
    ),
    "a WaveNet": lambda: zoo.wavenet((8,), levels=3, **SIZES, rngs=nnx.Rngs(0)),
    "a labelled WaveNet": labelled,
    "a recurrent network": lambda: zoo.recurrent((8,), levels=3, width=4, rngs=nnx.Rngs(0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_shorter_model_is_the_beginning_of_the_longer(name, x64):
    model = to_float64(perturb(MODELS[name](), KEY, 0.3))
    context = None if model.context_shape is None else np.arange(4) % 3
    x = X if model.levels else X + 0.5
    long = model.with_length(20).with_length(8)
    np.testing.assert_array_equal(long.log_prob(x, context), model.log_prob(x, context))
    short = model.with_length(5)
    assert (short.event_shape, short.grid_shape) == ((5,), (5,))
    expected = model.log_prob(x, context, lengths=np.full(4, 5))
    np.testing.assert_allclose(short.log_prob(x[:, :5], context), expected, rtol=1e-12)
    longer = model.with_length(11).sample(KEY, 4, None if context is None else context[0])
    assert longer.shape == (4, 11)


def test_a_local_context_is_of_the_new_length(x64):
    network = WaveNet((6,), (), 1, context_features=2, local=True, **SIZES, rngs=nnx.Rngs(0))
    network = perturb(to_float64(network), KEY)
    x, context = jax.random.normal(KEY, (2, 6)), jax.random.normal(KEY, (2, 6, 2))
    short = network.with_length(4)
    assert short.context_shape == (4, 2)
    given = short(x[:, :4], context[:, :4])
    np.testing.assert_allclose(given, network(x, context)[:, :4], rtol=1e-12)


REFUSED = {
    "positions with tables of their own": (
        lambda: Markov((8,), 1, parents=1, values=(0.0, 1.0)).with_length(4),
        TypeError,
        "Markov is of one length; a recurrent network, a WaveNet and a Markov chain of one",
    ),
    "fewer positions than parents": (
        lambda: Markov((8,), 1, parents=3, values=(0.0, 1.0), shared=True).with_length(3),
        ValueError,
        "expected more than 3 positions, a position's parents, got 3",
    ),
    "a network of positions": (
        lambda: zoo.made((8,), hidden=(4,), rngs=nnx.Rngs(0)).with_length(4),
        TypeError,
        "MADE is of one length",
    ),
    "a flow": (
        lambda: zoo.maf((8,), layers=1, hidden=(4,), rngs=nnx.Rngs(0)).with_length(4),
        TypeError,
        "Flow.with_length: only autoregressive models whose network knows of no positions",
    ),
    "no length": (lambda: MODELS["a WaveNet"]().with_length(0), ValueError, "length"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_of_one_length_say_so(name):
    call, error, said = REFUSED[name]
    with pytest.raises(error, match=said):
        call()
