"""Recipes as plain data: overrides and dictionaries."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.models import Dequantized, Flow, StandardNormal
from jaxgen.runs import Recipe
from jaxgen.training import Batch, TrainSettings, negative_log_likelihood
from jaxgen.training.procedures import Counting

GLOW = Recipe(
    model="glow",
    data="digits",
    model_args={"levels": 1, "bounds": (0, 17)},
    dequantize=True,
    train=TrainSettings(steps=7, optimizer_args={"b1": 0.5}),
)

OVERRIDES = {
    # a field of the recipe, with or without a type of its own
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
    # inside a dictionary, at any depth, made where there is none
    "optimizer_args.b1=0.9": ("train.optimizer_args.b1", 0.9),
    "train.optimizer_args.b2=0.9": ("train.optimizer_args.b2", 0.9),
    "objective_args.k=5": ("objective_args.k", 5),
    "objective_args.a.b=5": ("objective_args.a.b", 5),
    "dequantizer_args.width=8": ("dequantizer_args.width", 8),
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
    changed = Recipe(model="maf", data="digits").override(
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
    "optimizer_args.b1.c=1": "optimizer_args.b1.c: expected a dictionary at 'b1', got 0.5",
    "optimizer_arg.b1=1": "did you mean 'train.optimizer_args'",
    "procedure=countin": "unknown procedure 'countin': did you mean 'counting'",
    "procedure_args.pseudo_count=1": "gradient_descent takes none, got pseudo_count",
    "eval_samples=0": "eval_samples: expected at least 1, got 0",
    "steps=many": "steps: expected int, got 'many'",
    "steps=1.5": "steps: expected int, got 1.5",
    "steps=true": "steps: expected int, got True",
    "learning_rate=fast": "learning_rate: expected float, got 'fast'",
    "clip_norm=no": "clip_norm: expected float or None, got 'no'",
    "optimizer_args=3": "optimizer_args: expected dict, got 3",
    "data=3": "data: expected str, got 3",
    "dequantize=1": "dequantize: expected bool, got 1",
    "steps=0": r"steps: expected at least 1, and below 2\*\*31, got 0",
    "batch_size=-1": "batch_size: expected at least 1, .*, got -1",
    "schedule=linear": "schedule: expected 'cosine' or 'constant', got 'linear'",
    "ema_decay=1": r"ema_decay: expected a number in \[0, 1\), got 1",
    "warmup_steps=8": r"warmup_steps: expected 0 to 7 \(steps\), got 8",
}


@pytest.mark.parametrize("assignment", WRONG)
def test_override_refuses(assignment):
    def use():
        changed = GLOW.override([assignment])
        changed.resolve_procedure()
        changed.build((2, 2, 1), 17)

    with pytest.raises(ValueError, match=WRONG[assignment]):
        use()


def test_build_knows_the_hyperparameters_of_the_noise():
    recipe = Recipe("maf", "any", {"layers": 1, "hidden": [4]}, dequantize=True)
    said = "unknown dequantizer hyperparameter 'widht': did you mean 'width'"
    with pytest.raises(ValueError, match=said):
        recipe.override(["dequantizer_args.widht=8"]).build((2, 2, 1), 17)


def test_dictionaries_go_round_and_hold_json_only():
    values = GLOW.to_dict()
    assert json.loads(json.dumps(values)) == values
    again = Recipe.from_dict(values)
    assert again.to_dict() == values
    assert again.train == GLOW.train
    assert Recipe.from_dict({"model": "maf", "data": "digits"}).train == TrainSettings()


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
        Recipe.from_dict(values)


def test_procedure_arguments_come_with_their_procedure():
    changed = GLOW.override(["procedure_args.pseudo_counts=[1, 2]", "procedure=counting"])
    assert changed.resolve_procedure() == Counting([1, 2])


def test_an_objective_is_named_with_its_arguments():
    def scaled(model, batch, key, *, scale=1.0):
        return scale * negative_log_likelihood(model, batch, key)

    own, batch, key = {"scaled": scaled}, Batch(np.ones((3, 2))), jax.random.key(0)
    recipe = dataclasses.replace(GLOW, objective="scaled", objective_args={"scale": 3.0})
    loss = recipe.resolve_objective(own)(StandardNormal((2,)), batch, key)
    assert loss == 3.0 * negative_log_likelihood(StandardNormal((2,)), batch, key)
    with pytest.raises(ValueError, match="unknown objective 'scaled'"):
        recipe.resolve_objective()
    with pytest.raises(ValueError, match="unknown objective 'scale': did you mean 'scaled'"):
        dataclasses.replace(recipe, objective="scale").resolve_objective(own)
    nearest = "unknown objective 'negative_loglikelihood': did you mean 'negative_log_likelihood'"
    with pytest.raises(ValueError, match=nearest):
        dataclasses.replace(GLOW, objective="negative_loglikelihood").resolve_objective()
    with pytest.raises(ValueError, match=r"objective_args: scaled: .*unexpected.*'scales'"):
        dataclasses.replace(recipe, objective_args={"scales": 3.0}).resolve_objective(own)


def test_the_names_of_jaxgen_come_before_those_of_a_file():
    def fail(*arguments, **options):
        raise AssertionError

    own = {"glow": fail, "adam": fail, "negative_log_likelihood": fail}
    assert GLOW.own_model(own) is None
    assert GLOW.own_optimizer(own) is None
    assert GLOW.resolve_objective(own) is negative_log_likelihood


def test_build_is_the_zoo_with_the_seed():
    arguments = {"layers": 1, "hidden": [4]}
    recipe = Recipe(model="maf", data="any", model_args=arguments, train=TrainSettings(seed=3))
    built = nnx.state(recipe.build((2,), None))
    expected = nnx.state(zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(3)))
    assert str(built) == str(expected)
    other = recipe.override(["seed=4"]).build((2,), None)
    assert str(nnx.state(other)) != str(expected)


def test_dequantize_wraps_a_flow_for_levels():
    recipe = Recipe(model="maf", data="any", model_args={"layers": 1, "hidden": [4]})
    assert isinstance(recipe.build((2,), None), Flow)
    wrapped = recipe.override(["dequantize=true"])
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
    recipe = Recipe(model="maf", data="any", model_args={"layers": 1, "hidden": [4]})
    changed = recipe.override([assignment])
    with pytest.raises(ValueError, match=said):
        changed.build((2,), None)


def test_a_model_of_fewer_levels_than_its_data_is_refused_with_their_number():
    with pytest.raises(ValueError, match="made: expected levels=17 among model_args, as digits"):
        Recipe("made", "digits", {"hidden": [4], "levels": 2}).build((8, 8, 1), 17)
    # More of them are a model of these data, too.
    for levels in (17, 20):
        Recipe("made", "digits", {"hidden": [4], "levels": levels}).build((8, 8, 1), 17)


def test_a_model_has_the_levels_of_its_data_unless_they_are_given():
    assert Recipe("made", "digits", {"hidden": [4]}).build((8, 8, 1), 17).levels == 17
    assert Recipe("made", "toy:rings", {"hidden": [4]}).build((2,), None).levels is None
    flow = Recipe("maf", "digits", {"layers": 1, "hidden": [4]}, dequantize=True)
    assert flow.build((64,), 17).levels == 17
