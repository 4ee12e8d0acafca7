"""fit takes data in the forms that users have them in, or says what is wrong with them."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError, zoo
from jaxgen.bijectors import ActNorm
from jaxgen.data import Dataset, Vocabulary
from jaxgen.models import Embedded, Flow, StandardNormal
from jaxgen.models.scoring import score
from jaxgen.networks import Embedding
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood

SETTINGS = TrainSettings(
    steps=4, batch_size=8, learning_rate=0.05, schedule="constant", steps_per_dispatch=1
)
X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
LABELS = np.arange(20) % 3
BITS = (X > 0).astype(np.uint8)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


class Table:
    """As much of a data frame as is asked of one."""

    def __init__(self, values, columns):
        self.values, self.columns = values, columns

    def to_numpy(self):
        return self.values


def plain():
    return Flow(ActNorm((2,)))


def conditional(context_features=3):
    return zoo.maf((2,), layers=1, hidden=(4,), context_features=context_features, rngs=nnx.Rngs(0))


def of_labels():
    return Embedded(conditional(), Embedding(3, 3, rngs=nnx.Rngs(1)))


def text(characters):
    x = np.array([[0, 1], [1, 0]] * 10)
    return Dataset(characters, "train", x, levels=3, vocabulary=Vocabulary(characters))


def shown(*names):
    return Dataset("animals", "train", X, np.arange(20) % len(names), classes=names)


def in_one_order():
    return zoo.made((2,), levels=None, components=2, hidden=(4,), rngs=nnx.Rngs(0))


def in_any_order():
    return zoo.eonade((2,), levels=None, components=2, hidden=(4,), rngs=nnx.Rngs(0))


def sequences():
    return zoo.recurrent((2,), width=4, rngs=nnx.Rngs(0))


def trained(model, train, valid=None, objective=negative_log_likelihood, callbacks=(), **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    options = {"objective": objective, "callbacks": callbacks, "progress": False}
    return fit(model, train, valid, settings, **options)


def assert_same(one, other):
    pairs = zip(*map(jax.tree.leaves, (one.state, other.state)), strict=True)
    assert all((a == b).all() for a, b in pairs)
    assert [row["loss"] for row in one.history] == [row["loss"] for row in other.history]


# --- the same data in another form ---


class Arrow:
    """As much of a table of Arrow: its columns are no names."""

    def __init__(self, values):
        self.values, self.columns, self.column_names = values, list(values.T), ["a", "b"]

    def to_pandas(self):
        return Table(self.values, self.column_names)


class ArrowArray(Arrow):
    """And of a newer one, which is also an array."""

    to_pandas = None

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


class NoArray:
    columns = ("a", "b")


objects = np.empty((20, 2), object)
objects[:] = X.astype(np.float64)
words = objects.copy()
words[3, 1] = "many"
unknown_first = X.copy()
unknown_first[:, 0] = np.nan

EXAMPLES = {
    "a batch": lambda: Batch(X),
    "a tuple of one": lambda: (X,),
    "a dictionary": lambda: {"x": X},
    "a data set": lambda: Dataset("points", "train", X),
    "a data set with labels that nothing asks for": lambda: Dataset("points", "train", X, LABELS),
    "an array of jax": lambda: jnp.asarray(X),
    "a list of lists": lambda: X.tolist(),
    "a table": lambda: Table(X, ["a", "b"]),
    "a table of Arrow": lambda: Arrow(X),
    "a table of Arrow that is an array": lambda: ArrowArray(X),
    "a table of numbers as objects": lambda: Table(objects, ["a", "b"]),
    "big-endian": lambda: X.astype(">f4"),
    "longer floats": lambda: X.astype(np.longdouble),
    "a masked array without a mask": lambda: np.ma.masked_array(X),
    "a masked array where nothing is masked": lambda: np.ma.masked_array(X, np.zeros_like(X)),
    "in columns": lambda: np.asfortranarray(X),
}


@pytest.mark.parametrize("form", EXAMPLES)
def test_examples_in_any_form(form):
    assert_same(trained(plain(), EXAMPLES[form]()), trained(plain(), X))


CONTEXTS = {
    "a tuple of examples and labels": lambda: (X, LABELS),
    "labels in a dictionary": lambda: {"x": X, "labels": LABELS},
    "contexts in a dictionary": lambda: {"x": X, "context": ONE_HOT},
    "a data set": lambda: Dataset("points", "train", X, LABELS),
    "labels in a batch": lambda: Batch(X, LABELS.astype(np.uint8)),
    "big-endian labels": lambda: (X, LABELS.astype(">i2")),
}


@pytest.mark.parametrize("form", CONTEXTS)
def test_labels_become_the_context_that_the_model_takes(form):
    """Their one-hot, or themselves."""
    assert_same(trained(conditional(), CONTEXTS[form]()), trained(conditional(), Batch(X, ONE_HOT)))


@pytest.mark.parametrize("form", [form for form in CONTEXTS if form != "contexts in a dictionary"])
def test_labels_stay_labels_for_a_model_of_labels(form):
    assert_same(
        trained(of_labels(), CONTEXTS[form](), steps=1),
        trained(of_labels(), Batch(X, LABELS), steps=1),
    )


def test_levels_in_a_table_stay_integers():
    bits = (X > 0).astype(np.int64)
    model = zoo.made((2,), hidden=(4,), rngs=nnx.Rngs(0))
    straight = trained(model, bits)
    for form in (Table(bits, ["a", "b"]), Table(bits.astype(object), ["a", "b"]), bits > 0):
        assert_same(trained(model, form), straight)


# --- weights ---


def weighted(x, weights):
    return {"x": x, "weights": weights}


@pytest.mark.filterwarnings("ignore::jaxgen.training.ColumnWarning")
def test_a_weight_is_so_many_copies():
    """In what layers are initialised from, in the loss of the whole set, and in validation."""
    counts = np.array([0, 1, 3] * 4)
    copies = np.repeat(X[:12], counts, axis=0)
    result, expected = (
        trained(plain(), data, data, batch_size=len(rows), steps=3)
        for data, rows in ((weighted(X[:12], counts), counts), (copies, copies))
    )
    # Twelve rows that stand for sixteen: the initialisation sees each one to a row.
    for one, other in zip(result.history, expected.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=0.1)
    scores = score(result.model, copies)
    assert result.history[-1]["valid_loss"] == pytest.approx(-scores.mean(), rel=1e-5)


def test_the_weighted_loss_and_its_gradient_are_those_of_copies(x64):
    counts = np.array([0, 1, 3, 4])
    x = X[:4].astype(np.float64)
    loss = jax.value_and_grad(
        lambda model, batch: negative_log_likelihood(model, batch, jax.random.key(0))
    )
    batches = Batch(x, weights=counts / counts.mean()), Batch(np.repeat(x, counts, axis=0))
    one, other = (jax.tree.leaves(loss(plain(), batch)) for batch in batches)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_equal_weights_of_any_scale_are_none():
    unweighted = trained(plain(), X, X)
    for scale in (1e-3, 7.0, 1e30):
        result = trained(plain(), weighted(X, np.full(20, scale)), X)
        assert [row["loss"] for row in result.history] == pytest.approx(
            [row["loss"] for row in unweighted.history], rel=1e-6
        )


@pytest.mark.filterwarnings("ignore::jaxgen.training.ColumnWarning")
def test_layers_are_initialised_from_what_has_weight():
    """Outliers of weight zero leave no trace."""
    spoiled = np.concatenate([X, np.full((20, 2), 1e3, np.float32)])
    weights = np.repeat([1.0, 0.0], 20)
    model = trained(plain(), weighted(spoiled, weights), learning_rate=0.0, batch_size=40).model
    expected = trained(plain(), np.repeat(X, 2, axis=0), learning_rate=0.0).model
    np.testing.assert_allclose(model.log_prob(X), expected.log_prob(X), rtol=1e-5)


# --- validation data held out ---


def test_a_fraction_is_held_out_and_the_seed_says_which():
    seen = {}

    def of_rows(seed):
        def objective(model, batch, key):
            jax.debug.callback(lambda x: seen[seed].update(np.asarray(x)[:, 0].tolist()), batch.x)
            return negative_log_likelihood(model, batch, key)

        seen[seed] = set()
        return trained(plain(), X, 0.25, objective, seed=seed, steps=20, batch_size=5)

    first, again, other = of_rows(1), of_rows(1), of_rows(2)
    jax.effects_barrier()
    assert_same(first, again)
    assert first.history[-1]["valid_loss"] == again.history[-1]["valid_loss"]
    assert len(seen[1]) == 15
    assert seen[1] != seen[2]
    held = X[~np.isin(X[:, 0], list(seen[1]))]
    scores = score(first.state.ema_model, held)
    assert first.history[-1]["valid_loss"] == pytest.approx(-scores.mean(), rel=1e-5)
    assert other.history[-1]["valid_loss"] != first.history[-1]["valid_loss"]


def test_what_belongs_to_an_example_is_held_out_with_it():
    data = {"x": X, "context": X, "weights": X[:, 0] - X[:, 0].min()}

    def mismatch(model, batch, key):
        return jnp.sum(jnp.abs(batch.x - batch.context))

    result = trained(conditional(2), data, 0.3, mismatch)
    assert [row["loss"] for row in result.history] == [0.0] * 4
    assert math.isfinite(result.history[-1]["valid_loss"])


# --- callbacks ---


def test_callbacks_see_every_row_and_can_stop():
    rows = []

    def stop_at_three(row):
        return row["step"] == 3

    result = trained(plain(), X, X, callbacks=[rows.append, stop_at_three], steps=9, eval_every=1)
    assert rows == result.history
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert not result.interrupted
    losses = [row["valid_loss"] for row in rows]
    assert result.best_step == 1 + int(np.argmin(losses))
    assert -score(result.model, X).mean() == pytest.approx(min(losses), rel=1e-6)


def test_what_a_callback_returns_or_changes_otherwise_has_no_effect():
    def meddle(row):
        row.clear()
        return "stop"

    result = trained(plain(), X, callbacks=[meddle, lambda row: 1.0, lambda row: False])
    assert [row["step"] for row in result.history] == [1, 2, 3, 4]


def test_a_run_that_a_callback_ended_goes_on(tmp_path):
    options = {"settings": SETTINGS, "out": tmp_path, "progress": False}
    part = fit(plain(), X, callbacks=[lambda row: row["step"] == 2], **options)
    assert int(part.state.step) == 2
    assert_same(fit(plain(), X, **options), trained(plain(), X))


# --- refused ---

cities = np.empty((20, 2), object)
cities[:] = 1.5
gaps = cities.copy()
cities[3, 1] = "Rome"
gaps[2, 0] = None
masked = np.ma.masked_array(X, X > 1)

REFUSED = {
    "a word in a table": (
        lambda: trained(plain(), Table(cities, ["size", "city"])),
        r"the training data: expected numbers, got 'Rome' in column 'city', row 3; encode it",
    ),
    "a word in an array": (
        lambda: trained(plain(), cities),
        r"the training data: expected numbers, got 'Rome' in column 1, row 3; encode it",
    ),
    "a gap": (
        lambda: trained(plain(), X, Table(gaps, ["size", "city"])),
        r"the validation data: expected numbers, got None in column 'size', row 2; drop or fill",
    ),
    "a pixel": (
        lambda: trained(StandardNormal((1, 2, 1)), cities.reshape(20, 1, 2, 1)),
        r"got 'Rome' in column \(0, 1, 0\), row 3",
    ),
    "strings": (
        lambda: trained(plain(), np.array([["a", "b"]] * 8)),
        r"the training data: expected numbers, got 'a' in column 0, row 0",
    ),
    "masked values": (
        lambda: trained(plain(), masked),
        rf"the training data: .* masked array that lacks {masked.mask.sum()}; drop those rows",
    ),
    "complex numbers": (
        lambda: trained(plain(), X.astype(complex)),
        "the training data: expected real numbers or integers, got complex128",
    ),
    "dates": (
        lambda: trained(plain(), np.zeros((8, 2), "datetime64[s]")),
        r"expected real numbers or integers, got datetime64\[s\]; subtract a date",
    ),
    "the name of a data set": (
        lambda: trained(plain(), "digits"),
        r"expected arrays, got the string 'digits'; a data set is loaded by jaxgen\.data\.load",
    ),
    "rows of different lengths": (
        lambda: trained(plain(), [[1.0, 2.0], [3.0]]),
        r"the training data: expected an array of numbers, got list",
    ),
    "something else": (
        lambda: trained(plain(), object()),
        "the training data: expected an array of numbers, got object",
    ),
    "a table without a way to an array": (
        lambda: trained(plain(), NoArray()),
        r"expected an array of numbers, got NoArray, a table with no way to an array \(to_numpy",
    ),
    "a word in a table of Arrow": (
        lambda: trained(plain(), Arrow(words)),
        "expected numbers, got 'many' in column 'b', row 3",
    ),
    "missing values of a flow": (
        lambda: trained(plain(), unknown_first),
        r"values; remove or fill them first, or, .*, train a model that knows .*zoo\.tabular",
    ),
    "missing values of a model in one order": (
        lambda: trained(in_one_order(), unknown_first),
        r"hold 20 NaN or .*; remove or fill them first, or, .*, train a model that knows",
    ),
    "missing values of a model in any order": (
        lambda: trained(in_any_order(), unknown_first),
        r"hold 20 NaN .*; remove or fill them first, or, .* missing, say what is observed: fit",
    ),
    "what is observed, of a flow": (
        lambda: trained(plain(), Batch(X, observed=X < 2)),
        "^fit: the training data say what is observed, but a Flow does not know the density of a",
    ),
    "an unknown part": (
        lambda: trained(plain(), {"x": X, "wieghts": X}),
        "unknown part of the training data 'wieghts': did you mean 'weights'",
    ),
    "two contexts": (
        lambda: trained(conditional(), {"x": X, "context": ONE_HOT, "labels": LABELS}),
        "expected a context or labels, got both",
    ),
    "too many parts": (
        lambda: trained(plain(), (X,) * 6),
        r"expected a tuple \(x, context, lengths, weights, observed\) or the beginning of",
    ),
    "labels beyond the one-hot": (
        lambda: trained(conditional(), (X, LABELS + 1)),
        r"the contexts of the training data: got labels from 1 to 3, but .* shape \(3,\), such as "
        r"a one-hot of 3 classes, 0 to 2",
    ),
    "labels for a context that is no vector": (
        lambda: trained(
            Embedded(conditional(), Embedding(3, 3, rngs=nnx.Rngs(1))), (X, LABELS.astype(float))
        ),
        r"expected integer labels 0\.\.2, got float64",
    ),
    "labels that are words": (
        lambda: trained(conditional(), (X, np.array(["a", "b"] * 10))),
        r"the contexts of the training data: expected numbers, got 'a' in row 0",
    ),
    "validation data without labels": (
        lambda: trained(conditional(), (X, LABELS), X),
        r"the validation data hold no contexts: this is a conditional model; expected a context",
    ),
    "training data without labels": (
        lambda: trained(conditional(), X, (X, LABELS)),
        r"the training data hold no contexts: this is a conditional model",
    ),
    "contexts of another size": (
        lambda: trained(conditional(), (X, LABELS), {"x": X, "context": X}),
        r"the contexts of the validation data: expected shape \(n, 3\), got \(20, 2\)",
    ),
    "contexts in the place of validation data": (
        lambda: trained(conditional(), X, ONE_HOT),
        r"the validation data are of the shape of contexts, \(3,\), .* fit\(model, \(x, context\)",
    ),
    "a single context": (
        lambda: trained(conditional(), (X, np.float32(1))),
        "the training data: expected many contexts, got the number 1",
    ),
    "a weight too few": (
        lambda: trained(plain(), weighted(X, np.ones(19))),
        r"the training data: expected a weight for each of 20 examples, got .* shape \(19,\)",
    ),
    "a negative weight": (
        lambda: trained(plain(), weighted(X, np.linspace(-1, 1, 20))),
        "the weights of the training data: expected a finite number .* none of them negative",
    ),
    "weights of NaN": (
        lambda: trained(plain(), X, weighted(X, np.full(20, np.nan))),
        "the weights of the validation data: .*, got shape .*, nan to nan",
    ),
    "no weight at all": (
        lambda: trained(plain(), weighted(X, np.zeros(20))),
        "the weights of the training data: .* not all 0",
    ),
    "weights of nothing": (
        lambda: trained(plain(), Batch(weights=np.ones(3)), None, lambda *_: jnp.zeros(())),
        r"a weight for each of 0 examples, got weights of shape \(3,\)",
    ),
    "held out examples without weight": (
        lambda: trained(plain(), weighted(X, np.arange(20) == 0), 0.05),
        "the validation data: expected a weight above 0, got 1 examples of weight 0",
    ),
    "lengths of nothing": (
        lambda: trained(sequences(), Batch(BITS, lengths=np.zeros(20, int))),
        "the training data: expected lengths of 1 or more, got 20 of 0",
    ),
    "lengths of nothing in validation": (
        lambda: trained(sequences(), BITS, Batch(BITS, lengths=np.zeros(20, int))),
        "the validation data: expected lengths of 1 or more, got 20 of 0",
    ),
    "the whole as a fraction": (lambda: trained(plain(), X, 1.0), r"valid: .*between 0 and 1"),
    "a count as a fraction": (lambda: trained(plain(), X, 5), r"valid: .*, got 5"),
    "true as a fraction": (lambda: trained(plain(), X, True), r"valid: .*, got True"),
    "a fraction that leaves nothing": (
        lambda: trained(plain(), X[:2], 0.9),
        r"valid=0\.9: expected more than 2 examples to hold out 2, got 2",
    ),
    "a fraction of nothing": (
        lambda: trained(plain(), None, 0.5, lambda *_: jnp.zeros(())),
        "the validation data hold no examples",
    ),
    "a callback alone": (
        lambda: trained(plain(), X, callbacks=print),
        "callbacks: expected functions of a row, in a list, got <built-in function print>",
    ),
    "a callback that is none": (
        lambda: trained(plain(), X, callbacks=["stop"]),
        r"callbacks: expected functions of a row, in a list, got \['stop'\]",
    ),
}


ARGUMENTS = {
    "a model by name": (lambda: fit("maf", X), "expected a Model for model, got 'maf'"),
    "a bijector": (lambda: fit(ActNorm((2,)), X), "expected a Model for model, got a ActNorm"),
    "settings in a dictionary": (
        lambda: fit(plain(), X, None, {"steps": 3}),
        "expected a TrainSettings for settings, got {'steps': 3}",
    ),
    "settings in the place of validation data": (
        lambda: fit(plain(), X, SETTINGS),
        "the validation data: expected an array of numbers, got TrainSettings",
    ),
    "an objective by name": (
        lambda: trained(plain(), X, objective="likelihood"),
        "unknown objective .likelihood.",
    ),
    "a loss of words": (
        lambda: trained(plain(), X, objective=lambda *_: "high"),
        "objective: expected a scalar loss, got 'high'",
    ),
    "losses in a dictionary": (
        lambda: trained(plain(), X, objective=lambda *_: {"loss": 1.0}),
        "objective: expected a scalar loss, got {'loss': 1.0}",
    ),
    "patience without losses to count": (
        lambda: trained(plain(), X, patience=2),
        "expected validation data, or a fraction .* for patience=2 to count",
    ),
    "a text of other characters": (
        lambda: trained(in_one_order(), text("ab"), text("bc")),
        r"the validation data have another vocabulary .*; give valid\.in_vocabulary\(train",
    ),
    "labels of other classes": (
        lambda: trained(of_labels(), shown("cat", "dog"), shown("dog", "elk")),
        r"the validation data have other classes .*; give valid\.in_classes\(train\.classes",
    ),
    "a mesh by name": (
        lambda: fit(plain(), X, mesh="data"),
        "expected a Mesh for mesh, got 'data'",
    ),
    "a mesh of another axis": (
        lambda: fit(plain(), X, mesh=jax.make_mesh((1,), ("rows",))),
        "mesh: expected one with an axis 'data', got {'rows': 1}",
    ),
}
REFUSED.update(ARGUMENTS)


@pytest.mark.parametrize("mistake", REFUSED)
def test_one_clear_error(mistake):
    act, said = REFUSED[mistake]
    with pytest.raises((TypeError, ValueError), match=said) as raised:
        act()
    assert raised.type in (TypeError, ValueError, ShapeError)
    assert "\n" not in str(raised.value)


def test_an_error_in_an_objective_of_ones_own_keeps_its_place():
    def objective(model, batch, key):
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine") as raised:
        trained(plain(), X, objective=objective)
    assert raised.value.__cause__ is None
    assert "objective" in [entry.name for entry in raised.traceback]
