"""A second training of the same kind compiles nothing, and keeps nothing that it need not."""

import dataclasses
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm
from jaxgen.models import Flow
from jaxgen.training import Batch, TrainSettings, TrainState, compiled, fit, negative_log_likelihood
from jaxgen.training.sharding import mesh_for, shardings

SETTINGS = TrainSettings(steps=3, batch_size=4, learning_rate=0.01, steps_per_dispatch=2)
X = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)


def trained(model, x=X, valid=None, **options):
    settings = dataclasses.replace(SETTINGS, **options.pop("settings", {}))
    return fit(model, x, valid, settings, progress=False, **options)


def flow(seed=0, hidden=(4,)):
    return zoo.maf((2,), layers=2, hidden=hidden, rngs=nnx.Rngs(seed))


# A quick one for each way that a model is made of parts; the others are slow.
QUICK = ("maf", "nice", "made binary", "recurrent")


MEMBERS = [
    pytest.param(example, marks=[] if name in QUICK else [pytest.mark.slow], id=name)
    for name, example in registry.MODELS.items()
]


@pytest.mark.parametrize("example", MEMBERS)
def test_a_second_fit_of_the_same_kind_compiles_nothing(example, compilations):
    """Of a new model of the same structure; with validation, and a last dispatch that is short."""
    models = [example.make(nnx.Rngs(seed)) for seed in (0, 1)]
    context = example.context(models[0])
    x = np.concatenate([example.data(models[0].levels)] * 3)
    if models[0].levels is None:
        x = x.astype(np.float32)
    data = x if context is None else (x, np.concatenate([context] * 3))
    trained(models[0], data, data)
    compilations.clear()
    result = trained(models[1], data, data)
    assert compilations == []
    assert np.isfinite(result.history[-1]["valid_loss"])


def test_fitting_the_result_again_compiles_nothing(compilations):
    result = trained(flow())
    compilations.clear()
    trained(result.model, 2 * X)
    assert compilations == []


def losses(**options):
    return [row["loss"] for row in trained(Flow(ActNorm((2,))), **options).history]


CHANGES = {
    "the learning rate": {"learning_rate": 0.1},
    "the schedule": {"schedule": "constant"},
    "a warm-up": {"warmup_steps": 2},
    "the optimizer": {"optimizer": "sgd"},
    "an argument of it": {"optimizer_args": {"b1": 0.1}},
    "clipping": {"clip_norm": 1e-3, "optimizer": "sgd"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_settings_are_another_program(name):
    start = {"optimizer": CHANGES[name].get("optimizer", "adam")}
    before = losses(settings=start if name != "the optimizer" else {})
    assert losses(settings=CHANGES[name]) != before


def test_a_decay_of_kernels_and_another_average_are_other_programs():
    plain, decayed, averaged = (
        trained(flow(), settings=settings)
        for settings in ({}, {"weight_decay": 0.5}, {"ema_decay": 0.0})
    )
    same = [
        jax.tree.all(jax.tree.map(jnp.array_equal, plain.model, other.model))
        for other in (decayed, averaged)
    ]
    assert not any(same)


def test_an_objective_of_ones_own_is_read_anew():
    """What it reads from outside may have changed, which no key could tell."""
    scale = [1.0]

    def objective(model, batch, key):
        return scale[0] * negative_log_likelihood(model, batch, key)

    before = losses(objective=objective)
    scale[0] = 2.0
    np.testing.assert_allclose(losses(objective=objective)[0], 2 * before[0], rtol=1e-6)


def test_an_optimizer_given_as_an_object_trains_as_one():
    fast, slow = (losses(optimizer=optax.sgd(rate)) for rate in (0.1, 0.01))
    assert fast != slow
    assert losses(optimizer=optax.sgd(0.1)) == fast


def test_what_is_kept_holds_no_objective_and_no_model():
    def objective(model, batch, key):
        return negative_log_likelihood(model, batch, key)

    model = Flow(ActNorm((2,)))
    alive = [weakref.ref(objective), weakref.ref(model), weakref.ref(model.bijector)]
    trained(model, objective=objective)
    trained(model)
    del objective, model
    gc.collect()
    assert [reference() for reference in alive] == [None] * 3


def test_what_is_kept_is_bounded():
    """However many kinds of training there are, such as data of other sizes."""
    state = TrainState.create(Flow(ActNorm((2,))), optax.identity(), jax.random.key(0))
    mesh = mesh_for(SETTINGS)
    placed = shardings(state, mesh)
    for n in range(3 * compiled.MOST_KEPT):
        batch = Batch(np.zeros((n, 2), np.float32))
        steps = [
            compiled.steps_for(negative_log_likelihood, None, SETTINGS, mesh, placed, state, batch)
            for _ in range(2)
        ]
        assert steps[0] is steps[1]
        assert compiled.num_kept() <= compiled.MOST_KEPT
