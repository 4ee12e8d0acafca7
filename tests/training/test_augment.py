"""Augmentations of a batch: pure functions of examples and a key."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import load, zoo
from jaxgen.core import ShapeError
from jaxgen.data import Dataset
from jaxgen.runs import Recipe, evaluate_run, train
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood
from jaxgen.training.augment import augmented, binarize, crop, flip, named_augmentations


class Items:
    """Examples that are read one by one."""

    def __init__(self, x):
        self._x = x

    def __len__(self):
        return len(self._x)

    def __getitem__(self, row):
        return self._x[row]


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
        (["crop:x"], "expected crop:PADDING of 1 or more"),
        (["crop:0"], "expected crop:PADDING"),
        (["flip:2"], "expected flip without a number"),
        (["binarize:1"], "expected binarize:LEVELS of 2 or more"),
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
    assert set(seen) == {X.shape, (50, 4, 5, 2)}  # what is checked at first, and a step
    other = trained(augmented(negative_log_likelihood, named_augmentations(recipe.augment)))
    assert other.history[-1]["valid_loss"] != plain.history[-1]["valid_loss"]
    again = trained(recipe.resolve_objective())
    assert again.history[-1]["valid_loss"] == other.history[-1]["valid_loss"]


def test_ones_come_with_the_probability_that_grey_is():
    grey = jnp.tile(jnp.array([0, 4, 8, 16], jnp.uint8), (8000, 1))
    drawn = np.asarray(binarize(grey, KEY, levels=17))
    assert drawn.dtype == np.uint8
    assert set(np.unique(drawn)) == {0, 1}
    expected = np.array([0, 0.25, 0.5, 1.0])
    spread = np.sqrt(expected * (1 - expected) / 8000)
    assert np.all(np.abs(drawn.mean(axis=0) - expected) <= 4 * spread)
    with pytest.raises(ValueError, match="binarize: expected integers from 0 to 3"):
        binarize(grey, KEY, levels=4)


def test_a_model_of_ones_trains_on_grey_examples_that_are_drawn_anew():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 17, (400, 4, 4, 1)).astype(np.uint8)
    model = zoo.made((4, 4, 1), levels=2, hidden=(8,), rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=4, batch_size=50, steps_per_dispatch=2)
    drawing = augmented(negative_log_likelihood, [functools.partial(binarize, levels=17)])
    valid = Dataset("grey", "valid", x[:100], levels=17).binarized()

    def trained(data, objective=drawing):
        return fit(model, data, valid, settings, objective=objective, progress=False)

    in_memory = trained(x)
    assert np.isfinite(in_memory.history[-1]["valid_loss"])
    stored = trained(Items(x))
    assert stored.history[-1]["valid_loss"] == in_memory.history[-1]["valid_loss"]
    with pytest.raises(ValueError, match="binarize the data first"):
        trained(x, negative_log_likelihood)
    with pytest.raises(ValueError, match="binarize: expected integers from 0 to 16"):
        trained(x + 1)


def test_layers_are_initialised_from_what_the_model_sees():
    flow = zoo.maf((3,), layers=2, hidden=(4,), rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)

    def shifted(x, key):
        return x + 1000.0

    settings = TrainSettings(steps=1, batch_size=32, learning_rate=0.0)
    result = fit(
        flow,
        x,
        None,
        settings,
        objective=augmented(negative_log_likelihood, [shifted]),
        progress=False,
    )
    near, far = (float(result.model.log_prob(x + by).mean()) for by in (1000.0, 0.0))
    assert near > -10 > far


def test_runs_in_fewer_levels_and_of_binarized_data(tmp_path):
    settings = TrainSettings(steps=2, batch_size=50, steps_per_dispatch=2)
    binary = Recipe(
        "made", "digits", {"levels": 2, "hidden": [8]}, augment=["binarize:17"], train=settings
    )
    coarse = Recipe("made", "digits", {"levels": 4, "hidden": [8]}, quantize=4, train=settings)
    for name, recipe, data in (
        ("binary", binary, "digits binarized"),
        ("coarse", coarse, "digits in 4 levels"),
    ):
        train(recipe, tmp_path / name, progress=False)
        record = evaluate_run(tmp_path / name)
        assert record.data == data
        assert record.data_sha256 == recipe.load_data("test").sha256
        assert load(tmp_path / name).levels == recipe.model_args["levels"]


def test_the_data_of_a_binarizing_recipe_are_ones_drawn_once():
    recipe = Recipe("made", "digits", {"levels": 2, "hidden": [8]}, augment=["binarize:17"])
    test, again = recipe.load_data("test"), recipe.load_data("test")
    assert (test.levels, test.name) == (2, "digits binarized")
    assert set(np.unique(test.x)) == {0, 1}
    assert test.sha256 == again.sha256 != recipe.load_data("valid").sha256
    assert recipe.load_examples("train").levels == 17
    with pytest.raises(ValueError, match="binarize: expected 256 levels, got those of"):
        Recipe("made", "digits", augment=["binarize"]).load_data("test")
