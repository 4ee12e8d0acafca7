"""Pictures, and sound, of what a run's model draws."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
from jaxgen.training.claims import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample(
    run: Path | str,
    out: Path | str,
    *,
    num: int = 64,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    length: int | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> None:
    """Draws samples from a run's model and writes them as a picture, as sound, or as text.

    For points in the plane the model's density is shown beside them; of a class-conditional model
    of images or sound, every column is a class. Sound is drawn as waveforms, or, if ``out`` ends in
    ``.wav``, written one sample after the other; so is text, if it ends in ``.txt``.

    Args:
        run: the run directory.
        out: the picture, the WAV file or the text file.
        num: how many samples.
        seed: of the samples.
        temperature, top_p: as in :meth:`jaxgen.models.Autoregressive.sample`.
        length: values of a signal, for a model whose parameters fit any; None for the length that
            it was trained on.
        file: the experiment file, for a model that is defined there; a path is executed.

    Raises:
        RunError: if there is no run, it is damaged, or its parameters do not fit the length.
        ValueError: for less than one sample, a temperature or a ``top_p`` out of range, a ``top_p``
            of a model that does not choose among levels one position at a time, a length of a model
            of no signals, a WAV file of a model of no sound, or a text file of one of no text.
    """
    if Path(out).suffix.lower() == ".txt":
        texts = sample_text(
            run,
            num=num,
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            length=length,
            file=file,
        )
        with writing(out):
            Path(out).write_text(joined(texts), encoding="utf-8")
        return
    opened, model, draw = _drawing(run, num, temperature, top_p, length, file)
    rate, as_sound = opened.rate, Path(out).suffix.lower() == ".wav"
    if as_sound and rate is None:
        raise ValueError(f"sample: expected a run of sound for a .wav file, got {run}")
    key, columns = random_key(seed), None
    if model.context_shape is not None and opened.num_classes is not None:
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
        figure = sample_grid(draw(model, key, num), model.levels)
    save_figure(figure, out)


def sample_text(
    run: Path | str,
    *,
    num: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    length: int | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> list[str]:
    """Texts drawn from the model of a run of text.

    Args:
        run, num, seed, temperature, top_p, length, file: as in :func:`sample`.

    Raises:
        RunError: as there.
        ValueError: as there, or for a run of no text.
    """
    opened, model, draw = _drawing(run, num, temperature, top_p, length, file)
    if opened.vocabulary is None:
        raise ValueError(f"sample: expected a run of text for text, got {run}")
    return [opened.vocabulary.decode(row) for row in np.asarray(draw(model, random_key(seed), num))]


def joined(texts: list[str]) -> str:
    """Texts one after the other, a line of dashes between them."""
    return f"\n{'-' * 40}\n".join(texts) + "\n"


def _drawing(
    run: Path | str,
    num: int,
    temperature: float,
    top_p: float,
    length: int | None,
    file: ExperimentFile | Path | str | None,
) -> tuple[Run, Model, Callable[..., Array]]:
    """The run, its model, and the compiled sampler, ``(model, key, num, context) -> samples``."""
    if num < 1:
        raise ValueError(f"sample: expected at least 1 sample, got {num}")
    opened = Run.read(run)
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
    return opened, model, draw


def save_figure(figure: "Figure", out: Path | str) -> None:
    """Writes a picture, a PNG unless its name ends otherwise.

    Raises:
        RunError: if it cannot be written.
    """
    with writing(out):
        figure.savefig(out, dpi=120, format=None if Path(out).suffix else "png")


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
