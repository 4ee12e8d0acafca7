r"""Whether an example fills the model's distribution as its own draws do (Jiang et al. 2022).

Entry by entry an example becomes numbers :math:`u_1, \dots, u_D`, of a flow at its base, that are
independent and uniform if it comes from the model (:mod:`jaxgen.evaluation.calibration`). The
statistic of Kolmogorov and Smirnov of *one* example's numbers,

.. math:: s(x) = \max_t \left|\frac{\#\{i : u_i \le t\}}{D} - t\right|,

is large for one that lies in the middle of the base, where the density is high and hardly any draw
lies.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, Key, check_key
from jaxgen.evaluation.ood.statistics import strangest
from jaxgen.functional import dequantization
from jaxgen.models import Model
from jaxgen.models.chunks import checked_examples, in_chunks


def goodness_of_fit(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    key: Key = None,
    batch_size: int = 500,
) -> np.ndarray:
    """How far the distribution of an example's uniform numbers is from uniform.

    Levels that a flow is dequantized for get uniform noise; those of an autoregressive model stand
    where they are drawn between both ends of their jump.

    Args:
        model: one whose ``has_cdf`` is True, or a ``Dequantized`` one of such a flow.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: of what is drawn for levels; real values take no draw.
        batch_size: examples in a chunk.

    Returns:
        float64 array ``(n,)``, from 0 to 1.

    Raises:
        TypeError: if the model has no distribution function.
        ValueError: if a key is needed, and missing.

    >>> from jaxgen.models import StandardNormal
    >>> model, x = StandardNormal((100,)), np.random.default_rng(0).normal(size=(2, 100))
    >>> x[1] = 0.0  # the likeliest of all
    >>> bool(goodness_of_fit(model, x)[0] < 0.2), goodness_of_fit(model, x)[1].item()
    (True, 0.5)
    """
    where = "goodness_of_fit"
    x, context, _ = checked_examples(model, x, context, where=where)
    model.check_data(x)
    if not has_fit(model):
        raise TypeError(
            f"{where}: only models that take data to independent uniform numbers have such a score "
            f"(those with conditional_cdf, and Dequantized ones of them), got "
            f"{type(model).__name__}"
        )
    if key is None and model.levels is not None:
        raise ValueError(f"{where}: levels are drawn for, so a key is needed, got None")
    if key is not None:
        check_key(key, where)
    key = jax.random.key(0) if key is None else key
    distances = in_chunks(functools.partial(_distance, model), x, context, key, batch_size)
    return strangest(distances, where)


def has_fit(model: Any) -> bool:
    """Whether a model has the score."""
    return model.has_cdf or getattr(_of_values(model), "has_cdf", False)


def _of_values(model: Any) -> Any:
    """The density of the values between levels, of a model that is dequantized."""
    return getattr(model, "flow", None)


@jax.jit
@jax.default_matmul_precision("float32")
def _distance(model: Any, x: Array, context: Context, key: Array) -> Array:
    x = jnp.asarray(x)
    if model.has_cdf:
        below, up_to = model.conditional_cdf(x, context)
        u = below + (up_to - below) * jax.random.uniform(key, below.shape, below.dtype)
    else:
        value = dequantization.dequantize(x, dequantization.uniform_noise(key, x.shape))
        _, u = _of_values(model).conditional_cdf(value, context)
    u = jnp.sort(u.reshape(len(x), -1), axis=-1)
    size = u.shape[-1]
    ranks = jnp.arange(size, dtype=u.dtype)
    return jnp.max(jnp.maximum((ranks + 1) / size - u, u - ranks / size), axis=-1)
