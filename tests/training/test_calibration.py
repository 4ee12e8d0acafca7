"""Training a model with statistics: what is validated, saved and returned is calibrated."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors import ActNorm, BatchNorm, Chain
from jaxgen.models import Flow
from jaxgen.models.scoring import score
from jaxgen.training import TrainSettings, fit, start
from jaxgen.training.checkpoints import Checkpoints

SETTINGS = TrainSettings(
    steps=6,
    batch_size=8,
    learning_rate=0.1,
    schedule="constant",
    steps_per_dispatch=1,
    eval_every=6,
    checkpoint_every=3,
)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(2.0, 3.0, size=(40, 2)).astype(np.float32)


def normalised():
    """The actnorm is nearer to the data: training it makes the statistics stale."""
    return Flow(Chain([BatchNorm((2,)), ActNorm((2,))]))


def train(x, valid=None, out=None):
    return fit(normalised(), x, valid, SETTINGS, out=out, progress=False)


def statistics(model, x):
    """The stored statistics, and those of the data where they arrive."""
    norm, actnorm = model.bijector.layers
    inner = np.asarray(actnorm.inverse(jnp.asarray(x)))
    stored = np.stack([norm.mean[...], norm.log_var[...]])
    return stored, np.stack([inner.mean(0), np.log(inner.var(0) + norm.eps)])


def test_the_returned_model_has_the_statistics_of_the_training_data(x):
    result = train(x)
    stored, actual = statistics(result.model, x)
    np.testing.assert_allclose(stored, actual, atol=1e-5)
    stored, actual = statistics(result.state.ema_model, x)  # stale, as training left them
    assert np.abs(stored - actual).max() > 1e-3


def test_validation_scores_the_calibrated_model(x):
    result = train(x, x[:10])
    assert result.best_step == 6
    expected = -score(result.model, x[:10]).mean()
    assert result.history[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)
    stale = -score(result.state.ema_model, x[:10]).mean()
    assert abs(stale - expected) > 1e-3


def test_checkpoints_hold_the_calibrated_model(x, tmp_path):
    result = train(x, out=tmp_path)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        saved = checkpoints.restore_model(normalised())[1]
    np.testing.assert_array_equal(saved.log_prob(x), result.model.log_prob(x))


def test_large_data_calibrate_by_a_part_of_them(x, monkeypatch):
    monkeypatch.setattr(start, "CALIBRATION_EXAMPLES", 5)
    rows = np.random.default_rng(SETTINGS.seed).permutation(len(x))[:5]
    stored, actual = statistics(train(x).model, x[rows])
    np.testing.assert_allclose(stored, actual, atol=1e-5)


def test_a_model_without_statistics_is_not_calibrated(x, monkeypatch):
    def refuse(self, *args):
        raise AssertionError("calibrated")

    monkeypatch.setattr(Flow, "calibrate", refuse)
    fit(Flow(ActNorm((2,))), x, x, SETTINGS, progress=False)
    with pytest.raises(AssertionError, match="calibrated"):
        train(x)
