"""Levels that are names are read as names: by every network, in one pass and step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.likelihoods import Categorical, DiscretizedLogisticMixture
from jaxgen.models import Autoregressive
from jaxgen.testing import check_model, perturb, to_float64
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)
TOKENS, IMAGE = (4,), (2, 2, 1)
PIXELS = {"width": 4, "depth": 1}

# Of every constructor that reads levels: its event, arguments, and whether its row is slow.
MEMBERS = {
    "made": (TOKENS, {"hidden": [6]}, False),
    "nade": (TOKENS, {"width": 4}, False),
    "fvsbn": (TOKENS, {}, False),
    "growing": (TOKENS, {"width": 3}, True),
    "eonade": (TOKENS, {"hidden": [6], "num_orders": 2}, False),
    "recurrent": (TOKENS, {"width": 4}, False),
    "attention": (TOKENS, {"width": 8, "heads": 2, "depth": 1}, False),
    "wavenet": (TOKENS, {"width": 4, "dilations": [1, 2]}, True),
    "pixelcnn": (IMAGE, PIXELS, False),
    "gated_pixelcnn": (IMAGE, {**PIXELS, "depth": 2}, True),
    "pixelcnnpp": (IMAGE, {"width": 4, "blocks": 1, "resolutions": 1, "components": None}, True),
    "lmconv": (IMAGE, {**PIXELS, "num_orders": 2}, True),
    "pixelrnn": (IMAGE, PIXELS, True),
    "multiscale_pixelrnn": (IMAGE, {**PIXELS, "upsampled": 2, "upsampling_blocks": 1}, True),
}
UNUSED = {
    "pixelrnn": ("conditional.layers.right.above",),
}
ROWS = [
    pytest.param(name, marks=[pytest.mark.slow] * slow)
    for name, (*_, slow) in MEMBERS.items()
    if name != "multiscale_pixelrnn"  # which is two of another, see below
]


def build(name, **options):
    event, arguments, _ = MEMBERS[name]
    return zoo.build(name, event, {"levels": 3, **arguments, **options}, rngs=nnx.Rngs(0))


def test_every_constructor_that_reads_levels_has_a_row():
    reading = {name for name, _ in zoo.names() if "inputs" in zoo.hyperparameters(name)}
    # PixelVAE's decoder is a gated PixelCNN; its own likelihood is no exact one.
    assert reading - {"pixelvae"} == set(MEMBERS)


@pytest.mark.parametrize("name", ROWS)
def test_models_of_names_are_what_models_are(name, x64):
    """Normalised, of one distribution by every method, complete and condition alike."""
    model = build(name, inputs="one_hot")
    x = np.random.default_rng(0).integers(0, 3, (4, *MEMBERS[name][0]))
    # Of two rows, no state to the right of a pixel has one above it.
    unused = UNUSED.get(name, ())
    check_model(model, x.astype(np.int32), num_samples=500, eager=False, unused=unused)


@pytest.mark.slow
def test_images_of_two_scales_are_read_as_numbers_by_what_makes_them_larger(x64):
    model = to_float64(perturb(build("multiscale_pixelrnn", inputs="one_hot"), KEY))
    every = np.indices((3,) * 4).reshape(4, -1).T.reshape(-1, *IMAGE)
    nats = jax.jit(type(model).log_prob)(model, every)
    assert float(jnp.sum(jnp.exp(nats))) == pytest.approx(1.0, abs=1e-9)
    draw = jax.jit(lambda model, method: model.sample(KEY, 60, method=method), static_argnums=1)
    np.testing.assert_array_equal(draw(model, "incremental"), draw(model, "naive"))


@pytest.mark.parametrize("name", ["made", "attention", "pixelcnn"])
def test_a_name_is_no_number(name, x64):
    """What follows a level says nothing of what follows the levels beside it."""
    event, _, _ = MEMBERS[name]
    by_hand = {}
    for inputs in ("scalar", "one_hot", "both"):
        model = build(name, inputs=inputs)
        model = to_float64(perturb(model, KEY))
        x = jnp.zeros((3, 4), int).at[:, 0].set(jnp.arange(3)).reshape(3, *event)
        params = model.network(model.likelihood.encode(x))
        by_hand[inputs] = params.reshape(3, 4, 3)[:, 1]
        assert np.all(params.reshape(3, 4, 3)[:, 0] == params.reshape(3, 4, 3)[:1, 0])
        shape = model.likelihood.encode(x).shape[x.ndim :]
        assert shape == {"scalar": (), "one_hot": (3,), "both": (4,)}[inputs]
        assert model.event_shape == event
    assert not np.allclose(by_hand["one_hot"], by_hand["scalar"])


@pytest.mark.parametrize(
    ("name", "event", "options", "expected"),
    [
        ("attention", (8,), {"levels": 5}, "one_hot"),
        ("recurrent", (8, 2), {"levels": 5}, "one_hot"),
        ("made", (8,), {"levels": 5}, "one_hot"),
        ("wavenet", (8,), {"levels": 256}, "one_hot"),
        ("wavenet", (8,), {"levels": 256, "components": 2}, "scalar"),
        ("attention", (4, 2, 1), {"levels": 17}, "scalar"),
        ("pixelcnn", (4, 2, 1), {"levels": 17}, "scalar"),
        ("attention", (4, 2, 1), {"levels": 17, "inputs": "both"}, "both"),
        ("attention", (8,), {"levels": 17, "inputs": "scalar"}, "scalar"),
    ],
)
def test_what_is_read_follows_from_the_head(name, event, options, expected):
    model = zoo.build(name, event, options, rngs=nnx.Rngs(0))
    assert model.likelihood.inputs == expected
    assert model.event_shape == event


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: zoo.made((4,), inputs="one_hot", rngs=nnx.Rngs(0)), ValueError, "levels=2"),
        (lambda: Categorical(3, "embedded"), ValueError, "embedded.*one_hot"),
        (
            lambda: Autoregressive(MADE((4,), 3, rngs=nnx.Rngs(0)), Categorical(3, "one_hot")),
            ShapeError,
            r"reads 3 numbers for a level.*got one of positions \(\)",
        ),
    ],
)
def test_refuses_what_cannot_be_read(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_mixture_of_logistics_may_read_names():
    head = DiscretizedLogisticMixture(4, 2, inputs="both")
    network = MADE((3,), head.num_params(()), hidden=(5,), position_shape=(5,), rngs=nnx.Rngs(0))
    model = Autoregressive(network, head)
    assert model.event_shape == (3,)
    check_model(model, np.array([[0, 1, 3], [2, 2, 0]], np.int32), num_samples=500, eager=False)


def test_names_are_learned_where_numbers_are_not():
    """A cycle through levels in no order: a step of a linear model needs them apart."""
    rng = np.random.default_rng(0)
    order = rng.permutation(12)
    following = np.empty(12, int)
    following[order] = np.roll(order, -1)
    x = np.empty((2000, 6), np.int32)
    x[:, 0] = rng.integers(0, 12, 2000)
    for t in range(1, 6):
        x[:, t] = following[x[:, t - 1]]
    settings = TrainSettings(steps=150, batch_size=64, learning_rate=3e-2)
    nats = {}
    for inputs in ("scalar", "one_hot"):
        model = zoo.fvsbn((6,), levels=12, inputs=inputs, rngs=nnx.Rngs(0))
        model = fit(model, x, settings=settings, progress=False).model
        nats[inputs] = float(jax.jit(Autoregressive.log_prob)(model, x).mean())
    assert nats["one_hot"] > -np.log(12) - 0.5  # the first level is all there is to know
    assert nats["one_hot"] > nats["scalar"] + 5.0
