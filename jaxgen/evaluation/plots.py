"""Pictures: samples, losses, two-dimensional densities.

Every function returns a matplotlib ``Figure`` (a notebook shows it; ``figure.savefig`` writes it)
and leaves matplotlib's global state alone.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context
from jaxgen.functional import companding
from jaxgen.models import Model

_HISTOGRAMS = 12  # columns at most

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample_grid(
    samples: np.ndarray | Array,
    levels: float | None = None,
    *,
    columns: int | None = None,
    names: Sequence[str] | None = None,
) -> "Figure":
    """Samples at a glance.

    Images ``(n, H, W, 1 or 3)`` fill a grid; points ``(n, 2)`` are scattered; of up to 12 columns
    of real values each gets a histogram; any other events are the rows of one picture.

    Args:
        samples: array ``(n, *event_shape)``.
        levels: the number of levels, which fixes the range of the colours; None, or infinitely
            many, takes the data's.
        columns: images in a row of the grid; nearly a square if None.
        names: of the entries of rows; their numbers if None.

    Raises:
        ValueError: if there are no samples.

    >>> len(sample_grid(np.zeros((20, 3))).axes)
    3
    """
    samples = np.asarray(samples)
    if samples.ndim == 0 or samples.size == 0:
        raise ValueError(
            f"sample_grid: expected samples (n, *event_shape), one at least, got shape "
            f"{samples.shape}"
        )
    real = levels is None and samples.dtype.kind not in "biu"
    if real:  # halves of numbers, too
        samples = samples.astype(np.float64)
    if samples.ndim == 2 and samples.shape[1] == 2:
        figure = new_figure(4, 4)
        axes = figure.add_subplot()
        axes.scatter(samples[:, 0], samples[:, 1], s=4, alpha=0.5, linewidths=0)
        axes.set_aspect("equal")
        if names is not None:
            axes.set(xlabel=names[0], ylabel=names[1])
        return figure
    if samples.ndim == 4 and samples.shape[-1] in (1, 3):
        columns = math.ceil(math.sqrt(len(samples))) if columns is None else columns
        picture = _tile(samples, columns)
        if levels is not None and np.isfinite(levels):
            picture = np.clip(picture / (levels - 1), 0, 1)
        picture = picture[..., 0] if samples.shape[-1] == 1 else picture
        figure = new_figure(0.7 * columns, 0.7 * math.ceil(len(samples) / columns))
    elif real and samples.ndim <= 2 and samples[0].size <= _HISTOGRAMS:
        rows = samples.reshape(len(samples), -1)
        return _histograms(rows, range(rows.shape[1]) if names is None else names)
    else:
        picture = samples.reshape(len(samples), -1)
        figure = new_figure(8, max(2.0, 0.1 * len(samples)))
    axes = figure.add_subplot()
    axes.imshow(picture, cmap="gray", interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return figure


def waveforms(codes: np.ndarray | Array, rate: int, *, columns: int | None = None) -> "Figure":
    """Sounds as waveforms, one above the other, over the time in seconds.

    Args:
        codes: mu-law codes ``(n, length)``.
        rate: samples a second.
        columns: sounds side by side; one for fewer than 8, else four, if None.

    >>> figure = waveforms(np.full((3, 100), 128), 8000, columns=2)
    >>> len(figure.axes[0].lines)
    3
    """
    sound = np.asarray(companding.decode(np.asarray(codes)))
    columns = (4 if len(sound) > 7 else 1) if columns is None else columns
    rows, seconds = math.ceil(len(sound) / columns), sound.shape[1] / rate
    figure = new_figure(max(6.0, 2.5 * columns), max(2.0, 0.5 * rows))
    axes = figure.add_subplot()
    time = np.arange(sound.shape[1]) / rate
    for i, each in enumerate(sound):
        row, column = divmod(i, columns)
        axes.plot(time + 1.05 * seconds * column, 0.5 * each - row, color="C0", linewidth=0.3)
    axes.set_xlabel("seconds")
    axes.set_yticks([])
    axes.margins(0.01)
    return figure


def loss_curve(
    rows: Sequence[dict[str, Any]], nats_per_unit: float = 1.0, unit: str = "nats"
) -> "Figure":
    """Training and validation loss over the steps.

    Args:
        rows: the logged rows, with ``step``, ``loss`` and sometimes ``valid_loss`` in nats.
        nats_per_unit: what the losses are divided by.
        unit: its name.

    >>> rows = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0, "valid_loss": 2.2}]
    >>> figure = loss_curve(rows)
    >>> figure.savefig("loss.png")  # doctest: +SKIP
    """
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    for name, label in (("loss", "training"), ("valid_loss", "validation, averaged parameters")):
        points = [(row["step"], row[name] / nats_per_unit) for row in rows if name in row]
        if points:
            marker = "" if name == "loss" else "o"
            axes.plot(*zip(*points, strict=True), label=label, marker=marker, markersize=3)
    losses = np.array([row["loss"] / nats_per_unit for row in rows])
    if len(losses) > 2:
        # The first steps are far off and would flatten the rest. What validation rises to after
        # its best is what the curve is looked at for.
        valid = [row["valid_loss"] / nats_per_unit for row in rows if "valid_loss" in row]
        valid = [loss for loss in valid if np.isfinite(loss)]
        after = valid[int(np.argmin(valid)) :] if valid else []
        low = min([losses.min(), *after])
        high = max([np.quantile(losses, 0.95), *after])
        margin = 0.1 * (high - low) + 1e-6
        axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("step")
    axes.set_ylabel(f"negative log-likelihood ({unit})")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def density_2d(
    model: Model,
    samples: np.ndarray | Array,
    *,
    limits: tuple[float, float, float, float] | None = None,
    resolution: int = 200,
    context: Context = None,
) -> "Figure":
    """The density of a two-dimensional model beside samples, on the same axes.

    Args:
        model: a model of vectors ``(2,)`` with an exact likelihood.
        samples: array ``(n, 2)``, from the model or from the data.
        limits: ``(x_low, x_high, y_low, y_high)``; around the samples if None.
        resolution: grid points along an axis.
        context: one context, ``context_shape``, for a conditional model.

    >>> from jaxgen.models import StandardNormal
    >>> samples = np.random.default_rng(0).normal(size=(100, 2))
    >>> figure = density_2d(StandardNormal((2,)), samples, resolution=20)
    >>> figure.savefig("density.png")  # doctest: +SKIP
    """
    samples = np.asarray(samples)
    if limits is None:
        low, high = np.quantile(samples, [0.001, 0.999], axis=0)
        margin = 0.15 * (high - low)
        limits = (
            float(low[0] - margin[0]),
            float(high[0] + margin[0]),
            float(low[1] - margin[1]),
            float(high[1] + margin[1]),
        )
    points, _ = grid_2d(limits, resolution)
    log_prob = jax.jit(type(model).log_prob)(model, points.reshape(-1, 2), context)
    density = np.exp(np.asarray(log_prob)).reshape(resolution, resolution)
    figure = new_figure(8.5, 4)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    image = left.imshow(density, origin="lower", extent=limits, aspect="auto", cmap="viridis")
    figure.colorbar(image, ax=left)
    left.set_title("density")
    right.scatter(samples[:, 0], samples[:, 1], s=3, alpha=0.4, linewidths=0)
    right.set_title("samples")
    right.set_xlim(limits[:2])
    right.set_ylim(limits[2:])
    return figure


def grid_2d(limits: tuple[float, float, float, float], resolution: int) -> tuple[Array, float]:
    """Midpoints ``(resolution, resolution, 2)`` of a grid of cells, and the area of a cell.

    A density's integral is about ``sum(exp(log_prob(points))) * area`` (the midpoint rule).

    >>> points, area = grid_2d((0.0, 1.0, 0.0, 2.0), 2)
    >>> points[0, 0].tolist(), area
    ([0.25, 0.5], 0.5)
    """
    x_low, x_high, y_low, y_high = limits
    dx, dy = (x_high - x_low) / resolution, (y_high - y_low) / resolution
    x = x_low + dx * (jnp.arange(resolution) + 0.5)
    y = y_low + dy * (jnp.arange(resolution) + 0.5)
    return jnp.stack(jnp.meshgrid(x, y), axis=-1), dx * dy


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, apart from matplotlib's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _histograms(samples: np.ndarray, names: Sequence[Any]) -> "Figure":
    """The distribution of each column ``(n, columns)``; what is not finite is left out."""
    side = math.ceil(math.sqrt(samples.shape[1]))
    rows = math.ceil(samples.shape[1] / side)
    figure = new_figure(2.5 * side, 2.0 * rows)
    for place, (name, column) in enumerate(zip(names, samples.T, strict=True), start=1):
        axes = figure.add_subplot(rows, side, place)
        axes.hist(column[np.isfinite(column)], bins=30)
        axes.set_title(str(name), fontsize="small")
        axes.set_yticks([])
    return figure


def _tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Images ``(n, H, W, C)`` side by side in a grid, a pixel apart."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    blank = images.max() if images.size else 0
    tiles = np.full((rows * columns, height + 1, width + 1, channels), blank, images.dtype)
    tiles[:count, :height, :width] = images
    tiles = tiles.reshape(rows, columns, height + 1, width + 1, channels).swapaxes(1, 2)
    return tiles.reshape(rows * (height + 1), columns * (width + 1), channels)[:-1, :-1]
