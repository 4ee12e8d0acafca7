"""Runs on sound: crops to train on, whole clips in the record, counted tables, WAV files."""

import json
import math
import wave

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen.data import load
from jaxgen.functional import companding
from jaxgen.models import Autoregressive, Embedded
from jaxgen.runs import Recipe, RunError, evaluate_run, sample, train
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood

PNG = b"\x89PNG\r\n\x1a\n"
log_prob = jax.jit(Autoregressive.log_prob)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty hums, louder for the second of two words, of lengths from 20 to 50."""
    rng = np.random.default_rng(0)
    lengths, words = rng.integers(20, 51, 40), np.arange(40) // 20
    hums = [
        (3000 + 20000 * word) * np.sin(0.7 * np.arange(n) + rng.uniform(0, 6))
        for n, word in zip(lengths, words, strict=True)
    ]
    path = tmp_path_factory.mktemp("data") / "hums.npz"
    audio = np.concatenate(hums).astype(np.int16)
    np.savez(path, audio=audio, length=lengths, index=np.arange(40) % 20, word=words)
    return f"audio:{path}:word"


def wavenet(data, **options):
    return Recipe(
        model="wavenet",
        data=data,
        model_args={"width": 4, "skip_width": 8, "dilations": [1, 2, 4]},
        crop=16,
        train=TrainSettings(
            steps=20, batch_size=8, steps_per_dispatch=10, eval_every=10, checkpoint_every=20
        ),
        **options,
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "hums"
    train(wavenet(data, class_features=2), run, progress=False)
    return run


@pytest.fixture(scope="module")
def counted(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "counted"
    arguments = {"levels": 256, "parents": 1, "shared": True}
    experiment = Recipe(
        model="markov",
        data=data,
        model_args=arguments,
        procedure="counting",
        procedure_args={"pseudo_counts": [1000.0, 5.0, 0.01]},
    )
    return run, experiment, train(experiment, run, progress=False)


def test_a_run_trains_on_crops_and_its_record_is_of_whole_clips(trained, data):
    config = json.loads((trained / "config.json").read_text())
    assert (config["event_shape"], config["rate"], config["num_classes"]) == ([16], 8000, 2)
    record = json.loads((trained / "record.json").read_text())
    test = load(data, "test")
    assert record["num_examples"] == len(test) == 10
    assert record["num_values"] == test.num_values == test.lengths.sum()
    assert (record["data"], record["data_sha256"]) == (data, test.sha256)
    model = jaxgen.load(trained, event_shape=test.event_shape)
    assert isinstance(model, Embedded)
    nats = 0.0
    for x, y, length in zip(test.x, test.y, test.lengths, strict=True):
        alone = jaxgen.load(trained, event_shape=(int(length),))
        nats += float(jax.jit(Embedded.log_prob)(alone, x[:length], y))
    assert record["value"] == pytest.approx(-nats / test.num_values / math.log(2), rel=1e-5)
    assert record["unit"] == "bits/dim"


def test_other_splits_and_pictures(trained):
    assert evaluate_run(trained, split="valid").num_examples == 10
    for name in ("samples.png", "loss.png"):
        assert (trained / name).read_bytes().startswith(PNG)


def test_samples_are_written_as_sound(trained, tmp_path):
    sample(trained, tmp_path / "two.wav", num=2, length=100)
    with wave.open(str(tmp_path / "two.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        frames = np.frombuffer(file.readframes(10_000), "<i2")
    assert len(frames) == 2 * (100 + 800)
    codes = companding.from_pcm(frames.reshape(2, 900))
    model = jaxgen.load(trained, event_shape=(100,))
    draw = jax.jit(Embedded.sample, static_argnums=2)
    expected = draw(model, jax.random.key(0), 1, np.arange(2))[0]
    np.testing.assert_array_equal(codes[:, :100], expected)
    assert (codes[:, 100:] == companding.SILENCE).all()


def test_a_longer_signal_starts_like_a_shorter_one(trained, tmp_path):
    draw = jax.jit(Embedded.sample, static_argnums=2)
    key, labels = jax.random.key(1), np.arange(2)
    short, long = (draw(jaxgen.load(trained, event_shape=(n,)), key, 1, labels) for n in (16, 40))
    np.testing.assert_array_equal(long[..., :16], short)


def test_counted_tables_are_chosen_in_validation(counted, data):
    run, _, result = counted
    losses = [row["valid_loss"] for row in result.history]
    assert [row["pseudo_count"] for row in result.history] == [1000.0, 5.0, 0.01]
    assert result.best_step == 1 + int(np.argmin(losses))
    assert not (run / "loss.png").exists()
    training, test = load(data, "train"), load(data, "test")
    strength = result.history[result.best_step - 1]["pseudo_count"]
    model = jaxgen.load(run)
    expected = model.conditional.estimate(
        training.x, strength, lengths=training.lengths, backoff=True
    )
    np.testing.assert_array_equal(model.conditional.table[...], expected.table[...])
    nats = log_prob(model, test.x, lengths=test.lengths)
    record = json.loads((run / "record.json").read_text())
    bits = -float(nats.sum()) / test.num_values / math.log(2)
    assert record["value"] == pytest.approx(bits, rel=1e-5)
    assert bits < 8


def test_a_counted_run_is_not_counted_again(counted, monkeypatch):
    run, experiment, result = counted
    monkeypatch.setattr("jaxgen.conditionals.Markov.estimate", None)
    again = train(experiment, run, progress=False)
    assert (again.best_step, again.history) == (result.best_step, result.history)


def test_padding_has_no_part_in_the_loss(data):
    pieces = load(data, "valid").crops(16)
    assert (pieces.lengths < 16).any()
    model = wavenet(data).build((16,), 256)
    other = np.array(pieces.x)
    other[np.arange(16) >= pieces.lengths[:, None]] = 7
    losses = [
        negative_log_likelihood(model, Batch(x, None, pieces.lengths), jax.random.key(0))
        for x in (pieces.x, other)
    ]
    assert losses[0] == losses[1]
    assert losses[0] == pytest.approx(math.log(256) * pieces.lengths.mean(), rel=1e-5)


def test_refuses_lengths_that_do_not_fit(data):
    model = wavenet(data).build((16,), 256)
    x, settings = np.zeros((4, 16), int), TrainSettings(steps=1, batch_size=2)
    with pytest.raises(ValueError, match=r"a length for each example, got lengths of shape \(3,\)"):
        fit(model, Batch(x, None, np.ones(3, int)), settings=settings)
    with pytest.raises(ValueError, match="expected lengths from 0 to 16, got 1 to 17"):
        fit(model, Batch(x, None, np.array([1, 2, 3, 17])), settings=settings)


def test_refuses_sound_of_models_that_make_none(trained, counted, tmp_path):
    with pytest.raises(ValueError, match="expected a length of at least 1"):
        sample(trained, tmp_path / "x.png", length=0)
    points = Recipe(
        model="maf",
        data="toy:rings",
        model_args={"layers": 1, "hidden": [2]},
        train=TrainSettings(steps=1, steps_per_dispatch=1),
    )
    train(points, tmp_path / "points", progress=False)
    with pytest.raises(ValueError, match=r"expected a run of sound for a \.wav file"):
        sample(tmp_path / "points", tmp_path / "x.wav")
    with pytest.raises(RunError, match="another length is for models of signals or sequences"):
        sample(tmp_path / "points", tmp_path / "x.png", length=3)
    with pytest.raises(RunError, match=r"cannot write .*x\.wav"):
        sample(trained, tmp_path / "absent" / "x.wav", num=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"procedure": "counting", "procedure_args": {"pseudo_counts": []}},
            r"pseudo_counts: expected at least one number, got \[\]",
        ),
        ({"procedure": "counting"}, "procedure_args: counting takes pseudo_counts, got none"),
        ({"crop": 1.5}, "crop: expected int or None"),
    ],
)
def test_refuses_wrong_options(options, said):
    with pytest.raises(ValueError, match=said):
        Recipe(model="markov", data="digits", **options).resolve_procedure()
