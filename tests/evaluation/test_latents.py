"""Pictures of latents, and what is used of them, where both are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError, zoo
from jaxgen.bijectors import ActNorm, Flip
from jaxgen.data import Dataset
from jaxgen.evaluation import (
    attribute_vectors,
    divergence_plot,
    evaluate,
    latent_map,
    reconstruction_grid,
    sample_grid,
    traversal_grid,
    traverse,
)
from jaxgen.likelihoods import Normal
from jaxgen.models import VAE, Factorized, Flow, StandardNormal
from jaxgen.models.latent_use import latent_use

KEY = jax.random.key(0)
FLOW = Flow(Flip(), StandardNormal((3,)))  # whose latents are the data the other way round
X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


class Half(nnx.Module):
    """A posterior that knows the first of two latents, and nothing of the second."""

    def __call__(self, x):
        zero = jnp.zeros(x.shape[:-1])
        # A mean and a log-scale for each.
        return jnp.stack([x[..., 0], zero - 1.0, zero, zero], axis=-1)


def half(latents=2):
    decoder = Factorized(nnx.Linear(2, 6, rngs=nnx.Rngs(0)), Normal(), (3,), context_shape=(2,))
    posterior = Factorized(Half(), Normal(), (latents,), context_shape=(3,))
    return VAE(StandardNormal((latents,)), decoder, posterior)


def test_what_is_used_of_the_latents_is_in_closed_form():
    use = latent_use(half(), X, key=KEY, batch_size=20)
    expected = 0.5 * (np.exp(-2.0) + np.mean(X[:, 0] ** 2) - 1.0) + 1.0
    np.testing.assert_allclose(use.divergence, [expected, 0.0], rtol=1e-5)
    np.testing.assert_allclose(use.variance, [X[:, 0].var(), 0.0], rtol=1e-5)
    assert use.active_units == 1


def test_a_record_says_what_is_used_and_the_bound_beside_the_estimate():
    record = evaluate(half(), Dataset("points", "test", X), num_samples=20)
    assert record.active_units == 1
    assert record.divergence[0] > 0.0
    assert record.divergence[1] == 0.0
    assert record.elbo < record.value
    assert f"; ELBO {record.elbo:.4f} ± " in str(record)
    assert str(record).endswith(", 1 active units")
    one = evaluate(half(), Dataset("points", "test", X))
    assert one.elbo is None
    assert one.active_units == 1


def test_what_has_no_posterior_says_so():
    with pytest.raises(TypeError, match="only latent-variable models have a posterior: a VAE"):
        latent_use(FLOW, X, key=KEY)


def test_a_traversal_moves_one_dimension_alone():
    values = np.array([-1.0, 0.0, 2.0])
    moved = np.asarray(traverse(FLOW, X[:4], 0, values))
    assert moved.shape == (3, 4, 3)
    np.testing.assert_array_equal(moved[..., 2], np.repeat(values[:, None], 4, 1))
    np.testing.assert_array_equal(moved[..., :2], np.broadcast_to(X[:4, :2], (3, 4, 2)))
    for dimension in (-1, 3):
        with pytest.raises(ValueError, match=f"a dimension from 0 to 2, got {dimension}"):
            traverse(FLOW, X, dimension, values)


def test_the_direction_of_a_class_is_the_difference_of_means():
    labels = np.arange(50) % 2
    vectors = attribute_vectors(FLOW, X, labels)
    z = X[:, ::-1].astype(np.float64)
    expected = z[labels == 1].mean(0) - z[labels == 0].mean(0)
    np.testing.assert_allclose(vectors, [-expected, expected], rtol=1e-6)
    with pytest.raises(ShapeError, match="a label for each of 50 examples, got shape"):
        attribute_vectors(FLOW, X, labels[:3])
    with pytest.raises(ValueError, match="two classes or more, got 1"):
        attribute_vectors(FLOW, X, np.zeros(50, int))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_map_shows_every_example(dimensions):
    model = Flow(ActNorm((dimensions,)))
    figure = latent_map(model, X[:, :dimensions], np.arange(50) % 3)
    points = figure.axes[0].collections[0].get_offsets()
    assert points.shape == (50, 2)
    if dimensions == 3:  # the plane in which they vary most
        assert points[:, 0].var() >= points[:, 1].var() >= np.min(X.var(axis=0)) * 0.9
        assert "principal direction 1" in figure.axes[0].get_xlabel()
    else:
        np.testing.assert_allclose(points[:, 0], X[:, 0], rtol=1e-6)
    assert [each.get_text() for each in figure.legends[0].get_texts()] == ["0", "1", "2"]


def test_pictures_of_images():
    model = zoo.vae((4, 4, 1), latents=2, hidden=(4,), rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).integers(0, 2, (5, 4, 4, 1))
    shown = reconstruction_grid(model, x, key=KEY).axes[0].images[0].get_array()
    np.testing.assert_array_equal(np.asarray(shown)[:4, :4], x[0, ..., 0])
    grid = traversal_grid(model, x[0], [1, 0], np.linspace(-2, 2, 5))
    expected = sample_grid(np.zeros((10, 4, 4, 1)), 2, columns=5)
    shapes = [each.axes[0].images[0].get_array().shape for each in (grid, expected)]
    assert shapes[0] == shapes[1]
    bars = divergence_plot([0.5, 2.0], 1).axes[0]
    assert [bar.get_height() for bar in bars.patches] == [2.0, 0.5]
    assert "1 are active" in bars.get_xlabel()


def test_models_without_latents_are_refused():
    for call in (
        lambda: traverse(StandardNormal((3,)), X, 0, np.zeros(2)),
        lambda: latent_map(StandardNormal((3,)), X),
        lambda: reconstruction_grid(StandardNormal((3,)), X),
        lambda: attribute_vectors(StandardNormal((3,)), X, np.arange(50) % 2),
    ):
        with pytest.raises(TypeError, match=r"only models with latents .* a VAE"):
            call()
