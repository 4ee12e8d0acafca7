"""Contexts that pass through a network: p(x | class), and networks of one's own."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Chain
from jaxgen.core import ShapeError
from jaxgen.models import Dequantized, Embedded, Flow
from jaxgen.networks import MLP, Embedding
from jaxgen.networks.blocks import dropout
from jaxgen.testing import perturb, to_float64
from jaxgen.training import Batch, TrainSettings, fit

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
LABELS = np.array([0, 1, 1, 0])


def conditional(features=3):
    return zoo.maf((2,), layers=1, hidden=(6,), context_features=features, rngs=nnx.Rngs(0))


def by_class():
    return perturb(Embedded(conditional(), Embedding(2, 3, rngs=nnx.Rngs(1))), KEY)


class Encoder(nnx.Module):
    """Reads a context of shape (2, 2) and drops some of it out in training."""

    input_shape = (2, 2)

    def __init__(self, features, rngs):
        self.mlp = MLP(4, features, hidden=(5,), rngs=rngs)

    def __call__(self, context, *, key=None):
        context = dropout(context, 0.5, key)
        return self.mlp(context.reshape(*context.shape[:-2], 4))


def test_every_class_has_a_normalised_density_of_its_own():
    model = by_class()
    side = np.linspace(-12.0, 12.0, 241)
    grid = np.stack(np.meshgrid(side, side), -1)
    mass, densities = [], []
    for label in (0, 1):
        densities.append(np.exp(jax.jit(Embedded.log_prob)(model, grid, label)))
        mass.append(densities[-1].sum() * (side[1] - side[0]) ** 2)
    np.testing.assert_allclose(mass, 1.0, atol=1e-3)
    assert np.abs(densities[0] - densities[1]).max() > 1e-2


def test_it_is_the_model_given_the_embedding():
    model = by_class()
    embedded = model.network(jnp.asarray(LABELS))
    got = model.log_prob(X, LABELS)
    np.testing.assert_array_equal(got, model.model.log_prob(X, embedded))
    one = model.log_prob(X, 1)  # one label for a whole batch
    np.testing.assert_allclose(one[1:3], got[1:3], rtol=1e-6)
    np.testing.assert_array_equal(
        model.sample(KEY, 3, LABELS), model.model.sample(KEY, 3, embedded)
    )


def test_a_bound_is_bounded_given_the_embedding():
    flow = zoo.maf((2,), layers=1, hidden=(6,), context_features=3, rngs=nnx.Rngs(0))
    model = Embedded(Dequantized(flow, 4), Embedding(2, 3, rngs=nnx.Rngs(1)))
    assert (model.exactness, model.levels) == ("lower_bound", 4)
    x, embedded = np.array([[0, 3], [1, 2], [2, 2], [3, 0]]), model.network(jnp.asarray(LABELS))
    np.testing.assert_array_equal(
        model.importance_log_prob(x, KEY, 3, LABELS),
        model.model.importance_log_prob(x, KEY, 3, embedded),
    )
    with pytest.raises(TypeError, match="no exact log_prob"):
        model.log_prob(x, LABELS)
    with pytest.raises(ValueError, match="levels from 0 to 3, got values from 7 to 7"):
        model.check_data(np.full((1, 2), 7))


def test_a_network_of_ones_own_gets_the_key_and_the_gradient():
    model = perturb(Embedded(conditional(2), Encoder(2, nnx.Rngs(1))), KEY)
    assert model.context_shape == (2, 2)
    context = np.random.default_rng(1).normal(size=(4, 2, 2)).astype(np.float32)
    score = jax.jit(lambda model, key: model.log_prob(X, context, key=key))
    evaluated = score(model, None)
    by_hand = jax.jit(lambda model: model.model.log_prob(X, model.network(context)))(model)
    np.testing.assert_array_equal(evaluated, by_hand)
    assert not np.allclose(evaluated, score(model, KEY))
    bound = jax.jit(lambda model: model.elbo(X, KEY, context, dropout_key=KEY))(model)
    assert not np.allclose(evaluated, bound)
    gradient = jax.jit(jax.grad(lambda m: m.log_prob(X, context).sum()))(model)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(nnx.state(gradient.network)))


def test_training_learns_the_classes_from_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 256)
    x = (rng.normal(size=(256, 2)) + 4.0 * labels[:, None]).astype(np.float32)
    flow = zoo.maf((2,), layers=1, hidden=(8,), context_features=2, rngs=nnx.Rngs(0))
    model = Embedded(flow, Embedding(2, 2, rngs=nnx.Rngs(1)))
    settings = TrainSettings(steps=150, batch_size=64, learning_rate=0.02, ema_decay=0.9)
    trained = fit(model, Batch(x, labels), settings=settings, progress=False).model
    means = np.asarray(trained.sample(KEY, 200, np.arange(2)).mean(axis=(0, 2)))
    np.testing.assert_allclose(means, [0.0, 4.0], atol=0.5)
    with pytest.raises(ValueError, match="Embedding: expected labels from 0 to 1, got values"):
        fit(model, Batch(x, labels + 1), settings=settings, progress=False)


def test_initialize_sees_the_embedded_context():
    layer = registry.maf((2,), nnx.Rngs(0), context_features=3)
    flow = Flow(Chain([ActNorm((2,)), layer]))
    model = perturb(Embedded(flow, Embedding(2, 3, rngs=nnx.Rngs(1))), KEY)
    new = model.initialize(X, KEY, LABELS)
    z = new.model.infer(X, new.embed(LABELS))
    np.testing.assert_allclose(jnp.mean(z, 0), 0.0, atol=1e-6)
    np.testing.assert_allclose(jnp.std(z, 0), 1.0, atol=1e-5)


class Wide(Encoder):
    def __call__(self, context):
        return context


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: Embedded(zoo.maf((2,), rngs=nnx.Rngs(0), hidden=(2,)), Encoder(2, nnx.Rngs(0))),
            ShapeError,
            "expected a conditional model, got an unconditional Flow",
        ),
        (
            lambda: Embedded(conditional(), nnx.Linear(2, 3, rngs=nnx.Rngs(0))),
            TypeError,
            "attribute input_shape.* got a Linear without",
        ),
        (
            lambda: Embedded(conditional(), Wide(3, nnx.Rngs(0))).log_prob(X, np.ones((4, 2, 2))),
            ShapeError,
            r"expected Wide to map contexts of shape \(4, 2, 2\) to \(4, 3\), got \(4, 2, 2\)",
        ),
        (lambda: by_class().log_prob(X), ShapeError, r"context of shape \(\*batch\), got None"),
        (
            lambda: by_class().log_prob(X, np.zeros((4, 3), int)),
            ShapeError,
            r"does not broadcast|expected shape",
        ),
        (lambda: by_class().check_context(np.array([0, 2])), ValueError, "labels from 0 to 1"),
    ],
    ids=["unconditional", "no input_shape", "wrong output", "no context", "rank", "range"],
)
def test_bad_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_class_completes_by_the_ratio_of_its_probabilities(x64):
    made = zoo.made((4,), levels=2, hidden=(6,), context_features=3, rngs=nnx.Rngs(0))
    model = perturb(to_float64(Embedded(made, Embedding(2, 3, rngs=nnx.Rngs(1)))), KEY)
    bits = np.array(list(itertools.product([0, 1], repeat=4)))
    observed = np.array([True, True, False, False])
    assert model.conditions_exactly(observed)
    log_prob = jax.jit(Embedded.log_prob)
    conditional = jax.jit(lambda model, c: model.conditional_log_prob(bits, observed, c))
    for label in (0, 1):
        joint = np.exp(log_prob(model, bits, np.full(16, label))).reshape(4, 4)
        expected = np.log(joint / joint.sum(1, keepdims=True)).reshape(16)
        got = conditional(model, np.full(16, label))
        np.testing.assert_allclose(got, expected, atol=1e-12)
    labels = np.repeat([0, 1], 8)
    complete = jax.jit(
        lambda model: model.complete(KEY, bits, observed, 400, labels, temperature=1.0)
    )
    drawn = complete(model)
    assert drawn.shape == (400, 16, 4)
    np.testing.assert_array_equal(drawn[..., :2], np.broadcast_to(bits[:, :2], (400, 16, 2)))
    share = (drawn[..., 2:] == bits[:, 2:]).all(-1).mean(0)
    chance = np.exp(conditional(model, labels))
    assert np.abs(share - chance).max() < 5 * np.sqrt(0.25 / 400)  # five standard errors


@pytest.mark.parametrize("name", ["complete", "conditional_log_prob", "conditions_exactly"])
def test_only_an_autoregressive_model_has_a_missing_part(name):
    mask = np.array([True, False])
    arguments = {
        "complete": (KEY, X, mask, 2, LABELS),
        "conditional_log_prob": (X, mask, LABELS),
        "conditions_exactly": (mask,),
    }[name]
    with pytest.raises(TypeError, match=f"Flow.{name}: only autoregressive models condition on"):
        getattr(by_class(), name)(*arguments)
