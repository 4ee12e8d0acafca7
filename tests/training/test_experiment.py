"""Experiments as plain data: overrides, dictionaries, files."""

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.models import Dequantized, Flow
from jaxgen.training import Experiment, TrainSettings
from jaxgen.training.experiment import load_experiment

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))

GLOW = Experiment(
    model="glow",
    data="digits",
    model_args={"levels": 1, "bounds": (0, 17)},
    dequantize=True,
    train=TrainSettings(steps=7, optimizer_args={"b1": 0.5}),
)

OVERRIDES = {
    # a field of the experiment, with or without a type of its own
    "data=toy:rings": ("data", "toy:rings"),
    "eval_samples=10": ("eval_samples", 10),
    "dequantize=false": ("dequantize", False),
    "dequantize=False": ("dequantize", False),
    # a setting, with and without its prefix
    "steps=10": ("train.steps", 10),
    "train.steps=10": ("train.steps", 10),
    " learning_rate = 1e-3 ": ("train.learning_rate", 1e-3),
    "learning_rate=1": ("train.learning_rate", 1),
    "patience=3": ("train.patience", 3),
    "clip_norm=None": ("train.clip_norm", None),
    "clip_norm=null": ("train.clip_norm", None),
    "optimizer=adamax": ("train.optimizer", "adamax"),
    'optimizer="adamax"': ("train.optimizer", "adamax"),
    "optimizer_args={'b1': 0.9}": ("train.optimizer_args", {"b1": 0.9}),
    # a hyperparameter; `steps` alone is a setting, so glow's own needs the prefix
    "width=8": ("model_args.width", 8),
    "model_args.width=8": ("model_args.width", 8),
    "model_args.steps=4": ("model_args.steps", 4),
    "bounds=[0, 256]": ("model_args.bounds", [0, 256]),
    "bounds=(0, 256)": ("model_args.bounds", (0, 256)),
    "bounds=None": ("model_args.bounds", None),
    "lu=true": ("model_args.lu", True),
}


@pytest.mark.parametrize("assignment", OVERRIDES)
def test_override(assignment):
    path, expected = OVERRIDES[assignment]
    before = GLOW.to_dict()
    after = dataclasses.asdict(GLOW.override([assignment]))
    *groups, name = path.split(".")
    for group in groups:
        after = after[group]
    assert after[name] == expected
    assert type(after[name]) is type(expected)
    assert GLOW.to_dict() == before  # a copy


def test_override_changes_nothing_else():
    changed = GLOW.override(["width=8"]).to_dict()
    assert changed.pop("model_args") == {"levels": 1, "bounds": [0, 17], "width": 8}
    expected = GLOW.to_dict()
    del expected["model_args"]
    assert changed == expected
    assert GLOW.override([]).to_dict() == GLOW.to_dict()


def test_overrides_apply_in_order_and_know_the_new_model():
    changed = Experiment(model="maf", data="digits").override(
        ["model=made", "num_orders=2", "num_orders=4"]
    )
    assert changed.model_args == {"num_orders": 4}


WRONG = {
    "stepz=10": "unknown configuration key 'stepz': did you mean 'steps'",
    "widht=8": "did you mean 'width'",
    "train.stepz=10": "unknown configuration key 'train.stepz': did you mean 'train.steps'",
    "train.width=10": "unknown configuration key 'train.width'",
    "model_args.widht=8": "did you mean 'model_args.width'",
    "hidden=[8]": "unknown configuration key 'hidden'",  # maf's, not glow's
    "train={}": "unknown configuration key 'train'",
    "model=gloww": "unknown model 'gloww': did you mean 'glow'",
    "steps": "expected key=value, got 'steps'",
    "steps=many": "steps: expected int, got 'many'",
    "steps=1.5": "steps: expected int, got 1.5",
    "steps=true": "steps: expected int, got True",
    "learning_rate=fast": "learning_rate: expected float, got 'fast'",
    "clip_norm=no": "clip_norm: expected float or None, got 'no'",
    "optimizer_args=3": "optimizer_args: expected dict, got 3",
    "data=3": "data: expected str, got 3",
    "dequantize=1": "dequantize: expected bool, got 1",
    "steps=0": "steps: expected at least 1, got 0",
    "batch_size=-1": "batch_size: expected at least 1, got -1",
    "schedule=linear": "schedule: expected 'cosine' or 'constant', got 'linear'",
    "ema_decay=1": r"ema_decay: expected a number in \[0, 1\), got 1",
    "warmup_steps=8": r"warmup_steps: expected 0 to 7 \(steps\), got 8",
}


@pytest.mark.parametrize("assignment", WRONG)
def test_override_refuses(assignment):
    with pytest.raises(ValueError, match=WRONG[assignment]):
        GLOW.override([assignment]).build((2, 2, 1), 17)


def test_dictionaries_go_round_and_hold_json_only():
    values = GLOW.to_dict()
    assert json.loads(json.dumps(values)) == values
    again = Experiment.from_dict(values)
    assert again.to_dict() == values
    assert again.train == GLOW.train
    assert Experiment.from_dict({"model": "maf", "data": "digits"}).train == TrainSettings()


BAD_DICTS = {
    "an unknown key": ({"modle": "maf", "data": "digits"}, "'modle': did you mean 'model'"),
    "an unknown setting": (
        {"model": "maf", "data": "digits", "train": {"step": 1}},
        "unknown training setting 'step': did you mean 'steps'",
    ),
    "no model": ({"data": "digits"}, "'model'"),
    "settings that are none": ({"model": "maf", "data": "digits", "train": 3}, "got 3"),
    "a model that is no name": ({"model": None, "data": "digits"}, "model: expected str, got None"),
    "no dictionary": ([1], r"got \[1\]"),
}


@pytest.mark.parametrize("name", BAD_DICTS)
def test_from_dict_refuses(name):
    values, said = BAD_DICTS[name]
    with pytest.raises(ValueError, match=said):
        Experiment.from_dict(values)


def test_build_is_the_zoo_with_the_seed():
    arguments = {"layers": 1, "hidden": [4]}
    experiment = Experiment(
        model="maf", data="any", model_args=arguments, train=TrainSettings(seed=3)
    )
    built = nnx.state(experiment.build((2,), None))
    expected = nnx.state(zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(3)))
    assert str(built) == str(expected)
    other = experiment.override(["seed=4"]).build((2,), None)
    assert str(nnx.state(other)) != str(expected)


def test_dequantize_wraps_a_flow_for_levels():
    experiment = Experiment(model="maf", data="any", model_args={"layers": 1, "hidden": [4]})
    assert isinstance(experiment.build((2,), None), Flow)
    wrapped = experiment.override(["dequantize=true"])
    model = wrapped.build((2,), 5)
    assert isinstance(model, Dequantized)
    assert model.levels == 5
    with pytest.raises(ValueError, match="dequantize is for integer levels, but any has real"):
        wrapped.build((2,), None)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("hidden=5", "cannot build maf with {.*'hidden': 5"),
        ("layers=two", "cannot build maf with {.*'layers': 'two'"),
    ],
)
def test_build_refuses_hyperparameters_of_the_wrong_kind(assignment, said):
    experiment = Experiment(model="maf", data="any", model_args={"layers": 1, "hidden": [4]})
    changed = experiment.override([assignment])
    with pytest.raises(ValueError, match=said):
        changed.build((2,), None)


# --- files ---

HEADER = '"""Doc."""\nfrom jaxgen.training import Experiment\n'
ONE = "experiment = Experiment(model='maf', data='toy:rings')\n"


def test_load_experiment(tmp_path):
    path = tmp_path / "maf_rings.py"
    path.write_text(
        HEADER + "from pathlib import Path\n" + ONE + "assert Path(__file__).name == 'maf_rings.py'"
    )
    assert load_experiment(path) == Experiment(model="maf", data="toy:rings")
    assert load_experiment(str(path)).data == "toy:rings"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (HEADER, "expected exactly one Experiment, found 0"),
        (HEADER + ONE + "other" + ONE, "expected exactly one Experiment, found 2"),
        (HEADER + "Experiment(model='maf', data=1)", "data: expected str, got 1"),
    ],
)
def test_load_experiment_refuses(tmp_path, source, said):
    path = tmp_path / "bad.py"
    path.write_text(source)
    with pytest.raises(ValueError, match=said):
        load_experiment(path)


def test_load_experiment_names_the_nearest_file(tmp_path):
    (tmp_path / "maf_rings.py").write_text(HEADER + ONE)
    (tmp_path / "other.py").write_text(HEADER + ONE)
    given = tmp_path / "maf_ring.py"
    said = f"unknown experiment '{given}': did you mean '{tmp_path / 'maf_rings.py'}'"
    with pytest.raises(ValueError, match=re.escape(said)):
        load_experiment(given)
    with pytest.raises(ValueError, match="unknown experiment"):
        load_experiment(tmp_path / "absent" / "maf.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_projects_experiments_name_hyperparameters_of_their_models(path):
    experiment = load_experiment(path)
    known = zoo.hyperparameters(experiment.model)
    assert set(experiment.model_args) <= set(known)
    required = {name for name, default in known.items() if default is inspect.Parameter.empty}
    assert required <= set(experiment.model_args)
