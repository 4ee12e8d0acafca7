"""Missing parts of images, as published completions show them, and pictures of what fills them in.

Scores are :func:`~jaxgen.evaluation.evaluate`'s with ``observed``; the samples are those of
:meth:`jaxgen.models.Autoregressive.complete`.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, Shape, unknown
from jaxgen.evaluation.plots import sample_grid
from jaxgen.models import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOLES = {
    "top": "top half",
    "bottom": "bottom half",
    "left": "left half",
    "centre": "centre square",
    "random": "random 75 %",
}


def observed_around(hole: str, size: Shape) -> np.ndarray:
    """What is observed of an image around a hole.

    Args:
        hole: ``"top"`` or ``"bottom"`` (half of the rows), ``"left"`` (half of the columns),
            ``"centre"`` (a square, half as high and half as wide) or ``"random"`` (three quarters
            of the pixels, the same at every call).
        size: height and width.

    Returns:
        Boolean array ``size``, False in the hole.

    Raises:
        ValueError: for another hole.

    >>> observed_around("centre", (4, 4)).astype(int).tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    if hole not in HOLES:
        raise unknown("hole", hole, HOLES)
    height, width = size
    observed = np.ones((height, width), bool)
    if hole == "top":
        observed[: height // 2] = False
    elif hole == "bottom":
        observed[height - height // 2 :] = False
    elif hole == "left":
        observed[:, : width // 2] = False
    elif hole == "centre":
        top, left = height // 4, width // 4
        observed[top : top + height // 2, left : left + width // 2] = False
    else:
        missing = np.random.default_rng(0).permutation(height * width)[: 3 * height * width // 4]
        observed.reshape(-1)[missing] = False
    return observed


def completion_grid(
    model: Model,
    x: np.ndarray | Array,
    observed: np.ndarray,
    num: int,
    context: Context = None,
    *,
    key: Array,
) -> "Figure":
    """Images, what is observed of them, and ``num`` completions, a row for each image and mask.

    Args:
        model: an autoregressive model of integer levels, whose positions are the pixels or the
            entries of images.
        x: images ``(n, height, width, channels)``.
        observed: boolean array ``(masks, height, width)``.
        num: how many completions of each.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: the random key.

    Returns:
        A picture whose second column shows a hole in a middle grey.

    Raises:
        ValueError: if the model is of real values, or of counts.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.eonade((4, 4, 1), hidden=(4,), rngs=nnx.Rngs(0))
    >>> top = observed_around("top", (4, 4))[None]
    >>> figure = completion_grid(model, np.zeros((2, 4, 4, 1), int), top, 3, key=jax.random.key(0))
    >>> figure.savefig("completions.png")  # doctest: +SKIP
    """
    if model.levels is None or np.isinf(model.levels):
        what = "real values" if model.levels is None else "counts"
        raise ValueError(f"completion_grid: expected a model of integer levels, got {what}")
    x, middle, rows = jnp.asarray(x), (model.levels - 1) / 2.0, []
    for mask, mask_key in zip(observed, jax.random.split(key, len(observed)), strict=True):
        drawn = model.complete(mask_key, x, on_grid(mask, model), num, context)
        holed = jnp.where(mask[..., None], x, middle)
        rows.append(np.stack([x, holed, *drawn], axis=1))
    images = np.concatenate(rows)
    return sample_grid(images.reshape(-1, *x.shape[1:]), model.levels, columns=images.shape[1])


def on_grid(observed: np.ndarray, model: Model) -> np.ndarray:
    """A mask of pixels as one of the model's positions, which may be the entries of pixels."""
    grid = model.grid_shape
    if grid is None or len(grid) == 2:
        return observed
    return np.broadcast_to(observed[..., None], grid)
