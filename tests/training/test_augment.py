"""Augmentations of a batch: pure functions of examples and a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.runs import Recipe
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood
from jaxgen.training.augment import augmented, crop, flip, named_augmentations

X = np.random.default_rng(0).integers(0, 9, (500, 4, 5, 2), np.uint8)
KEY = jax.random.key(0)


def test_half_of_the_images_are_flipped():
    found = np.asarray(flip(jnp.asarray(X), KEY))
    assert found.dtype == X.dtype
    turned = [np.array_equal(a, b[:, ::-1]) for a, b in zip(found, X, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(found, X, strict=True)]
    assert np.all(np.logical_or(turned, kept))
    assert abs(np.mean(turned) - 0.5) < 4 * 0.5 / np.sqrt(500)
    np.testing.assert_array_equal(found, flip(jnp.asarray(X), KEY))
    assert not np.array_equal(found, flip(jnp.asarray(X), jax.random.key(1)))


def test_images_are_moved_uniformly():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 4] = 1
    found = np.asarray(crop(jnp.repeat(jnp.asarray(image), 9000, axis=0), KEY, 1))
    assert found.sum(axis=(1, 2, 3)).tolist() == [1] * 9000
    counts = found.astype(int).sum(axis=0)[3:6, 3:6, 0]
    assert counts.sum() == 9000
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)  # nine moves


def test_borders_are_repeated():
    image = jnp.arange(9).reshape(1, 3, 3, 1)
    padded = np.pad(np.arange(9).reshape(3, 3), 1, mode="edge")
    windows = {padded[i : i + 3, j : j + 3].tobytes() for i in range(3) for j in range(3)}
    for seed in range(20):
        found = np.asarray(crop(image, jax.random.key(seed), 1))[0, ..., 0]
        assert found.astype(padded.dtype).tobytes() in windows


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["flop"], "did you mean 'flip'"),
        (["crop:x"], "expected crop:PADDING"),
        (["crop:0"], "expected crop:PADDING"),
        (["flip:2"], "expected crop:PADDING"),
    ],
)
def test_names_that_mean_nothing_are_refused(names, said):
    with pytest.raises(ValueError, match=said):
        Recipe("made", "digits", augment=names)
    with pytest.raises(ValueError, match=said):
        named_augmentations(names)


def test_rows_are_no_images():
    for augmentation in (flip, crop):
        with pytest.raises(ShapeError, match="expected images"):
            augmentation(jnp.ones((3, 2)), KEY)
    objective = augmented(negative_log_likelihood, [lambda x, key: x[:1]])
    with pytest.raises(ShapeError, match="augmentation: expected uint8"):
        objective(None, Batch(X), KEY)


def test_a_recipe_trains_on_them_and_validates_without():
    recipe = Recipe("fvsbn", "digits", {"levels": 17}, augment=["flip", "crop:1"])
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    seen = []

    def look(x, key):
        seen.append(x.shape)
        return x

    model = zoo.fvsbn((4, 5, 2), levels=9, rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=4, batch_size=50, steps_per_dispatch=2)

    def trained(objective):
        return fit(model, X, X[:60], settings, objective=objective, progress=False)

    plain = trained(negative_log_likelihood)
    assert trained(augmented(negative_log_likelihood, [look])).history[-1]["valid_loss"] > 0
    assert seen == [(50, 4, 5, 2)]
    other = trained(augmented(negative_log_likelihood, named_augmentations(recipe.augment)))
    assert other.history[-1]["valid_loss"] != plain.history[-1]["valid_loss"]
    again = trained(recipe.resolve_objective())
    assert again.history[-1]["valid_loss"] == other.history[-1]["valid_loss"]
