"""Settings that mean nothing are refused by name, and every optimizer trains or is refused."""

import dataclasses
import json
import math
import re

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.bijectors import ActNorm
from jaxgen.models import Flow
from jaxgen.training import TrainSettings, fit, make_optimizer
from jaxgen.training.optimizers import check_optimizer, optimizer_names

NONSENSE = {
    "patience=0": ({"patience": 0}, "patience: expected at least 1, or None to never stop early"),
    "a negative learning rate": (
        {"learning_rate": -1.0},
        "learning_rate: expected a finite",
    ),
    "a learning rate of NaN": ({"learning_rate": math.nan}, "learning_rate: .*, got nan"),
    "an infinite learning rate": ({"learning_rate": math.inf}, "learning_rate: .*, got inf"),
    "a learning rate in words": ({"learning_rate": "1e-3"}, "learning_rate: expected float, got '"),
    "a true learning rate": ({"learning_rate": True}, "learning_rate: expected float, got True"),
    "clip_norm=0": ({"clip_norm": 0.0}, "clip_norm: expected a finite number above 0, or None"),
    "a negative clip_norm": ({"clip_norm": -1.0}, "clip_norm: .*, got -1.0"),
    "an infinite clip_norm": ({"clip_norm": math.inf}, "clip_norm: .*, got inf"),
    "ema_decay=1": ({"ema_decay": 1.0}, r"ema_decay: expected a number in \[0, 1\), got 1.0"),
    "an average of NaN": ({"ema_decay": math.nan}, "ema_decay: .*, got nan"),
    "a negative weight decay": ({"weight_decay": -0.1}, "weight_decay: .*0 or more, got -0.1"),
    "a weight decay of NaN": ({"weight_decay": math.nan}, "weight_decay: .*, got nan"),
    "steps=0": ({"steps": 0}, "steps: expected at least 1"),
    "true steps": ({"steps": True}, "steps: expected int, got True"),
    "half a step": ({"steps": 0.5}, "steps: expected int, got 0.5"),
    "more steps than are counted": ({"steps": 2**31}, r"steps: .* below 2\*\*31, got 2147483648"),
    "batch_size=0": ({"batch_size": 0}, "batch_size: expected at least 1"),
    "eval_every=0": ({"eval_every": 0}, "eval_every: expected at least 1"),
    "checkpoint_every=0": ({"checkpoint_every": 0}, "checkpoint_every: expected at least 1"),
    "steps_per_dispatch=0": ({"steps_per_dispatch": 0}, "steps_per_dispatch: expected at least 1"),
    "init_batch_size=0": ({"init_batch_size": 0}, "init_batch_size: expected at least 1"),
    "a negative warm-up": ({"warmup_steps": -1}, "warmup_steps: expected 0 to 2000"),
    "a negative seed": ({"seed": -1}, "seed: expected one that is not negative"),
    "a seed that is cut off": ({"seed": 2**32}, r"seed: .* below 2\*\*32, got 4294967296"),
    "a schedule that is none": ({"schedule": "linear"}, "schedule: expected 'cosine' or"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_setting_that_means_nothing_is_refused_by_name(name):
    changes, said = NONSENSE[name]
    with pytest.raises(ValueError, match="^" + said):
        TrainSettings(**changes)


def test_numbers_of_numpy_are_those_of_python():
    plain = {"batch_size": 8, "learning_rate": 0.5, "clip_norm": 2.0, "patience": 3, "seed": 1}
    kinds = (np.int64, np.float32, np.float64, np.uint8, np.int32)
    given = {name: kind(plain[name]) for name, kind in zip(plain, kinds, strict=True)}
    args = {"b1": np.float64(0.5)}
    settings = TrainSettings(**given, optimizer_args=args)
    assert settings == TrainSettings(**plain, optimizer_args={"b1": 0.5})
    values = dataclasses.asdict(settings)
    assert json.dumps(values) == json.dumps({**values, **plain, "optimizer_args": {"b1": 0.5}})
    for name, value in {**plain, "b1": 0.5}.items():
        assert type({**values, **settings.optimizer_args}[name]) is type(value)
    for wrong in ({"steps": np.float32(5)}, {"steps": np.True_}, {"learning_rate": np.True_}):
        with pytest.raises(ValueError, match=r"expected (int|float), got"):
            TrainSettings(**wrong)


@pytest.mark.parametrize(
    ("got", "meant"), [("adma", "adam"), ("adamm", "adam"), ("loin", "lion"), ("sdg", "sgd")]
)
def test_the_optimizer_that_was_meant_is_named(got, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        make_optimizer(TrainSettings(optimizer=got))


def test_names_that_never_train_are_not_offered():
    with pytest.raises(ValueError, match="Available: ") as raised:
        make_optimizer(TrainSettings(optimizer="none"))
    assert not any(name in str(raised.value) for name in ("polyak", "linesearch"))


def test_settings_at_the_ends_of_their_ranges_are_taken():
    TrainSettings(learning_rate=0.0, ema_decay=0.0, patience=1, warmup_steps=2000, seed=2**32 - 1)


ARGUMENTS = {
    "one that it has not": ("adam", {"beta": 0.9}, "adam has no argument 'beta'; it takes: b1, b2"),
    "a learning rate": ("adam", {"learning_rate": 0.1}, "is the setting learning_rate"),
    "b1=2": ("adam", {"b1": 2.0}, "adam: b1: expected 0 to below 1, got 2.0"),
    "a b2 that never forgets": ("adam", {"b2": 1.0}, "adam: b2: expected 0 to below 1, got 1.0"),
    "a decay of NaN": ("rms", {"decay": math.nan}, "rms: decay: .*, got nan"),
    "a negative eps": ("adam", {"eps": -1e-8}, "adam: eps: expected a finite number, 0 or more"),
    "an infinite eps": ("adamax", {"eps": math.inf}, "adamax: eps: .*, got inf"),
    "a number in words": ("adam", {"b1": "0.9"}, "adam: b1: .*, got '0.9'"),
    "a number for a choice": ("momentum", {"nesterov": 1}, "nesterov: expected True or False"),
    "a choice for a number": ("adam", {"b1": False}, "adam: b1: .*, got False"),
    "half a memory": ("lbfgs", {"memory_size": 1.5}, "memory_size: expected an integer"),
    "a number for a mode": ("lion", {"mode": 1}, "lion: mode: expected a string such as 'hard'"),
    "one that is missing": ("rprop", {}, "rprop: missing the argument 'learning_rate'"),
    "a dtype that is none": ("adam", {"mu_dtype": "float33"}, "adam: .*float33"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_an_optimizer_are_refused_by_name(name):
    optimizer, arguments, said = ARGUMENTS[name]
    with pytest.raises(ValueError, match=f"^optimizer_args: .*{said}"):
        make_optimizer(TrainSettings(optimizer=optimizer, optimizer_args=arguments))


def test_the_defaults_of_every_optimizer_are_in_their_own_ranges():
    """sm3, for one, averages nothing by a decay of 1."""
    make_optimizer(TrainSettings(optimizer="sm3", optimizer_args={"b1": 0.9, "b2": 1.0}))
    make_optimizer(TrainSettings(optimizer_args={"b1": 0.5, "eps": 0, "mu_dtype": "bfloat16"}))


# Those by name that are refused, with what is said of them; every other one trains.
REFUSED = {
    "backtracking_linesearch": "missing the argument",
    "polyak": "scale_by_polyak.*takes more than gradients and parameters|more than .*polyak",
    "rprop": "missing the argument",
    "schedule": "missing the argument",
    "zoom_linesearch": "missing the argument",
}
QUICK = TrainSettings(steps=3, batch_size=4, learning_rate=1e-3, steps_per_dispatch=1)


def trained(x, **options):
    settings = dataclasses.replace(QUICK, **options.pop("settings", {}))
    return fit(Flow(ActNorm((2,))), x, settings=settings, progress=False, **options)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(2.0, 3.0, size=(20, 2)).astype(np.float32)


@pytest.mark.parametrize("name", sorted({*optimizer_names(), *REFUSED}))
def test_every_optimizer_trains_or_is_refused_by_name(name, x):
    """Dispatch after dispatch, each of which is given the arrays of the one before."""
    if name in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name]):
            trained(x, settings={"optimizer": name})
        return
    result = trained(x, settings={"optimizer": name})
    assert all(math.isfinite(row["loss"]) for row in result.history)
    assert np.isfinite(result.model.log_prob(x)).all()


KEEPS_PARAMETERS = {
    "lbfgs without a line search": lambda: optax.lbfgs(1e-3, linesearch=None),
    "schedule-free": lambda: optax.contrib.schedule_free_adamw(1e-3),
    "distance over gradients": lambda: optax.contrib.dog(),
    "lookahead in the state": lambda: optax.contrib.sam(optax.sgd(1e-3), optax.sgd(1e-3)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:optax")
@pytest.mark.parametrize("name", KEEPS_PARAMETERS)
def test_an_optimizer_that_keeps_parameters_in_its_state_trains(name, x):
    result = trained(x, optimizer=KEEPS_PARAMETERS[name]())
    assert np.isfinite(result.model.log_prob(x)).all()


def test_an_optimizer_whose_state_changes_its_kind_is_refused(x):
    growing = optax.GradientTransformation(
        lambda params: jnp.zeros(1), lambda g, state, params=None: (g, jnp.append(state, 0.0))
    )
    said = re.escape("optimizer: its update changes the shapes of its state")
    with pytest.raises(ValueError, match=said):
        check_optimizer(growing, {"kernel": jnp.ones(2)})
