"""Experiments on p(x | label), from the file to the picture; and those with learned noise."""

import json

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen.data import load
from jaxgen.models import Dequantized, Embedded
from jaxgen.runs import Recipe, RunError, evaluate_run, sample, train
from jaxgen.training import TrainSettings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes that no unconditional model of independent entries could tell apart."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, rows in (("train", 400), ("valid", 60), ("test", 50)):
        arrays[f"{split}_y"] = rng.integers(0, 2, rows)
        low = 4 * arrays[f"{split}_y"][:, None]
        arrays[f"{split}_x"] = (low + rng.integers(0, 4, (rows, 3))).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "classes.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


def experiment(data, **options):
    return Recipe(
        model="maf",
        data=data,
        model_args={"layers": 1, "hidden": [8], "bounds": [0, 256]},
        dequantize=True,
        train=TrainSettings(
            steps=300, batch_size=50, learning_rate=1e-2, eval_every=150, checkpoint_every=300
        ),
        **options,
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "classes"
    train(experiment(data, class_features=4, eval_space="logit"), run, progress=False)
    return run


@pytest.mark.slow
def test_samples_follow_their_class(trained):
    model = jaxgen.load(trained)
    assert isinstance(model, Embedded)
    labels = np.array([0, 1])
    x = jax.jit(type(model).sample, static_argnums=2)(model, jax.random.key(0), 200, labels)
    assert x.shape == (200, 2, 3)
    means = x.mean((0, 2))
    np.testing.assert_allclose(means, [1.5, 5.5], atol=0.5)


def test_the_record_is_in_logit_space(trained, data):
    record = json.loads((trained / "record.json").read_text())
    assert record["data"] == f"{data} in logit space (alpha=1e-06)"
    assert (record["unit"], record["estimator"]) == ("nats", "exact")
    assert record["num_examples"] == 50
    assert str(evaluate_run(trained, split="valid")).startswith("maf on npz:")


def test_the_configuration_knows_the_number_of_classes(trained, data):
    config = json.loads((trained / "config.json").read_text())
    assert config["num_classes"] == 2
    with pytest.raises(RunError, match=r"class_features: 4 there, 5 now"):
        train(experiment(data, class_features=5, eval_space="logit"), trained, progress=False)


def test_a_picture_has_a_column_for_each_class(trained, tmp_path):
    sample(trained, tmp_path / "samples.png", num=6)
    assert (tmp_path / "samples.png").stat().st_size > 0


def test_a_run_of_an_older_configuration_is_continued(trained, data, tmp_path):
    run = tmp_path / "old"
    before = experiment(data).override(["steps=50", "checkpoint_every=50"])
    train(before, run, progress=False)
    config = json.loads((run / "config.json").read_text())
    for name in ("class_features", "dequantizer_args", "eval_space"):
        del config["recipe"][name]
    del config["num_classes"]
    (run / "config.json").write_text(json.dumps(config))
    assert not train(before, run, progress=False).interrupted
    assert jaxgen.load(run).context_shape is None


def test_noise_may_be_a_flow(data):
    given = experiment(data, dequantizer_args={"steps": 1, "hidden": [4]})
    parts = load(data, "train")
    model = given.build(parts.event_shape, parts.levels)
    assert isinstance(model, Dequantized)
    assert model.noise is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eval_space": "logits"}, "did you mean 'logit'"),
        ({"class_features": 2.5}, "class_features: expected int or None"),
    ],
)
def test_refuses_unknown_options(data, options, said):
    with pytest.raises(ValueError, match=said):
        experiment(data, **options)


def test_refuses_noise_without_dequantization():
    with pytest.raises(ValueError, match="expected dequantize=True"):
        Recipe(model="maf", data="toy:pinwheel", dequantizer_args={})


def test_refuses_data_without_labels():
    with pytest.raises(ValueError, match="has no labels"):
        Recipe(model="maf", data="x", class_features=2).build((2,), None, None)
