"""Optimizers by name and as optax objects: what they do, what is refused, how they resume."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from jaxgen.bijectors import ActNorm
from jaxgen.models import Flow
from jaxgen.training import TrainSettings, fit, make_optimizer
from jaxgen.training.optimizers import check_optimizer, make_schedule, optimizer_names


@pytest.mark.parametrize("warmup", [0, 4])
def test_schedule(warmup):
    settings = TrainSettings(steps=12, warmup_steps=warmup, learning_rate=0.5)
    cosine = [float(make_schedule(settings)(t)) for t in range(13)]
    expected = [
        0.5 * t / warmup
        if t < warmup
        else 0.25 * (1 + np.cos(np.pi * (t - warmup) / (12 - warmup)))
        for t in range(13)
    ]
    np.testing.assert_allclose(cosine, expected, atol=1e-7)
    settings = TrainSettings(steps=12, warmup_steps=warmup, learning_rate=0.5, schedule="constant")
    constant = [float(make_schedule(settings)(t)) for t in range(13)]
    expected = [0.5 * min(1.0, t / warmup) if warmup else 0.5 for t in range(13)]
    np.testing.assert_allclose(constant, expected, atol=1e-7)


def descend(settings, gradients):
    """The updates of a gradient descent that scales nothing, one for each gradient."""
    optimizer = make_optimizer(settings)
    params = {"kernel": jnp.zeros(2)}
    state = optimizer.init(params)
    updates = []
    for gradient in gradients:
        update, state = optimizer.update({"kernel": jnp.asarray(gradient)}, state, params)
        updates.append(np.asarray(update["kernel"]))
    return updates


PLAIN = {"optimizer": "schedule", "optimizer_args": {"step_size_fn": lambda step: 1.0}}


def test_the_optimizer_follows_the_schedule_downhill():
    settings = TrainSettings(
        steps=4, warmup_steps=2, learning_rate=0.5, schedule="constant", clip_norm=None, **PLAIN
    )
    updates = descend(settings, [[1.0, -2.0]] * 4)
    rates = [0.0, 0.25, 0.5, 0.5]
    np.testing.assert_allclose(updates, [[-rate, 2 * rate] for rate in rates], atol=1e-7)


def test_gradients_are_clipped_by_their_norm():
    settings = TrainSettings(
        steps=4, learning_rate=1.0, schedule="constant", clip_norm=2.5, **PLAIN
    )
    small, large = descend(settings, [[0.3, 0.4], [30.0, 40.0]])
    np.testing.assert_allclose(small, [-0.3, -0.4], rtol=1e-6)
    np.testing.assert_allclose(large, [-1.5, -2.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamax", "rms", "rss", "adadelta", "lion"])
def test_the_documented_optimizers_descend(name):
    (update,) = descend(TrainSettings(optimizer=name), [[1.0, -2.0]])
    assert update[0] < 0 < update[1]


def test_optimizer_arguments_arrive():
    gradients = [[1.0, 1.0], [-1.0, -1.0]]
    settings = TrainSettings(optimizer_args={"b1": 0.0}, schedule="constant", clip_norm=None)
    _, forgetful = descend(settings, gradients)
    _, default = descend(TrainSettings(schedule="constant", clip_norm=None), gradients)
    np.testing.assert_allclose(forgetful, 1e-3, rtol=1e-4)
    assert abs(default[0]) < 5e-4


# --- by name ---

GRADIENTS = [[1.0, -2.0], [0.5, 0.5], [-1.0, 0.0]]
RATE = 0.5

SAME = {
    "sgd": ({}, optax.sgd(RATE)),
    "momentum": ({}, optax.sgd(RATE, momentum=0.9)),
    "momentum with arguments": (
        {"decay": 0.5, "nesterov": True},
        optax.sgd(RATE, momentum=0.5, nesterov=True),
    ),
    "adam": ({"b1": 0.5}, optax.adam(RATE, b1=0.5)),
}


@pytest.mark.parametrize("name", SAME)
def test_a_name_is_the_optimizer_of_optax(name):
    arguments, expected = SAME[name]
    settings = TrainSettings(
        optimizer=name.split()[0],
        optimizer_args=arguments,
        learning_rate=RATE,
        schedule="constant",
        clip_norm=None,
    )
    params = {"kernel": jnp.zeros(2)}
    state, updates = expected.init(params), []
    for gradient in GRADIENTS:
        update, state = expected.update({"kernel": jnp.asarray(gradient)}, state, params)
        updates.append(update["kernel"])
    np.testing.assert_allclose(descend(settings, GRADIENTS), updates, rtol=1e-6)


def test_sgd_and_momentum_are_clipped_decayed_and_scheduled_like_the_others():
    settings = TrainSettings(
        optimizer="sgd", learning_rate=1.0, schedule="constant", clip_norm=2.5, weight_decay=0.1
    )
    optimizer = make_optimizer(settings)
    params = {"kernel": jnp.full(2, 10.0), "bias": jnp.full(2, 10.0)}
    gradients = {"kernel": jnp.asarray([30.0, 0.0]), "bias": jnp.asarray([40.0, 0.0])}
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], [-1.5 - 1.0, -1.0], rtol=1e-6)
    np.testing.assert_allclose(updates["bias"], [-2.0, 0.0], rtol=1e-6)


def test_muon_takes_the_matrices_of_a_stack_one_by_one_and_adam_the_rest():
    settings = TrainSettings(
        optimizer="muon", learning_rate=RATE, schedule="constant", clip_norm=None
    )
    draw = np.random.default_rng(0).normal
    stack, bias = draw(size=(2, 3, 4)), draw(size=4)
    params = {"kernel": jnp.zeros((2, 3, 4)), "bias": jnp.zeros(4)}
    ours = make_optimizer(settings)
    gradients = {"kernel": jnp.asarray(stack), "bias": jnp.asarray(bias)}
    update, _ = ours.update(gradients, ours.init(params), params)
    theirs = optax.contrib.muon(RATE, consistent_rms=0.2)
    for layer in range(2):
        one = {"kernel": jnp.zeros((3, 4))}
        expected, _ = theirs.update({"kernel": jnp.asarray(stack[layer])}, theirs.init(one), one)
        np.testing.assert_allclose(update["kernel"][layer], expected["kernel"], atol=1e-5)
    adam, one = optax.nadam(RATE), {"bias": params["bias"]}
    expected, _ = adam.update({"bias": gradients["bias"]}, adam.init(one), one)
    np.testing.assert_allclose(update["bias"], expected["bias"], rtol=1e-5)


REFUSED_ALONE = {  # "schedule" and "rprop" need arguments, "polyak" needs the loss
    "schedule": "optimizer_args: schedule: missing the argument 'step_size_fn'",
    "rprop": "optimizer_args: rprop: missing the argument 'learning_rate'",
    "polyak": "more than gradients and parameters .*'value'",
}


@pytest.mark.parametrize("name", REFUSED_ALONE)
def test_a_name_that_does_not_do_alone(name):
    with pytest.raises(ValueError, match=REFUSED_ALONE[name]):
        check_optimizer(make_optimizer(TrainSettings(optimizer=name)), {"kernel": jnp.ones(2)})


@pytest.mark.parametrize("name", optimizer_names())
def test_every_name_trains_or_is_refused(name):
    """Whatever optax adds, it must not fail in the middle of a step."""
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    try:
        optimizer = make_optimizer(TrainSettings(optimizer=name))
        check_optimizer(optimizer, params)
    except ValueError:
        return
    updates, _ = jax.jit(optimizer.update)(params, optimizer.init(params), params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("mometum", {}, "unknown optimizer 'mometum': did you mean 'momentum'"),
        ("sdg", {}, "unknown optimizer 'sdg': did you mean 'sgd'"),
        ("momentum", {"beta": 0.9}, "optimizer_args: momentum has no argument 'beta'"),
        ("sgd", {"momentum": 0.9}, "optimizer_args: sgd has no argument 'momentum'"),
    ],
)
def test_wrong_names_and_arguments(name, arguments, said):
    with pytest.raises(ValueError, match=said):
        make_optimizer(TrainSettings(optimizer=name, optimizer_args=arguments))


# --- as an object, given to fit ---

SETTINGS = TrainSettings(
    steps=12,
    batch_size=4,
    learning_rate=0.1,
    schedule="constant",
    clip_norm=None,
    ema_decay=0.0,
    steps_per_dispatch=1,
    checkpoint_every=4,
)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(2.0, 3.0, size=(20, 2)).astype(np.float32)


def train(x, given, out=None, callbacks=(), **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    options = {"optimizer": given, "out": out, "callbacks": callbacks, "progress": False}
    return fit(Flow(ActNorm((2,))), x, settings=settings, **options)


def assert_equal(one, other):
    pairs = zip(*map(jax.tree.leaves, ((r.model, r.state) for r in (one, other))), strict=True)
    assert all((a == b).all() for a, b in pairs)


def test_an_object_takes_the_place_of_the_name(x):
    lion = dataclasses.replace(SETTINGS, optimizer="lion")
    assert_equal(train(x, make_optimizer(lion)), train(x, None, optimizer="lion"))
    # With a learning rate of its own, whatever the settings say.
    assert_equal(train(x, optax.adam(0.1)), train(x, optax.adam(0.1), learning_rate=9.0))


def test_extra_arguments_that_are_not_needed_are_no_hindrance(x):
    extra = optax.with_extra_args_support(optax.adam(0.1))
    assert isinstance(extra, optax.GradientTransformationExtraArgs)
    assert_equal(train(x, extra), train(x, optax.adam(0.1)))


def test_accumulated_gradients_are_a_larger_batch(x):
    """Two batches of four, and one step along their mean gradient."""

    def objective(model, batch, key):
        # Shifted: the initialisation is optimal for the data as they are.
        return -jnp.mean(model.log_prob(batch.x + 1.0))

    def parameters(optimizer, steps, batches):
        settings = dataclasses.replace(SETTINGS, steps=steps, batch_size=batches * 4)
        result = fit(
            Flow(ActNorm((2,))),
            x[:8],
            settings=settings,
            objective=objective,
            optimizer=optimizer,
            progress=False,
        )
        return jax.tree.leaves(result.model)

    accumulated = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=2)
    start = parameters(accumulated, 1, 1)
    for given, before in zip(start, parameters(optax.sgd(0.0), 1, 1), strict=True):
        np.testing.assert_array_equal(given, before)
    after, expected = parameters(accumulated, 2, 1), parameters(optax.sgd(0.1), 1, 2)
    assert any((one != other).any() for one, other in zip(after, start, strict=True))
    for given, whole in zip(after, expected, strict=True):
        np.testing.assert_allclose(given, whole, rtol=1e-5, atol=1e-6)


RESUMED = {
    "multi steps": lambda: optax.MultiSteps(optax.adam(0.1), every_k_schedule=3),
    "hyperparameters in the state": lambda: optax.inject_hyperparams(optax.adam)(
        learning_rate=optax.linear_schedule(0.1, 0.0, 12)
    ),
    "parts for parts of the model": lambda: optax.partition(
        {"slow": optax.sgd(0.01), "fast": optax.adam(0.1)},
        lambda params: jax.tree_util.tree_map_with_path(
            lambda path, _: "slow" if "shift" in jax.tree_util.keystr(path) else "fast", params
        ),
    ),
}


@pytest.mark.parametrize("name", RESUMED)
def test_it_resumes_to_the_same_bits(name, x, tmp_path):
    make = RESUMED[name]
    straight = train(x, make(), tmp_path / "straight")
    part = train(x, make(), tmp_path / "broken", callbacks=[lambda row: row["step"] == 7])
    if name == "multi steps":  # in the middle of an accumulation
        assert int(part.state.opt_state.mini_step) == 1
        assert any((leaf != 0).any() for leaf in jax.tree.leaves(part.state.opt_state.acc_grads))
    resumed = train(x, make(), tmp_path / "broken")
    assert [row["step"] for row in resumed.history] == list(range(1, 13))
    assert_equal(resumed, straight)


REFUSED = {
    "a line search": (optax.lbfgs, "more than gradients and parameters .*'value_fn'.*lbfgs"),
    "a step size from the loss": (
        optax.polyak_sgd,
        "more than gradients and parameters .*'value'.*polyak",
    ),
    "a line search inside accumulation": (
        lambda: optax.MultiSteps(optax.lbfgs(), every_k_schedule=2),
        "more than gradients and parameters .*'value_fn'",
    ),
    "a function that makes one": (
        lambda: optax.adam,
        "optimizer: expected an optax.GradientTransformation, got <function adam",
    ),
    "a name": (lambda: "adam", "optimizer: expected an optax.GradientTransformation, got 'adam'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name, x, tmp_path):
    make, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        train(x, make(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
