"""Bad input gets one clear error, where it enters, and nothing that was there is lost.

A line of a table for each mistake: what is done, the error's type, and what it says. Mistakes in
what is typed at the command line are in `test_cli.py`, those in overrides in
`training/test_experiment.py`, and those in the files of data sets in `data/`.
"""

import dataclasses
import hashlib
import json
import re
import shutil
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen import ShapeError, bijectors, data, likelihoods, zoo
from jaxgen.cli import main
from jaxgen.conditionals import MADE
from jaxgen.data import Dataset
from jaxgen.evaluation import evaluate
from jaxgen.models import Autoregressive, Dequantized, Ensemble, Flow, StandardNormal
from jaxgen.models.scoring import score
from jaxgen.runs import Recipe, RunError, train
from jaxgen.training import TrainSettings, fit

SETTINGS = TrainSettings(steps=2, batch_size=4, steps_per_dispatch=1, checkpoint_every=1)


def rngs():
    return nnx.Rngs(0)


def points(value=0.0, n=8):
    return np.full((n, 2), value, np.float32)


def flow(**options):
    return zoo.maf((2,), layers=1, hidden=(4,), **options, rngs=rngs())


def made(levels=2, **options):
    return zoo.made((2,), levels=levels, hidden=(4,), **options, rngs=rngs())


def quick_fit(model, *arguments, **options):
    return fit(model, *arguments, settings=SETTINGS, progress=False, **options)


def with_bad_row(value):
    x = points()
    x[3, 1] = value
    return x


# --- models and layers ---

MODELS = {
    # wrong shapes
    "wrong event": (
        lambda: flow().log_prob(np.zeros((4, 3), np.float32)),
        ShapeError,
        r"Flow\.log_prob: expected shape \(\*batch, 2\), got \(4, 3\)",
    ),
    "too few axes": (
        lambda: flow().log_prob(np.float32(0)),
        ShapeError,
        r"expected shape \(\*batch, 2\), got \(\)",
    ),
    "flattened images": (
        lambda: zoo.made((2, 2, 1), hidden=(4,), rngs=rngs()).log_prob(np.zeros((5, 4), int)),
        ShapeError,
        r"Autoregressive\.log_prob: expected shape \(\*batch, 2, 2, 1\), got \(5, 4\)",
    ),
    "a layer that does not fit": (
        lambda: bijectors.Chain([bijectors.Flip(), bijectors.ActNorm((3,))]).inverse(points()),
        ShapeError,
        r"expected shape \(\*batch, 3\), got \(8, 2\)",
    ),
    "layers that do not fit each other": (
        lambda: bijectors.Chain([bijectors.ActNorm((2,)), bijectors.ActNorm((3,))]),
        ShapeError,
        r"\(2,\).*\(3,\)|\(3,\).*\(2,\)",
    ),
    "a base that does not fit": (
        lambda: Flow(bijectors.ActNorm((2,)), StandardNormal((3,))),
        ShapeError,
        r"expects a base of shape \(2,\), got \(3,\)",
    ),
    "odd sides to squeeze": (
        lambda: bijectors.Squeeze((5, 4, 1)),
        ShapeError,
        r"sides divisible by 2, got \(5, 4, 1\); pad or crop",
    ),
    "odd sides to glow": (
        lambda: zoo.glow((5, 4, 1), levels=1, steps=1, width=4, rngs=rngs()),
        ShapeError,
        r"glow: levels: .* divisible by 2, got \(5, 4, 1\).* \(in a model of \(5, 4, 1\), levels=1",
    ),
    "more levels than an image has": (
        lambda: zoo.nsf((4, 4, 1), levels=3, steps=1, width=4, rngs=rngs()),
        ShapeError,
        r"nsf: levels: expected sides divisible by 8, got \(4, 4, 1\); take fewer levels, which",
    ),
    "patches without halves": (
        lambda: zoo.jet((6, 6, 1), width=4, rngs=rngs()),
        ShapeError,
        r"jet: patches of side 2 of \(6, 6, 1\) .* got \(3, 3\)",
    ),
    "mask sampling in one order": (
        lambda: zoo.made((4,), connectivity_agnostic=True, rngs=rngs()),
        ValueError,
        r"needs several orders, got num_orders=1",
    ),
    "marginals of unbounded data": (
        lambda: zoo.glow((2, 2, 1), levels=1, steps=1, width=4, marginal_bins=4, rngs=rngs()),
        ValueError,
        r"marginal_bins is for bounded data.*bounds=None",
    ),
    "a vector to squeeze": (
        lambda: bijectors.Squeeze((4,)),
        ShapeError,
        r"expected \(height, width, channels\).*got \(4,\)",
    ),
    # wrong values
    "integers to a flow": (
        lambda: flow().log_prob(np.zeros((4, 2), int)),
        ShapeError,
        "expected real values, got int.*Dequantized",
    ),
    "non-binary values to Bernoulli": (
        lambda: made().log_prob(np.array([[0, 2]])),
        ValueError,
        "Bernoulli: expected values 0 and 1, got 2; binarize",
    ),
    "grey values to Bernoulli": (
        lambda: made().log_prob(np.array([[0.0, 0.5]], np.float32)),
        ValueError,
        r"Bernoulli: expected values 0 and 1, got 0\.5; binarize",
    ),
    "a level too high": (
        lambda: made(levels=4).log_prob(np.array([[0, 4]])),
        ValueError,
        "Categorical: expected levels from 0 to 3, got values from 0 to 4",
    ),
    "a level too low": (
        lambda: made(levels=4).log_prob(np.array([[-1, 0]])),
        ValueError,
        "Categorical: expected levels from 0 to 3, got values from -1 to 0",
    ),
    "floats for levels": (
        lambda: made(levels=4).log_prob(points()),
        ValueError,
        r"Categorical: expected integer levels 0\.\.3, got float32; quantize",
    ),
    "floats for levels, traced": (
        lambda: jax.jit(Autoregressive.log_prob)(made(levels=4), points()),
        ValueError,
        r"Categorical: expected integer levels 0\.\.3, got float32",
    ),
    "floats to dequantize": (
        lambda: Dequantized(flow(), 4).elbo(points(), jax.random.key(0)),
        ValueError,
        r"Dequantized: expected integer levels 0\.\.3, got float32",
    ),
    "integers to a normal": (
        lambda: made(levels=None).log_prob(np.zeros((4, 2), int)),
        ValueError,
        "Normal: expected real values, got int",
    ),
    "one level": (lambda: likelihoods.Categorical(1), ValueError, "at least 2 levels, got 1"),
    # context
    "an unasked context": (
        lambda: flow().log_prob(points(), points()),
        ShapeError,
        r"Flow\.log_prob: this model is unconditional, but a context was given",
    ),
    "an unasked context to sample": (
        lambda: made().sample(jax.random.key(0), 2, points()),
        ShapeError,
        r"Autoregressive\.sample: this model is unconditional, but a context was given",
    ),
    "no context": (
        lambda: flow(context_features=3).log_prob(points()),
        ShapeError,
        r"Flow\.log_prob: this is a conditional model; expected a context of shape "
        r"\(\*batch, 3\), got None",
    ),
    "no context to sample": (
        lambda: made(context_features=3).sample(jax.random.key(0), 2),
        ShapeError,
        r"Autoregressive\.sample: this is a conditional model; expected a context",
    ),
    "a context of another size": (
        lambda: flow(context_features=3).log_prob(points(), points()),
        ShapeError,
        r"context: expected shape \(\*batch, 3\), got \(8, 2\)",
    ),
    "contexts of another number": (
        lambda: flow(context_features=2).log_prob(points(), points(n=5)),
        ShapeError,
        r"context's batch shape \(5,\) does not broadcast to the data's \(8,\)",
    ),
    # orders
    "an order that repeats": (
        lambda: made().log_prob(np.zeros((1, 2), int), order=jnp.array([0, 0])),
        ShapeError,
        r"MADE: the order is not a permutation of 0\.\.1",
    ),
    "an order of another length": (
        lambda: made().log_prob(np.zeros((1, 2), int), order=jnp.array([0, 1, 2])),
        ShapeError,
        r"MADE: expected an order of 2 integers, got int32\(3,\)",
    ),
    "an order for a fixed one": (
        lambda: zoo.markov((2,), levels=None, rngs=rngs()).log_prob(
            points(), order=jnp.array([1, 0])
        ),
        ShapeError,
        "Markov: its generation order is fixed, but an order was given",
    ),
    "an order of another length, in waves": (
        lambda: MADE((2,), 1, hidden=(4,), rngs=rngs()).generate(
            lambda t, params: (params[..., 0],) * 2, (), order=jnp.arange(3), method="wavefront"
        ),
        ShapeError,
        r"MADE: expected an order of 2 integers, got int32\(3,\)",
    ),
    "an order for a fixed one, in waves": (
        lambda: zoo.markov((2,), levels=None, rngs=rngs()).conditional.generate(
            lambda t, params: (params[..., 0],) * 2,
            (),
            order=jnp.array([1, 0]),
            method="wavefront",
        ),
        ShapeError,
        "Markov: its generation order is fixed, but an order was given",
    ),
    "a prefix longer than the event": (
        lambda: MADE((2,), 1, hidden=(4,), rngs=rngs()).prefill(points(), 3),
        ShapeError,
        r"MADE\.prefill: expected a prefix of 0 to 2 positions, got 3",
    ),
    "a longer prefix for steps one at a time": (
        lambda: zoo.markov((2,), levels=None, rngs=rngs()).conditional.prefill(points(), 3),
        ShapeError,
        r"Markov\.prefill: expected a prefix of 0 to 2 positions, got 3",
    ),
    "a sequence longer than the model's": (
        lambda: zoo.attention((2,), width=4, depth=1, heads=1, rngs=rngs()).log_prob(
            np.zeros((5, 3), int)
        ),
        ShapeError,
        r"expected shape \(\*batch, 2\), got \(5, 3\)",
    ),
    "a mask of another shape": (
        lambda: made().complete(
            jax.random.key(0), np.zeros((1, 2), int), np.array([True, False, True]), 1
        ),
        ShapeError,
        r"expected a boolean mask of shape \(2,\), or .* got bool\(3,\)",
    ),
    "a mask of numbers": (
        lambda: made().conditional_log_prob(np.zeros((1, 2), int), np.array([1, 0])),
        ShapeError,
        r"expected a boolean mask of shape \(2,\), or .* got int\d+\(2,\)",
    ),
    "an ensemble's order that repeats": (
        lambda: Ensemble(made(), jnp.array([[0, 1], [1, 1]])),
        ShapeError,
        r"the order is not a permutation of 0\.\.1",
    ),
    "a permutation that repeats": (
        lambda: bijectors.Permutation((3,), jnp.array([0, 1, 1])),
        ValueError,
        r"expected a permutation of 0\.\.2",
    ),
    # the rest
    "a head that does not fit": (
        lambda: Autoregressive(MADE((2,), 1, hidden=(4,), rngs=rngs()), likelihoods.Normal()),
        ShapeError,
        "Normal needs 2 parameters for a position",
    ),
    "an unknown method": (
        lambda: made().sample(jax.random.key(0), 2, method="fast"),
        ValueError,
        "unknown sampling method 'fast': ",
    ),
    "a negative number of samples": (
        lambda: flow().sample(jax.random.key(0), -1),
        ValueError,
        r"Flow\.sample: expected num_samples >= 0, got -1",
    ),
    "half a sample": (
        lambda: flow().sample(jax.random.key(0), 1.5),
        ValueError,
        r"Flow\.sample: expected an integer num_samples >= 0, got 1.5",
    ),
    "less than no importance samples": (
        lambda: flow().importance_log_prob(points(), jax.random.key(0), -1),
        ValueError,
        r"Flow\.importance_log_prob: expected num_samples >= 1, got -1",
    ),
    "no importance samples of an exact model": (
        lambda: flow().importance_log_prob(points(), jax.random.key(0), 0),
        ValueError,
        r"Flow\.importance_log_prob: expected num_samples >= 1, got 0",
    ),
    "no order": (
        lambda: zoo.eonade((2,), hidden=(4,), num_orders=0, rngs=rngs()),
        ValueError,
        "eonade: .* for num_orders, got 0",
    ),
    "no order for a batch": (
        lambda: zoo.made((2,), hidden=(4,), num_orders=2, orders_per_batch=0, rngs=rngs()),
        ValueError,
        "made: expected .* for orders_per_batch, got 0",
    ),
    "an image for WaveNet": (
        lambda: zoo.wavenet((2, 2, 1), rngs=rngs()),
        ShapeError,
        r"expected a signal \(length,\) or \(length, channels\), got \(2, 2, 1\)",
    ),
    "nothing to score": (
        lambda: score(flow(), np.zeros((0, 2), np.float32)),
        ValueError,
        "expected at least one example, got none",
    ),
    "no exact likelihood": (
        lambda: Dequantized(flow(), 4).log_prob(np.zeros((1, 2), int)),
        TypeError,
        "no exact log_prob.*elbo.*importance_log_prob",
    ),
    "nothing to freeze": (
        lambda: jaxgen.freeze(flow(), "bijektor"),
        ValueError,
        "freeze matched no parameter; the parameters are bijector",
    ),
    "an unknown model": (
        lambda: zoo.build("realnpv", (2,), {}, rngs=rngs()),
        ValueError,
        "unknown model 'realnpv': did you mean 'realnvp'",
    ),
    "an unknown hyperparameter": (
        lambda: zoo.build("maf", (2,), {"layer": 1}, rngs=rngs()),
        ValueError,
        "unknown maf hyperparameter 'layer': did you mean 'layers'",
    ),
    "an unknown key": (
        lambda: Recipe.from_dict({"model": "maf", "data": "digits", "trian": {}}),
        ValueError,
        "unknown configuration key 'trian': did you mean 'train'",
    ),
    "an unknown data set": (
        lambda: data.load("digitz"),
        ValueError,
        "unknown data set 'digitz': did you mean 'digits'",
    ),
    "an unknown split": (
        lambda: data.load("digits", "validation"),
        ValueError,
        "unknown split 'validation'",
    ),
    # data
    "NaN in a data set": (
        lambda: Dataset("any", "train", with_bad_row(np.nan)),
        ValueError,
        "expected finite values, got NaN or infinity in 1 of 8 rows, the first of them row 3",
    ),
    "levels that a data set has not": (
        lambda: Dataset("any", "train", np.array([[0, 5]]), levels=5),
        ValueError,
        "expected integers from 0 to 4, because levels is 5, got 0 to 5",
    ),
    "an empty data set": (
        lambda: Dataset("any", "train", points(n=0)),
        ValueError,
        r"at least one row, got shape \(0, 2\)",
    ),
    # training
    "NaN to train on": (
        lambda: quick_fit(flow(), with_bad_row(np.nan)),
        ValueError,
        "Flow: the data hold 1 NaN or infinite values; remove or fill",
    ),
    "infinity to train on": (
        lambda: quick_fit(flow(), with_bad_row(-np.inf)),
        ValueError,
        "Flow: the data hold 1 NaN or infinite values",
    ),
    "NaN to a density of real values without a flow": (
        lambda: quick_fit(made(levels=None), with_bad_row(np.nan)),
        ValueError,
        "NaN",
    ),
    "NaN to validate": (
        lambda: quick_fit(flow(), points(), with_bad_row(np.nan)),
        ValueError,
        "the data hold 1 NaN or infinite values",
    ),
    "NaN in the contexts": (
        lambda: quick_fit(flow(context_features=2), (points(), with_bad_row(np.nan))),
        ValueError,
        "the contexts of the training data hold NaN",
    ),
    "non-binary values to train on": (
        lambda: quick_fit(made(), np.full((8, 2), 3)),
        ValueError,
        "Bernoulli: expected values 0 and 1, got 3",
    ),
    "levels out of range to train on": (
        lambda: quick_fit(Dequantized(flow(), 4), np.full((8, 2), 4)),
        ValueError,
        "Dequantized: expected levels from 0 to 3, got values from 4 to 4",
    ),
    "integers to train a flow on": (
        lambda: quick_fit(flow(), np.zeros((8, 2), int)),
        ValueError,
        "Flow: expected real values, got int64.*Dequantized",
    ),
    "wrong shape to train on": (
        lambda: quick_fit(flow(), np.zeros((8, 3), np.float32)),
        ShapeError,
        r"Flow: expected shape \(\*batch, 2\), got \(8, 3\)",
    ),
    "an axis too many to train on": (
        lambda: quick_fit(flow(), np.zeros((8, 1, 2), np.float32)),
        ShapeError,
        r"the training data: expected shape \(n, 2\), got \(8, 1, 2\)",
    ),
    "wrong shape to validate": (
        lambda: quick_fit(flow(), points(), np.zeros((8, 3), np.float32)),
        ShapeError,
        r"expected shape \(\*batch, 2\), got \(8, 3\)",
    ),
    "a single example": (
        lambda: quick_fit(flow(), points()[0]),
        ShapeError,
        r"the training data: expected shape \(n, 2\), got \(2,\)",
    ),
    "nothing to train on": (
        lambda: quick_fit(flow(), points(n=0)),
        ValueError,
        r"the training data are empty: expected \(n, \(2,\)\)",
    ),
    "nothing to validate": (
        lambda: quick_fit(flow(), points(), points(n=0)),
        ValueError,
        "the validation data are empty",
    ),
    "fewer contexts than examples": (
        lambda: quick_fit(flow(context_features=2), (points(), points(n=7))),
        ValueError,
        "8 examples, but 7 contexts",
    ),
    "contexts to an unconditional model": (
        lambda: quick_fit(flow(), (points(), points())),
        ShapeError,
        "this model is unconditional, but a context was given",
    ),
    "a conditional model without contexts": (
        lambda: quick_fit(flow(context_features=2), points()),
        ShapeError,
        "this is a conditional model; expected a context",
    ),
    "a batch larger than the data": (
        lambda: quick_fit(flow(), points(n=3)),
        ValueError,
        "expected a batch size from 1 to the 3 examples there are, got 4",
    ),
    "an unknown optimizer": (
        lambda: fit(flow(), points(), settings=dataclasses.replace(SETTINGS, optimizer="adamm")),
        ValueError,
        "unknown optimizer 'adamm': did you mean 'adam'",
    ),
    "arguments that an optimizer has not": (
        lambda: fit(
            flow(), points(), settings=dataclasses.replace(SETTINGS, optimizer_args={"beta": 1})
        ),
        ValueError,
        "optimizer_args: .*'beta'",
    ),
    # evaluation
    "an axis too many to score": (
        lambda: evaluate(flow(), Dataset("any", "test", np.zeros((3, 1, 2), np.float32))),
        ShapeError,
        r"Flow: expected events of shape \(2,\), got \(1, 2\) from any",
    ),
    "levels to score with a flow": (
        lambda: evaluate(flow(), Dataset("any", "test", np.ones((3, 2), int), levels=2)),
        ValueError,
        "Flow: expected real values, got int64",
    ),
}


@pytest.mark.parametrize("mistake", MODELS)
def test_one_clear_error(mistake):
    act, kind, said = MODELS[mistake]
    with pytest.raises(kind, match=said) as raised:
        act()
    assert raised.type is kind  # and not some other ValueError, such as one of numpy's
    assert "\n" not in str(raised.value)


# --- run directories ---


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "points.npz"
    x = np.random.default_rng(0).normal(size=(30, 2))
    np.savez(path, train=x[:16], valid=x[16:20], test=x[20:])
    return path


@pytest.fixture(scope="module")
def experiment(archive):
    return Recipe(
        model="made",
        data=f"npz:{archive}",
        model_args={"levels": None, "hidden": [4]},
        train=SETTINGS,
    )


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    """A run of two steps with a checkpoint of each."""
    run = tmp_path_factory.mktemp("runs") / "run"
    train(experiment, run, progress=False)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"1", "2"}
    return run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it to be damaged."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder, with a digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def write_config(**changes):
    def damage(run):
        path = run / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def write(name, text):
    return lambda run: (run / name).write_text(text)


def remove(pattern):
    def damage(run):
        paths = list(run.glob(pattern))
        assert paths
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def truncate(pattern):
    def damage(run):
        paths = list(run.glob(pattern))
        assert paths
        for path in paths:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def flip_a_byte(pattern):
    def damage(run):
        for path in run.glob(pattern):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 0xFF
            path.write_bytes(content)

    return damage


READ_ERROR = r"checkpoint .*checkpoints/2 cannot be read and seems damaged \(\w+\); that of step 1 "
OTHER_MODEL = {"model": "made", "data": "digits", "model_args": {"levels": None, "hidden": [5]}}

DAMAGED = {
    "no configuration": (remove("config.json"), "is not a run directory: it has no config.json"),
    "an empty configuration": (write("config.json", ""), "config.json is damaged: JSONDecodeError"),
    "half a configuration": (truncate("config.json"), "config.json is damaged: JSONDecodeError"),
    "lists in lists": (write("config.json", "[" * 100_000), "config.json is damaged: Recursion"),
    "a configuration of bytes": (
        lambda run: (run / "config.json").write_bytes(b"\xff\xfe\x00"),
        "config.json is damaged: UnicodeDecodeError",
    ),
    "a list for a configuration": (write("config.json", "[]"), "config.json is damaged: TypeError"),
    "a key of the configuration missing": (
        write("config.json", '{"name": "made"}'),
        "config.json is damaged: KeyError",
    ),
    "no experiment": (write_config(recipe=None), "config.json is damaged.*got None"),
    "an unknown setting": (
        write_config(recipe={**OTHER_MODEL, "train": {"stepz": 1}}),
        "config.json is damaged.*unknown training setting 'stepz'",
    ),
    "a setting of another type": (
        write_config(recipe={**OTHER_MODEL, "train": {"steps": "x"}}),
        "config.json is damaged.*steps: expected int, got 'x'",
    ),
    "no event": (write_config(event_shape=None), "config.json is damaged"),
    "an event that is none": (write_config(event_shape=["a"]), "config.json is damaged"),
    "another model": (
        write_config(recipe=OTHER_MODEL),
        r"checkpoints/2 belongs to another model: expected shape \(5,\) at .*, got shape \(4,\)",
    ),
    "a deeper model": (
        write_config(recipe={**OTHER_MODEL, "model_args": {"levels": None, "hidden": [4, 4]}}),
        r"belongs to another model: expected shape \(4,\) at .*, got nothing",
    ),
    "no checkpoints": (
        remove("checkpoints"),
        "no checkpoint has been written yet, and there is no ",
    ),
    "no checkpoint": (remove("checkpoints/*"), "no checkpoint has been written yet"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_run(damage, run, capsys):
    act, said = DAMAGED[damage]
    act(run)
    before = contents(run)
    with pytest.raises(RunError, match=said):
        jaxgen.load(run)
    assert main(["evaluate", str(run)]) == 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1), err
    assert contents(run) == before


DAMAGED_NEWEST = {
    "an empty checkpoint": remove("checkpoints/2/*"),
    "no model in the checkpoint": remove("checkpoints/2/model"),
    "no index of the arrays": remove("checkpoints/2/model/manifest.ocdbt"),
    "no metadata": remove("checkpoints/2/model/_METADATA"),
    "half of the metadata": truncate("checkpoints/2/model/_METADATA"),
    "half of the arrays": truncate("checkpoints/2/model/d/*"),
    "a changed byte in the arrays": flip_a_byte("checkpoints/2/model/d/*"),
}


@pytest.mark.parametrize("damage", DAMAGED_NEWEST)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, finished, run, tmp_path, capsys):
    DAMAGED_NEWEST[damage](run)
    before = contents(run)
    with pytest.warns(UserWarning, match=READ_ERROR):
        model = jaxgen.load(run)
    shutil.copytree(finished, tmp_path / "earlier")
    shutil.rmtree(tmp_path / "earlier/checkpoints/2")
    with pytest.warns(UserWarning, match="that of step 1, although training came to step 2"):
        expected = jaxgen.load(tmp_path / "earlier")
    np.testing.assert_array_equal(model.log_prob(points()), expected.log_prob(points()))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["sample", str(run), "--out", str(tmp_path / "samples.png")]) == 0
    err = capsys.readouterr().err
    assert re.match(f"jaxgen: warning: the {READ_ERROR}", err)
    assert len(err.splitlines()) == 1, err
    assert contents(run) == before


RESUMED = {
    "half of the arrays": truncate("checkpoints/2/state/d/*"),
    "no progress": remove("checkpoints/2/progress"),
    "half of the progress": truncate("checkpoints/2/progress/metadata"),
}


@pytest.mark.parametrize("damage", RESUMED)
def test_training_goes_on_from_before_a_damaged_checkpoint(damage, finished, run, experiment):
    RESUMED[damage](run)
    with pytest.warns(UserWarning, match=READ_ERROR):
        train(experiment, run, progress=False)
    found, expected = jaxgen.load(run), jaxgen.load(finished)
    np.testing.assert_array_equal(found.log_prob(points()), expected.log_prob(points()))


OTHER_CONFIGURATIONS = {
    "another setting": (["steps=3"], r"recipe\.train\.steps: 2 there, 3 now"),
    "another seed": (["seed=1"], r"recipe\.train\.seed: 0 there, 1 now"),
    "another size": (
        ["hidden=[5]"],
        r"recipe\.model_args\.hidden: \[4\] there, \[5\] now",
    ),
    "a setting more": (["dropout=0.5"], r"recipe\.model_args\.dropout: None there, 0\.5 now"),
    "another data set": (["data=toy:rings"], r"recipe\.data: npz:.* there, toy:rings now"),
    "two things": (["seed=1", "steps=3"], r"train\.seed: 0 there, 1 now; .*steps: 2 there, 3 now"),
}


@pytest.mark.parametrize("name", OTHER_CONFIGURATIONS)
def test_a_resume_with_a_different_configuration(name, finished, experiment):
    overrides, said = OTHER_CONFIGURATIONS[name]
    before = contents(finished)
    with pytest.raises(
        RunError, match=f"holds a run of another configuration .*{said}.*choose another --out"
    ):
        train(experiment.override(overrides), finished, progress=False)
    assert contents(finished) == before


@pytest.mark.parametrize("where", ["run", "run/deeper"])
def test_an_output_path_with_a_file_in_the_way(where, tmp_path, experiment):
    (tmp_path / "run").write_text("precious")
    with pytest.raises(RunError, match=f"cannot write .*{where}"):
        train(experiment, tmp_path / where, progress=False)
    assert (tmp_path / "run").read_text() == "precious"


def test_samples_with_a_folder_in_the_way(finished, tmp_path, capsys):
    before = contents(finished)
    (tmp_path / "samples.png").mkdir()
    arguments = ["sample", str(finished), "--out", str(tmp_path / "samples.png")]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"jaxgen: cannot write {tmp_path / 'samples.png'}")
    assert len(err.splitlines()) == 1
    assert contents(finished) == before


def test_a_missing_run(tmp_path):
    with pytest.raises(RunError, match=r"absent is not a run directory: it has no config\.json"):
        jaxgen.load(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


REFUSED_BEFORE_A_RUN = {
    "a batch larger than the data": (["batch_size=17"], "expected a batch size from 1 to the 16"),
    "an unknown optimizer": (["optimizer=sgdd"], "unknown optimizer"),
    "an unknown model": (["model=mad"], "unknown model 'mad': did you mean 'made'"),
    "data that the model does not fit": (
        ["levels=2"],
        "made: expected levels=None among model_args, as npz:",
    ),
    "data of fewer levels than the model": (
        ["data=digits", "levels=256"],
        "made: expected levels=17 among model_args, as digits has no more, got a model of 256",
    ),
    "data of fewer levels by quantize": (
        ["data=digits", "levels=17", "quantize=4"],
        "made: expected levels=4 among model_args",
    ),
    "data that cannot be dequantized": (["dequantize=true"], "has real values"),
    "data that are not there": (["data=npz:absent.npz"], "found none at"),
}


@pytest.mark.parametrize("name", REFUSED_BEFORE_A_RUN)
def test_a_mistake_leaves_no_run_behind_that_would_stop_the_next_try(name, tmp_path, experiment):
    overrides, said = REFUSED_BEFORE_A_RUN[name]
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        train(experiment.override(overrides), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
