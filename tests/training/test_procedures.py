"""Procedures by name: each trains as its function does, and refuses before it writes."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood
from jaxgen.training.counting import count
from jaxgen.training.metrics import MEASURED
from jaxgen.training.procedures import Counting, GradientDescent, Task, named_procedure

SETTINGS = TrainSettings(steps=4, batch_size=4, steps_per_dispatch=2, eval_every=2)


def task(model=None, **changes):
    rng = np.random.default_rng(0)
    train, valid = (Batch(rng.integers(0, 2, size=(n, 3))) for n in (24, 8))
    model = zoo.markov((3,), rngs=nnx.Rngs(0)) if model is None else model
    given = Task(model, train, valid, SETTINGS, negative_log_likelihood)
    return dataclasses.replace(given, **changes)


def scaled(model, batch, key):
    return 3.0 * negative_log_likelihood(model, batch, key)


def assert_same_model(one, other):
    pairs = zip(*map(jax.tree.leaves, (one.model, other.model)), strict=True)
    assert all((a == b).all() for a, b in pairs)


def test_gradient_descent_is_fit(tmp_path):
    given = task(objective=scaled, optimizer=optax.sgd(0.5))
    procedure = named_procedure("gradient_descent", {})
    procedure.check(given)
    result = procedure.run(given, tmp_path / "run", progress=False)
    expected = fit(
        given.model,
        given.train,
        given.valid,
        SETTINGS,
        objective=scaled,
        optimizer=optax.sgd(0.5),
        progress=False,
    )
    assert_same_model(result, expected)
    strip = [[{**row, **dict.fromkeys(MEASURED)} for row in r.history] for r in (result, expected)]
    assert strip[0] == strip[1]
    assert (tmp_path / "run" / "checkpoints" / "4").is_dir()
    assert procedure.run(given, tmp_path / "run", progress=False).history == result.history


def test_counting_is_count(tmp_path):
    given = task()
    procedure = named_procedure("counting", {"pseudo_counts": [100.0, 1.0]})
    procedure.check(given)
    result = procedure.run(given, tmp_path / "run", progress=False)
    expected = count(given.model, given.train, given.valid, [100.0, 1.0], out=tmp_path / "other")
    assert_same_model(result, expected)
    assert [row["pseudo_count"] for row in result.history] == [100.0, 1.0]
    assert result.best_step == expected.best_step


def test_counting_without_a_directory():
    """One strength needs no validation data; several take a fraction of the rows for it."""
    x = np.random.default_rng(0).integers(0, 2, (200, 3))
    model = zoo.markov((3,), rngs=nnx.Rngs(0))
    counted = count(model, x).model
    first = counted.log_prob(np.array([1, 0, 0])) - counted.log_prob(np.array([0, 0, 0]))
    pairs = [(x[:, 0] == 1) & (x[:, 1] == 0), (x[:, 0] == 0) & (x[:, 1] == 0)]
    ratio = np.log(pairs[0].sum() / pairs[1].sum())
    assert abs(first - ratio) < 0.2  # by what the third adds, and the prior
    chosen = count(model, {"x": x}, 0.2, [1e4, 1.0])
    assert [row["pseudo_count"] for row in chosen.history] == [1e4, 1.0]
    again = count(model, {"x": x}, 0.2, [1e4, 1.0])
    assert chosen.history[0]["valid_loss"] == again.history[0]["valid_loss"]
    for wrong, said in [
        ((x, None, [1.0, 2.0]), "expected validation data to choose among 2 pseudo-counts"),
        ((None,), "expected training data, got None"),
        ((x + 5,), "expected"),
        (({"x": x, "weights": np.ones(200)},), "it takes no weights"),
        ((x, 0.2, []), "expected at least one"),
    ]:
        with pytest.raises(ValueError, match=said):
            count(model, *wrong)


def made():
    return zoo.made((3,), hidden=(4,), rngs=nnx.Rngs(0))


def linear():
    return zoo.markov((3,), levels=None, rngs=nnx.Rngs(0))


def flow():
    return zoo.maf((3,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))


REFUSED = {
    "a batch larger than the data": (
        GradientDescent(),
        lambda: {"settings": dataclasses.replace(SETTINGS, batch_size=25)},
        "a batch size from 1 to the 24 examples there are, got 25",
    ),
    "an unknown optimizer": (
        GradientDescent(),
        lambda: {"settings": dataclasses.replace(SETTINGS, optimizer="adamm")},
        "unknown optimizer 'adamm'",
    ),
    "an optimizer with a line search": (
        GradientDescent(),
        lambda: {"optimizer": optax.lbfgs()},
        "more than gradients and parameters",
    ),
    "to count another network": (
        Counting([1.0]),
        lambda: {"model": made()},
        "counting: expected a Markov model of levels, which has tables, got MADE",
    ),
    "to count a model without tables": (
        Counting([1.0]),
        lambda: {"model": linear()},
        "a Markov model of levels, which has tables, got Markov",
    ),
    "to count a flow": (Counting([1.0]), lambda: {"model": flow()}, "which has tables, got Flow"),
    "to count for another objective": (
        Counting([1.0]),
        lambda: {"objective": scaled},
        "counting maximises the likelihood; it takes no other objective",
    ),
    "to count data that are none": (
        Counting([1.0]),
        lambda: {"train": Batch(np.zeros((0, 3), int))},
        "the training data are empty",
    ),
    "levels that there are not": (
        Counting([1.0]),
        lambda: {"valid": Batch(np.full((4, 3), 2))},
        "expected values 0 and 1, got 2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_check_refuses(name):
    procedure, changes, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        procedure.check(task(**changes()))


def test_counting_draws_no_batches():
    """The settings of stochastic training do not matter."""
    Counting([1.0]).check(task(settings=dataclasses.replace(SETTINGS, batch_size=1000)))


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("countin", {}, "unknown procedure 'countin': did you mean 'counting'"),
        ("counting", {}, "procedure_args: counting takes pseudo_counts, got none"),
        ("counting", {"pseudo_counts": []}, "pseudo_counts: expected at least one number, got "),
        ("counting", {"pseudo_counts": 1.0}, "pseudo_counts: expected at least one number, got 1"),
        ("counting", {"pseudo_counts": ["a"]}, "pseudo_counts: expected at least one number"),
        (
            "gradient_descent",
            {"steps": 3},
            "gradient_descent takes none, got steps",
        ),
    ],
)
def test_wrong_names_and_arguments(name, arguments, said):
    with pytest.raises(ValueError, match=said):
        named_procedure(name, arguments)
