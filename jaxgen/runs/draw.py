"""Pictures, sound, text and tables of what a run's model draws."""

import functools
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.evaluation import (
    density_2d,
    sample_grid,
    waveforms,
    write_wav,
)
from jaxgen.models import Model
from jaxgen.runs.directory import Run
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import PICTURES, opened_for, save_figure, write_table
from jaxgen.training.claims import writing

_OTHERS = (".npy", ".csv", ".wav", ".txt")  # of numbers, of rows, of sound, of text


def sample(
    run: Path | str,
    out: Path | str,
    *,
    num: int = 64,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    length: int | None = None,
    label: str | int | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> None:
    """Draws samples from a run's model and writes them as a picture, sound, text, or numbers.

    For points in the plane the model's density is shown beside them; of a class-conditional model
    of images or sound, every column is a class, unless one is chosen. Sound is drawn as waveforms,
    or, if ``out`` ends in ``.wav``, written one sample after the other; so is text, if it ends in
    ``.txt``. An ``.npy`` file gets the array ``(num, *event_shape)`` of any model, a ``.csv`` file
    a row for each sample of one of rows, with the names of the columns that it was trained on.

    Args:
        run: the run directory.
        out: the picture, the WAV file, the text file or the file of numbers.
        num: how many samples.
        seed: of the samples.
        temperature, top_p: as in :meth:`jaxgen.models.Autoregressive.sample`.
        length: values of a signal, for a model whose parameters fit any; None for the length that
            it was trained on.
        label: the class to draw from, by its name, or its number where no name is
            one; None for all, or a model of none.
        file: the experiment file, for a model that is defined there; a path is executed.

    Raises:
        RunError: if there is no run, it is damaged, or its parameters do not fit the length.
        ValueError: for less than one sample, a temperature or a ``top_p`` out of range, a ``top_p``
            of a model that does not choose among levels one position at a time, a length of a model
            of no signals, a WAV file of a model of no sound, a text file of one of no text, a table
            of one of no rows, a label that there is not, or numbers of all classes, which would not
            say of which they are.
    """
    opened, suffix = opened_for(run, out, *PICTURES, *_OTHERS), Path(out).suffix.lower()
    model, draw = _drawing(opened, num, temperature, top_p, length, label, file)
    if suffix == ".txt":
        texts = _texts(opened, model, draw, num, seed)
        with writing(out):
            Path(out).write_text(joined(texts), encoding="utf-8")
        return
    if suffix in (".npy", ".csv"):
        _check_numbers(model, suffix, label)
        numbers = np.asarray(draw(model, random_key(seed), num))
        with writing(out):
            if suffix == ".npy":
                np.save(out, numbers)
            else:
                names = opened.columns or [f"x{index}" for index in range(numbers.shape[1])]
                write_table(out, names, (in_columns(model, row) for row in numbers))
        return
    rate, as_sound = opened.rate, suffix == ".wav"
    if as_sound and rate is None:
        raise ValueError(f"sample: expected a run of sound for a .wav file, got {run}")
    key, columns = random_key(seed), None
    if model.context_shape is not None and opened.num_classes is not None and label is None:
        columns = opened.num_classes
        rows = math.ceil(num / columns)
        samples = draw(model, key, rows, jnp.arange(columns)).reshape(-1, *model.event_shape)
    if rate is not None:
        sound = np.asarray(draw(model, key, num) if columns is None else samples)
        if as_sound:
            with writing(out):
                write_wav(out, sound, rate)
            return
        figure = waveforms(sound, rate, columns=columns)
    elif columns is not None:
        figure = sample_grid(samples, model.levels, columns=columns)
    elif model.event_shape == (2,) and model.exactness == "exact":
        # Fewer points than 2000 show no density.
        figure = density_2d(model, draw(model, key, max(num, 2000)))
    else:
        figure = sample_grid(draw(model, key, num), model.levels, names=opened.columns)
    save_figure(figure, out)


def sample_text(
    run: Path | str,
    *,
    num: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    length: int | None = None,
    label: str | int | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> list[str]:
    """Texts drawn from the model of a run of text.

    Args:
        run, num, seed, temperature, top_p, length, label, file: as in :func:`sample`.

    Raises:
        RunError: as there.
        ValueError: as there, or for a run of no text.
    """
    opened = Run.read(run)
    model, draw = _drawing(opened, num, temperature, top_p, length, label, file)
    return _texts(opened, model, draw, num, seed)


def _texts(opened: Run, model: Model, draw: Callable[..., Array], num: int, seed: int) -> list[str]:
    if opened.vocabulary is None:
        raise ValueError(f"sample: expected a run of text for text, got {opened.path}")
    return [opened.vocabulary.decode(row) for row in np.asarray(draw(model, random_key(seed), num))]


def joined(texts: list[str]) -> str:
    """Texts one after the other, a line of dashes between them."""
    return f"\n{'-' * 40}\n".join(texts) + "\n"


def _drawing(
    opened: Run,
    num: int,
    temperature: float,
    top_p: float,
    length: int | None,
    label: str | int | None,
    file: ExperimentFile | Path | str | None,
) -> tuple[Model, Callable[..., Array]]:
    """A run's model, and the compiled sampler, ``(model, key, num, context) -> samples``."""
    if num < 1:
        raise ValueError(f"sample: expected at least 1 sample, got {num}")
    shape = opened.event_shape
    if length is not None and (len(shape) != 1 or length < 1):
        raise ValueError(
            f"sample: expected a length of at least 1, for a model of signals (length,), got "
            f"{length} for {shape}"
        )
    model = opened.load(file, None if length is None else (length,))
    options = {"temperature": temperature}
    if top_p != 1.0:
        if model.grid_shape is None:
            raise ValueError(
                f"sample: top_p is for autoregressive models, got {type(model).__name__}; use a "
                f"temperature"
            )
        options["top_p"] = top_p
    draw = functools.partial(
        jax.jit(type(model).sample, static_argnums=2, static_argnames=tuple(options)), **options
    )
    if label is not None:
        draw = functools.partial(draw, context=jnp.asarray(opened.class_of(label, model)))
    return model, draw


def _check_numbers(model: Model, suffix: str, label: str | int | None) -> None:
    """Refuses what an array or a table would not say."""
    if model.context_shape is not None and label is None:
        raise ValueError(
            f"sample: expected a label with a {suffix} file, which does not say of which class a "
            f"sample is; other contexts are for Python: jaxgen.load(run).sample(key, num, context)"
        )
    if suffix == ".csv" and len(model.event_shape) != 1:
        raise ValueError(
            f"sample: expected a model of rows (columns,) for a .csv file, got events "
            f"{model.event_shape}; an .npy file takes any"
        )


def in_columns(model: Model, row: Iterable[Any]) -> list[Any]:
    """The numbers of a row, those of discrete columns as integers."""
    every = model.levels is not None
    return [int(v) if every or i in model.discrete else v for i, v in enumerate(row)]


def random_key(seed: int) -> Array:
    """The random key of a seed that was given on the command line.

    Raises:
        ValueError: if it is negative, or too large.
    """
    return jax.random.key(check_seed(seed))


def check_seed(seed: int) -> int:
    """A seed in the range of those of training."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected one from 0 to 2**32 - 1, got {seed}")
    return seed
