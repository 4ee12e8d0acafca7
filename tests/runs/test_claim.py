"""A mistake that shows before the first checkpoint does not block the corrected command."""

import json

import pytest

from jaxgen.runs import Recipe, Run, train
from jaxgen.training import TrainSettings


def experiment(**settings) -> Recipe:
    model_args = {"layers": 1, "hidden": [4]}
    return Recipe("maf", "toy:rings", model_args, train=TrainSettings(steps=2, **settings))


def test_a_corrected_configuration_replaces_one_without_a_checkpoint(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = {
        "name": "maf",
        "recipe": experiment(learning_rate=1e9).to_dict(),
        "event_shape": [2],
        "levels": None,
    }
    (run / "config.json").write_text(json.dumps(config))
    corrected = experiment(learning_rate=1e-3)
    train(corrected, run, progress=False)
    assert Run.read(run).recipe.to_dict() == corrected.to_dict()
    with pytest.raises(ValueError, match="another configuration"):
        train(experiment(learning_rate=1e-2), run, progress=False)
