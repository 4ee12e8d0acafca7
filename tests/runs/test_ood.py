"""Scores of strange examples from the command line."""

import csv
import json

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgen
from jaxgen.cli import main
from jaxgen.data.images import pictures_of
from jaxgen.evaluation import ood

PNG = b"\x89PNG\r\n\x1a\n"

EXPERIMENT = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

train = TrainSettings(steps=20, batch_size=32, learning_rate=1e-2, steps_per_dispatch=10)
factors = Recipe("fvsbn", "digits", {"levels": 17}, train=train)
vae = Recipe(
    model="vae",
    data="digits",
    model_args={"levels": 17, "latents": 3, "hidden": [8]},
    objective="elbo",
    train=train,
)
moons = Recipe("maf", "toy:two_moons", {"layers": 1, "hidden": [8]}, train=train)
labels = Recipe(
    "realnvp", "toy:two_moons", {"steps": 1, "hidden": [8]}, class_features=3, train=train
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ood")
    (folder / "small.py").write_text(EXPERIMENT)
    for name in ("vae", "factors", "moons", "labels"):
        arguments = ["train", f"{folder}/small.py:{name}", "--out", f"{folder}/{name}"]
        assert main([*arguments, "--quiet", "--no-cache"]) == 0
    noise = np.random.default_rng(0).integers(0, 17, (64, 64), np.uint8)
    np.savez(folder / "noise.npz", train=noise, valid=noise, test=noise)
    return folder


def table(path):
    with path.open() as source:
        return list(csv.DictReader(source))


def test_scores_become_a_table_with_p_values(folder):
    run, out = folder / "vae", folder / "scores.csv"
    command = ["score", f"{run}", "--out", f"{out}", "--no-cache"]
    assert main(command) == 0
    own = table(out)
    assert list(own[0]) == ["example", "typicality", "p_value"]
    assert len(own) == 180
    p_values = np.array([float(row["p_value"]) for row in own])
    assert 0.3 < p_values.mean() < 0.7  # uniform, by 90 scores of calibration
    other = ["--data", f"npz:{folder}/noise.npz", "--num", "10", "--score", "latent_path"]
    assert main([*command, *other]) == 0
    assert [row["example"] for row in table(out)] == [str(index) for index in range(10)]
    assert np.mean([float(row["p_value"]) for row in table(out)]) < 0.2


def test_every_row_of_a_file_is_scored_in_its_order(folder):
    rows = np.random.default_rng(1).integers(0, 17, (30, 8, 8), np.uint8)
    np.save(folder / "rows.npy", rows)
    np.savez(folder / "rows.npz", x=rows)
    command = ["score", f"{folder}/vae", "--score", "input_complexity", "--no-cache"]
    found = []
    for name in ("rows.npy", "rows.npz"):
        out = folder / "rows.csv"
        assert main([*command, "--data", f"{folder}/{name}", "--out", f"{out}"]) == 0
        found.append([float(row["input_complexity"]) for row in table(out)])
    assert len(found[0]) == 30
    assert found[0] == found[1]
    model = jaxgen.load(folder / "vae")
    scores = ood.input_complexity(model, rows[..., None], key=jax.random.key(0))
    np.testing.assert_allclose(found[0], scores, rtol=1e-5)
    one = ["--data", f"{folder}/rows.npy", "--num", "1"]
    assert main([*command, *one, "--out", f"{folder}/one.csv"]) == 0
    assert len(table(folder / "one.csv")) == 1


def test_two_data_sets_are_told_apart(folder, capsys):
    out = folder / "vae against noise"
    spec = f"npz:{folder}/noise.npz"
    scores = ["negative_log_likelihood", "latent_path"]
    command = ["ood", f"{folder}/vae", "--against", spec, "--out", f"{out}", "--num", "60"]
    assert main([*command, "--scores", *scores, "--no-cache"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == [*scores, str(out)]
    record = json.loads((out / "ood.json").read_text())
    assert record["against"] == spec
    assert record["num_inside"] == record["num_outside"] == 60
    for name in scores:
        assert f"AUROC {record['scores'][name]['auroc'][0]:.3f}" in printed[scores.index(name)]
        assert record["scores"][name]["auroc"][0] > 0.8
        low, high = record["scores"][name]["false_alarms_expected"]
        assert 0 <= low < 0.1 < high < 0.5
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {"roc.png"} | {
        f"{name}.{kind}.png" for name in scores for kind in ("histogram", "extremes")
    }
    assert all((out / name).read_bytes().startswith(PNG) for name in pictures)


def test_a_second_run_is_the_background(folder):
    out = folder / "ratio"
    spec = f"npz:{folder}/noise.npz"
    behind = ["--background", f"{folder}/factors", "--num", "60", "--no-cache"]
    command = ["ood", f"{folder}/vae", "--against", spec, "--out", f"{out}", *behind]
    assert main([*command, "--scores", "likelihood_ratio"]) == 0
    record = json.loads((out / "ood.json").read_text())
    assert record["background"] == "factors"
    assert list(record["scores"]) == ["likelihood_ratio"]
    command = ["score", f"{folder}/vae", "--score", "likelihood_ratio", "--out", f"{out}.csv"]
    assert main([*command, *behind]) == 0
    model, other = jaxgen.load(folder / "vae"), jaxgen.load(folder / "factors")
    x = jaxgen.data.load("digits", "test").x[:60]
    expected = ood.likelihood_ratio(model, x, background=other, key=jax.random.key(0))
    scores = [float(row["likelihood_ratio"]) for row in table(folder / "ratio.csv")]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_what_is_stored_on_disk_is_told_apart_too(folder):
    """As the run's own data, and as the others."""
    random = np.random.default_rng(0)
    np.save(folder / "near.npy", random.normal(size=(400, 2)).astype(np.float32))
    np.save(folder / "far.npy", 5 + random.normal(size=(400, 2)).astype(np.float32))
    stored = f"stored = Recipe('maf', 'npy:{folder}/near.npy', moons.model_args, train=train)"
    (folder / "stored.py").write_text(EXPERIMENT + stored)
    run, out = folder / "stored", folder / "far"
    common = ["--no-cache"]
    assert main(["train", f"{folder}/stored.py:stored", "--out", f"{run}", "--quiet", *common]) == 0
    against = ["--against", f"npy:{folder}/far.npy", "--out", f"{out}", "--alpha", "0.2"]
    assert main(["ood", f"{run}", *against, *common]) == 0
    record = json.loads((out / "ood.json").read_text())
    assert record["num_outside"] == 40
    assert record["scores"]["negative_log_likelihood"]["auroc"][0] > 0.9
    assert main(["score", f"{run}", "--out", f"{folder}/stored.csv", *common]) == 0
    assert len(table(folder / "stored.csv")) == 40


def test_points_and_labels_are_scored_too(folder, capsys):
    out = folder / "of points"
    for run, against in (("moons", "toy:rings"), ("labels", "toy:two_moons")):
        command = ["ood", f"{folder}/{run}", "--against", against, "--out", f"{out}"]
        assert main([*command, "--num", "50", "--no-cache"]) == 0
        record = json.loads((out / "ood.json").read_text())
        assert list(record["scores"]) == [
            "negative_log_likelihood",
            "typicality",
            "goodness_of_fit",
            "gradient_norms",
        ]
    assert main(["score", f"{folder}/moons", "--out", f"{folder}/s.csv", "--no-cache"]) == 0
    said = "s.csv: 5000 examples, p-values from 0.0010 on by 1000 of the validation split\n"
    assert capsys.readouterr().out.endswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "moons", "--score", "latent_path"], "latent_path: needs a posterior of latents"),
        (["score", "moons", "--score", "latent"], "unknown score 'latent'"),
        (["score", "moons", "--data", "digits"], "digits"),
        (["score", "moons", "--num", "0"], "expected an example or more, got 0"),
        (["score", "moons", "--split", "train"], "expected the test split of the run's own data"),
        (["score", "labels", "--data", "rows.npy"], "needs a context for each example"),
        (["ood", "vae", "--against", "digits", "--alpha", "0.001"], "it takes 999"),
        (["ood", "moons", "--against", "toy:rings", "--num", "1"], "expected 4 examples of each"),
        (["score", "moons", "--score", "likelihood_ratio"], "needs a second model as background"),
        (["ood", "moons", "--against", "toy:rings", "--background", "vae"], "of the events (2,)"),
        (["score", "moons", "--seed", "-1"], "seed: expected one from 0"),
        (["ood", "moons", "--against", "toy:ring"], "did you mean 'rings'"),
        (["ood", "labels", "--against", "toy:rings"], "expected labels from 0 to 1"),
        (["ood", "moons", "--against", "toy:rings", "--alpha", "2"], "0 < alpha < 1"),
        (["ood", "nowhere", "--against", "toy:rings"], "nowhere"),
    ],
)
def test_mistakes_end_in_a_line(folder, capsys, arguments, said):
    command, run, *others = arguments
    others = [f"{folder}/vae" if each == "vae" else each for each in others]
    out = ["--out", f"{folder}/none", "--no-cache"]
    assert main([command, f"{folder}/{run}", *others, *out]) == 1
    error = capsys.readouterr().err
    assert error.startswith("jaxgen: ")
    assert error.count("\n") == 1
    assert said in error


def test_every_picture_of_a_folder_is_scored_by_its_file(folder):
    """In squares of the size that the run has cut its own to."""
    rng = np.random.default_rng(2)
    for name in [
        *(f"grey/{index:02}.png" for index in range(60)),
        "others/a.png",
        "others/b/c.png",
    ]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (5, 9), np.uint8)).save(folder / name)
    own = 'pictures = Recipe("fvsbn", "images:grey:4", {"levels": 16}, quantize=16, train=train)'
    (folder / "pictures.py").write_text(EXPERIMENT + own.replace("grey", f"{folder}/grey"))
    run, out = folder / "pictures", folder / "files.csv"
    train = ["train", f"{folder}/pictures.py:pictures", "--out", f"{run}", "--quiet", "--no-cache"]
    assert main(train) == 0
    common = ["--score", "negative_log_likelihood", "--out", f"{out}", "--no-cache"]
    assert main(["score", f"{run}", "--data", f"{folder}/others", *common]) == 0
    assert [row["file"] for row in table(out)] == [
        f"{folder}/others/a.png",
        f"{folder}/others/b/c.png",
    ]
    others = jaxgen.data.Dataset("o", "test", pictures_of(folder / "others", 4), levels=256)
    expected = -jaxgen.load(run).log_prob(others.quantized(16).x[:])
    found = [float(row["negative_log_likelihood"]) for row in table(out)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert main(["score", f"{run}", *common]) == 0
    assert len({row["file"] for row in table(out)}) == 6
