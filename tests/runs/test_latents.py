"""The command line over a run of a latent-variable model, from training to pictures."""

import json

import numpy as np
import pytest

import jaxgen
from jaxgen.cli import main

PNG = b"\x89PNG\r\n\x1a\n"

EXPERIMENT = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

vae = Recipe(
    model="vae",
    data="digits",
    model_args={"levels": 17, "latents": 3, "hidden": [8]},
    objective="elbo",
    objective_args={"warmup_steps": 4},
    eval_samples=3,
    train=TrainSettings(steps=8, batch_size=16, eval_every=4, steps_per_dispatch=4),
)
flat = Recipe(
    model="fvsbn", data="digits", model_args={"levels": 17}, train=vae.train,
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    (folder / "latent.py").write_text(EXPERIMENT)
    for name in ("vae", "flat"):
        arguments = ["train", f"{folder}/latent.py:{name}", "--out", f"{folder}/{name}"]
        assert main([*arguments, "--quiet", "--no-cache"]) == 0
    return folder


def test_a_run_says_what_is_used_of_its_latents(folder):
    run = folder / "vae"
    record = json.loads((run / "record.json").read_text())
    assert len(record["divergence"]) == 3
    assert 0 <= record["active_units"] <= 3
    assert record["estimator"] == "importance-weighted, 3 samples"
    assert record["elbo"] > record["value"]  # in bits/dim
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(row["divergence"] >= 0 and "active_units" in row for row in rows)
    assert (run / "divergence.png").read_bytes().startswith(PNG)
    assert not (folder / "flat" / "divergence.png").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["reconstruct", "--num", "3"],
        ["reconstruct", "--num", "2", "--draw"],
        ["traverse", "--num", "4", "--dimensions", "2", "--span", "2"],
        ["interpolate", "--num", "4", "--pairs", "2"],
        ["sample", "--num", "4"],
    ],
    ids=" ".join,
)
def test_pictures(command, folder, tmp_path, capsys):
    out = tmp_path / "picture.png"
    name, *options = command
    assert main([name, str(folder / "vae"), *options, "--out", str(out), "--no-cache"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["reconstruct", "--num", "0"], "reconstruct: expected from 1 to"),
        (["traverse", "--example", "-1"], "traverse: expected an example from 0 to"),
        (["traverse", "--num", "1"], "traverse: expected from 2 to 1000 values"),
        (
            ["traverse", "--span", "nan"],
            "and a positive span, got num=9, dimensions=8 and span=nan",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_line(command, said, folder, capsys):
    name, *options = command
    assert main([name, str(folder / "vae"), *options, "--no-cache"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["reconstruct", "traverse", "interpolate"])
def test_a_model_without_latents_is_refused(command, folder, capsys):
    assert main([command, str(folder / "flat"), "--no-cache"]) == 1
    err = capsys.readouterr().err
    assert f"{command}: a Autoregressive of {folder / 'flat'} has no latents" in err


def test_the_run_loads_as_it_was_evaluated(folder):
    model = jaxgen.load(folder / "vae")
    x = np.zeros((2, 8, 8, 1), int)
    assert model.latent_shape == (3,)
    assert model.reconstruct(x).shape == x.shape
