"""A model that was saved is given back to the bit, without anything executed."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import registry
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.bijectors import ActNorm
from jaxgen.conditionals import MADE
from jaxgen.core import describe, leaves_by_path
from jaxgen.likelihoods import Bernoulli
from jaxgen.models import Autoregressive, Dequantized, Embedded, Ensemble, Flow
from jaxgen.networks import Embedding
from jaxgen.runs import Recipe, RunError, evaluate_run, saving
from jaxgen.testing.members import cast, perturb
from jaxgen.training import TrainSettings, fit


def small(seed=0, hidden=(6,), **options):
    return zoo.maf((2,), layers=2, hidden=hidden, rngs=nnx.Rngs(seed), **options)


def assert_same(got, expected):
    """To the bit, with the same dtypes, and the same parts frozen."""
    assert describe(got) == describe(expected)
    ours, theirs = leaves_by_path(got), leaves_by_path(expected)
    assert ours.keys() == theirs.keys()
    for name, leaf in ours.items():
        assert type(leaf) is type(theirs[name]), name
        assert np.asarray(leaf[...]).tobytes() == np.asarray(theirs[name][...]).tobytes(), name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if example.slow else ())
        for name, example in registry.MODELS.items()
    ],
)
def test_every_model_comes_back(name, tmp_path):
    make = registry.MODELS[name].make
    model = perturb(make(nnx.Rngs(0)), jax.random.key(1))
    jaxgen.save(model, tmp_path / "model")
    like = make(nnx.Rngs(2)) if model.origin is None else None
    assert_same(jaxgen.load(tmp_path / "model", like=like), model)


VARIANTS = {
    "frozen": lambda: jaxgen.freeze(small()),
    "frozen in part": lambda: jaxgen.freeze(small(), "bijector.layers.0.steps"),
    "computing in bfloat16": lambda: jaxgen.compute_in(small(), jnp.bfloat16),
    "keeping less for the gradient": lambda: jaxgen.rematerialize(small()),
    "of bfloat16": lambda: cast(small(), jnp.bfloat16),
    "of float16": lambda: cast(small(), jnp.float16),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_constructor_does_not_say_comes_back_too(name, tmp_path):
    model = VARIANTS[name]()
    jaxgen.save(model, tmp_path)
    assert_same(jaxgen.load(tmp_path), model)


@pytest.mark.usefixtures("x64")
def test_double_precision_comes_back(tmp_path):
    model = cast(small(), jnp.float64)
    jaxgen.save(model, tmp_path)
    assert_same(jaxgen.load(tmp_path), model)
    with (
        jax.enable_x64(False),
        pytest.raises(RunError, match=r"expected jax_enable_x64 to be set, because .* float64"),
    ):
        jaxgen.load(tmp_path)


def test_a_trained_model_comes_back(tmp_path):
    x = np.random.default_rng(0).normal(3.0, 2.0, (32, 2)).astype(np.float32)
    settings = TrainSettings(steps=2, batch_size=16)
    model = fit(small(), x, settings=settings, progress=False).model
    jaxgen.save(model, tmp_path)
    assert_same(jaxgen.load(tmp_path), model)


def wrapped(seed=0):
    rngs = nnx.Rngs(seed)
    flow = small(seed, bounds=(0.0, 4.0), context_features=3)
    return Embedded(Dequantized(flow, 4), Embedding(2, 3, rngs=rngs))


def by_hand(seed=0, hidden=(5,)):
    made = MADE((3,), 1, hidden=hidden, rngs=nnx.Rngs(seed))
    return Ensemble(Autoregressive(made, Bernoulli()), jnp.array([[0, 1, 2], [2, 0, 1]]))


@pytest.mark.parametrize("make", [wrapped, by_hand])
def test_a_model_built_by_hand_takes_one_of_its_structure(make, tmp_path):
    model = perturb(make(), jax.random.key(1))
    jaxgen.save(model, tmp_path)
    with pytest.raises(RunError, match=r"was built by hand.*like="):
        jaxgen.load(tmp_path)
    assert_same(jaxgen.load(tmp_path, like=make(3)), model)


OTHERS = {
    "a wider one": (
        lambda: by_hand(hidden=(7,)),
        r"model\.conditional\.biases\.0: expected shape \(5,\), got shape \(7,\)",
    ),
    "a deeper one": (
        lambda: by_hand(hidden=(5, 5)),
        r"model\.conditional\.biases\.1: expected nothing, got shape \(5,\)",
    ),
    "another attribute": (
        lambda: jaxgen.core.replace(by_hand(), orders_per_batch=1),
        "orders_per_batch: expected 4, got 1",
    ),
    "another class": (
        lambda: Flow(ActNorm((3,))),
        r"bijector\.adapted: expected nothing, got shape \(\)",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_structure_is_told_by_what_differs_first(other, tmp_path):
    make, said = OTHERS[other]
    jaxgen.save(by_hand(), tmp_path)
    with pytest.raises(RunError, match=f"another model is saved there; {said}"):
        jaxgen.load(tmp_path, like=make())


def test_a_changed_model_of_the_zoo_is_told_from_what_was_built(tmp_path):
    model = jaxgen.core.replace(small(), base=zoo.mixture((2,), levels=None, rngs=nnx.Rngs(0)))
    jaxgen.save(model, tmp_path)
    with pytest.raises(RunError, match=r"another model is saved there; base\."):
        jaxgen.load(tmp_path)
    assert_same(jaxgen.load(tmp_path, like=model), model)


def test_an_attribute_that_a_class_had_not_when_a_model_was_saved(tmp_path):
    jaxgen.save(small(), tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["structure"]["attributes"]["bijector.layers.0.num_steps"]
    path.write_text(json.dumps(config))
    assert_same(jaxgen.load(tmp_path), small())


def test_a_part_of_a_model_can_be_saved(tmp_path):
    network = small().bijector.layers[0].steps.layers[1].conditional
    jaxgen.save(network, tmp_path)
    with pytest.raises(RunError, match=r"MADE was built by hand"):
        jaxgen.load(tmp_path)
    assert_same(jaxgen.load(tmp_path, like=network), network)


def test_what_a_recipe_builds_needs_no_model(tmp_path):
    recipe = Recipe(
        "maf",
        "toy:rings",
        {"layers": 1, "hidden": [4], "bounds": [0.0, 4.0]},
        class_features=2,
        dequantize=True,
    )
    model = recipe.build((2,), 4, 3)
    assert isinstance(model, Embedded)
    jaxgen.save(model, tmp_path)
    assert_same(jaxgen.load(tmp_path), model)


def test_a_run_of_fit_is_a_model(tmp_path):
    x = np.random.default_rng(0).normal(3.0, 2.0, (32, 2)).astype(np.float32)
    settings = TrainSettings(steps=4, batch_size=16)
    model = fit(small(), x, settings=settings, out=tmp_path / "maf", progress=False).model
    assert_same(jaxgen.load(tmp_path / "maf"), model)
    with pytest.raises(RunError, match=r"holds a model without a recipe.*jaxgen\.load"):
        evaluate_run(tmp_path / "maf")
    flow = Flow(ActNorm((2,)))
    model = fit(flow, x, settings=settings, out=tmp_path / "flow", progress=False).model
    with pytest.raises(RunError, match=r"was built by hand.*like="):
        jaxgen.load(tmp_path / "flow")
    assert_same(jaxgen.load(tmp_path / "flow", like=flow), model)


def test_a_fresh_process_reads_the_same_bits(tmp_path):
    models = {
        "maf": perturb(small(), jax.random.key(1)),
        "made": zoo.made((3,), hidden=(5,), num_orders=2, rngs=nnx.Rngs(0)),
    }
    expected = {}
    for name, model in models.items():
        jaxgen.save(model, tmp_path / name)
        expected[name] = {
            path: np.asarray(leaf[...]).tobytes().hex()
            for path, leaf in leaves_by_path(model).items()
        }
    script = """
import json, sys
import numpy as np
import jaxgen
from jaxgen.core import leaves_by_path
found = {}
for name in sys.argv[2:]:
    model = jaxgen.load(f"{sys.argv[1]}/{name}")
    leaves = leaves_by_path(model)
    found[name] = {k: np.asarray(leaf[...]).tobytes().hex() for k, leaf in leaves.items()}
print(json.dumps(found))
"""
    command = [sys.executable, "-c", script, str(tmp_path), *models]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert json.loads(done.stdout) == expected


def test_saving_replaces_nothing_unless_told_to(tmp_path):
    folder = tmp_path / "deeper" / "model"
    jaxgen.save(small(), folder)
    with pytest.raises(ValueError, match="holds a saved model; overwrite=True replaces it"):
        jaxgen.save(small(1), folder)
    jaxgen.save(small(1, (5,)), folder, overwrite=True)
    assert_same(jaxgen.load(folder), small(1, (5,)))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="expected a new or empty folder"):
            jaxgen.save(small(), other, overwrite=overwrite)
        with pytest.raises(ValueError, match="expected a new or empty folder"):
            jaxgen.save(small(), other / "precious", overwrite=overwrite)
    assert [path.name for path in other.iterdir()] == ["precious"]


@pytest.mark.parametrize("failing", ["arrays", "renaming"])
def test_a_model_that_cannot_be_written_leaves_the_one_before(failing, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    jaxgen.save(small(), folder)

    def fail(*args):
        raise OSError(28, "No space left on device")

    rename = Path.rename
    with monkeypatch.context() as patch:
        if failing == "arrays":
            patch.setattr(saving, "write_arrays", fail)
        else:
            patch.setattr(Path, "rename", lambda a, b: fail() if a.name == "new" else rename(a, b))
        with pytest.raises(RunError, match=r"cannot write .*model: .*No space left"):
            jaxgen.save(small(1), folder, overwrite=True)
    assert_same(jaxgen.load(folder), small())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_training_does_not_write_over_a_saved_model(tmp_path):
    jaxgen.save(small(), tmp_path / "model")
    with pytest.raises(RunError, match="holds a saved model"):
        fit(small(), np.zeros((4, 2)) + np.eye(4, 2), out=tmp_path / "model", progress=False,
            settings=TrainSettings(steps=1, batch_size=4))  # fmt: skip


def test_only_numbers_that_are_known_are_saved(tmp_path):
    with pytest.raises(TypeError, match="save: expected a model, got dict"):
        jaxgen.save({}, tmp_path / "model")
    with pytest.raises(ValueError, match=r"expected an array to save, got .*Tracer"):
        jax.jit(lambda model: jaxgen.save(model, tmp_path / "model"))(small())
    assert list(tmp_path.iterdir()) == []


DAMAGE = {
    "half of the arrays": lambda f: truncate(f / "model.safetensors"),
    "the arrays removed": lambda f: (f / "model.safetensors").unlink(),
    "one bit of the arrays": lambda f: flip_bit(f / "model.safetensors"),
    "a checksum that is none": lambda f: change(f, sha256=7),
    "no arrays": lambda f: (f / "model.safetensors").write_bytes(b""),
    "arrays of another model": lambda f: (
        jaxgen.save(small(0, (5,)), f / "other"),
        (f / "other" / "model.safetensors").rename(f / "model.safetensors"),
    ),
    "half of the configuration": lambda f: truncate(f / "config.json"),
    "a list": lambda f: (f / "config.json").write_text("[]"),
    "lists in lists": lambda f: (f / "config.json").write_text("[" * 100_000),
    "no structure": lambda f: change(f, structure=None),
    "leaves that are none": lambda f: change(f, structure={"leaves": {"a": 1}, "attributes": {}}),
    "a dtype that is none": lambda f: change(
        f, structure={"leaves": {"a": ["Param", "os.system", []]}, "attributes": {}}
    ),
    "another constructor": lambda f: change(
        f, origin={"constructor": "os.system", "event_shape": [2], "arguments": {}}
    ),
    "other arguments": lambda f: change(
        f, origin={"constructor": "maf", "event_shape": [2], "arguments": {"rngs": "x"}}
    ),
    "no shape": lambda f: change(f, origin={"constructor": "maf"}),
}


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[-6] ^= 16
    path.write_bytes(content)


def change(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told(damage, tmp_path):
    jaxgen.save(small(), tmp_path / "model")
    DAMAGE[damage](tmp_path / "model")
    with pytest.raises(RunError, match="is damaged"):
        jaxgen.load(tmp_path / "model")


def test_a_folder_from_before_there_were_checksums_is_loaded(tmp_path):
    jaxgen.save(small(), tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["sha256"]
    path.write_text(json.dumps(config))
    assert_same(jaxgen.load(tmp_path), small())


def test_an_exact_bit_pattern_comes_back(tmp_path):
    """NaNs with a payload, negative zeros, subnormal numbers."""
    flow = Flow(ActNorm((4,)))
    bits = np.array([0x7FC01234, 0x80000000, 0x00000001, 0xFF800000], np.uint32)
    shift = jax.device_put(bits.view(np.float32))
    flow = jaxgen.core.replace(
        flow, bijector=jaxgen.core.replace(flow.bijector, shift=nnx.Param(shift))
    )
    jaxgen.save(flow, tmp_path)
    loaded = jaxgen.load(tmp_path, like=Flow(ActNorm((4,))))
    assert np.asarray(loaded.bijector.shift[...]).view(np.uint32).tolist() == bits.tolist()


def test_the_files_are_what_others_read(tmp_path):
    from safetensors.numpy import load_file

    model = cast(small(), jnp.bfloat16)
    jaxgen.save(model, tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    assert arrays.keys() == leaves_by_path(model).keys()
    assert {a.dtype for a in arrays.values()} >= {np.dtype(ml_dtypes.bfloat16)}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["origin"]["constructor"] == "maf"
    assert config["origin"]["arguments"]["hidden"] == [6]


def test_like_is_a_model(tmp_path):
    jaxgen.save(Flow(ActNorm((2,))), tmp_path)
    with pytest.raises(TypeError, match="expected a model, or a part of one, for like, got"):
        jaxgen.load(tmp_path, like=Flow)
