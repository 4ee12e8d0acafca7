"""A run to share: its model's numbers, what they are of, and a card that says what it is."""

import dataclasses
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

from jaxgen.core import num_parameters
from jaxgen.data.specs import place_of
from jaxgen.models import Model
from jaxgen.runs.directory import SPLITS, Run
from jaxgen.runs.draw import sample
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.hub import located
from jaxgen.runs.outputs import check_spared
from jaxgen.runs.saving import load
from jaxgen.training.claims import writing
from jaxgen.training.saved import (
    ARRAYS,
    CONFIG,
    RunError,
    SavedModel,
    read_object,
    write_arrays,
)

_RECORD, _CARD = "record.json", "README.md"


def export_run(
    run: Path | str,
    folder: Path | str,
    *,
    license: str | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> None:
    """Writes what others need of a run into a new folder, which is a run to evaluate and draw from.

    It holds ``model.safetensors``, ``config.json``, ``record.json`` (if the run has one),
    ``samples.png`` (or what the run has) and ``README.md``, a model card with the metadata of the
    Hugging Face Hub. :func:`jaxgen.load` gives the model back to the bit.

    Args:
        run: a run directory of ``jaxgen train`` or of ``fit(out=...)``.
        folder: made by this, or empty.
        license: of the model, as the Hub writes it: ``"apache-2.0"``.
        file: the experiment file, for a model that is defined there; a path is executed.

    Raises:
        RunError: if there is no run, it is damaged, or the folder is in use or cannot be written.
    """
    path, folder = located(run), Path(folder).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: expected a new or empty folder to export to, got one in use")
    saved = SavedModel.read(path)
    opened = Run.read(path) if saved is None else None
    check_spared(folder, None if opened is None else place_of(opened.recipe.data))
    model = load(path, file=file) if opened is None else opened.load(file)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that what is there is whole.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".exporting-") as aside:
            new = Path(aside) / "new"
            new.mkdir()
            sha256 = write_arrays(model, new / ARRAYS)
            if opened is None:
                config = dataclasses.replace(SavedModel.of(model), sha256=sha256).to_dict()
            else:
                config = {**opened.config(), "sha256": sha256}
            (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
            _copied(path, new, SPLITS)
            record = _copied(path, new, _RECORD) and read_object(new, _RECORD)
            picture = _drawn(opened, path, new, file)
            card = _card(folder.name, model, opened, record or None, picture, license)
            (new / _CARD).write_text(card)
            if folder.exists():
                folder.rmdir()
            new.rename(folder)


def _copied(path: Path, new: Path, name: str) -> bool:
    """Copies a file of a run; whether there is one."""
    if not (path / name).is_file():
        return False
    shutil.copyfile(path / name, new / name)
    return True


def _drawn(
    opened: Run | None, path: Path, new: Path, file: ExperimentFile | Path | str | None
) -> str | None:
    """The name of the picture or text of samples."""
    for name in ("samples.png", "samples.txt"):
        if _copied(path, new, name):
            return name
    if opened is None:
        return None
    name = "samples.png" if opened.vocabulary is None else "samples.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has been loaded once
        sample(path, new / name, file=file)
    return name


def _card(
    name: str,
    model: Model,
    opened: Run | None,
    record: dict[str, Any] | None,
    picture: str | None,
    license: str | None,
) -> str:
    """The model card: metadata of the Hub, as YAML, and what a reader wants to know."""
    title = name if opened is None else opened.name
    made = type(model).__name__ if opened is None else opened.recipe.model
    metadata: dict[str, Any] = {
        "library_name": "jaxgen",
        "tags": ["jaxgen", "jax", "density-estimation", made],
    }
    if license is not None:
        metadata["license"] = license
    if record is not None:
        metadata["model-index"] = [{"name": title, "results": [_result(record)]}]
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in metadata.items()), "---", ""]
    known = "exact" if model.exactness == "exact" else "bounded from below, by draws"
    lines += [f"# {title}", ""]
    lines += [
        f"A model of jaxgen, for JAX and Flax: `{made}` over events of shape "
        f"`{model.event_shape}`, {num_parameters(model):,} parameters. "
        f"Its log-likelihood is {known}.",
        "",
    ]
    if record is not None:
        lines += [_stated(record), ""]
    if picture is not None:
        shown = f"![samples]({picture})" if picture.endswith(".png") else f"Samples: `{picture}`."
        lines += [shown, ""]
    own = opened is not None and opened.file is not None
    needs = f', file="{opened.file}"' if own and opened is not None else ""
    lines += [
        "```python",
        "import jax",
        "import jaxgen",
        "",
        f'model = jaxgen.load("{name}"{needs})  # this folder, or hf://OWNER/NAME',
        *_sampling(name, model, opened, needs),
        "```",
        "",
    ]
    if opened is not None:
        recipe = json.dumps(opened.recipe.to_dict(), indent=2)
        names = ", ".join(opened.classes or ())
        lines += [f"Its classes, in the order of their numbers: {names}.", ""] if names else []
        stopped = opened.stopped_at()
        until = "" if stopped is None else f", but stopped at step {stopped}"
        lines += [f"How it was trained{until}:", "", "```json", recipe, "```", ""]
    return "\n".join(lines)


def _sampling(name: str, model: Model, opened: Run | None, needs: str) -> list[str]:
    """The lines that draw samples: of labels, given other contexts, or texts."""
    if opened is not None and opened.vocabulary is not None and model.context_shape is None:
        lines = [f'texts = jaxgen.runs.sample_text("{name}", num=4{needs})']
    elif model.context_shape is None:
        lines = ["samples = model.sample(jax.random.key(0), 4)"]
    elif opened is not None and opened.num_classes is not None and model.context_shape == ():
        classes = f"jax.numpy.arange({opened.num_classes})"
        lines = [
            f"samples = model.sample(jax.random.key(0), 4, {classes})  # four of each class",
        ]
    else:
        lines = [
            f"context = jax.numpy.zeros({model.context_shape})  # what the samples are given",
            "samples = model.sample(jax.random.key(0), 4, context)",
        ]
    return lines


def _result(record: dict[str, Any]) -> dict[str, Any]:
    """A record in the Hub's terms."""
    return {
        "task": {"type": "density-estimation", "name": "Density estimation"},
        "dataset": {"type": record["data"], "name": record["data"], "split": record["split"]},
        "metrics": [
            {
                "type": record["unit"],
                "name": f"{record['unit']}, {record['estimator']}",
                "value": record["value"],
            }
        ],
    }


def _stated(record: dict[str, Any]) -> str:
    return (
        f"On all {record['num_examples']:,} examples of `{record['data']}` ({record['split']}): "
        f"**{_number(record['value'])} ± {_number(record['standard_error'])} {record['unit']}** "
        f"({record['estimator']}; the standard error is over examples). `record.json` has the "
        f"data's SHA-256, the versions and the seed."
    )


def _number(value: float | None) -> str:
    """As it is shown; None, as JSON has it, is no finite number."""
    return "nan" if value is None else f"{value:.4f}"
