r"""The probability integral transform (Dawid, JRSS A 147(2), 1984; Rosenblatt, 1952).

The distribution function of a value, at that value, is uniform. Entry by entry, each given those
before it, a whole event becomes independent uniform numbers,

.. math:: u_i = F(x_i \mid x_{<i}, c),

if it comes from the model. A flow has them at its base, :math:`u_i = F(z_i)`. For levels, whose
distribution function jumps, ``u`` is drawn between both ends of the jump (Czado et al. 2009):

.. math:: u_i \sim \mathcal{U}\left(F(x_i^- \mid x_{<i}, c),\, F(x_i \mid x_{<i}, c)\right).

A histogram of ``u`` that is a hump says that the model is too wide, a bowl that it is too narrow, a
slope that it lies to one side. Each coordinate is tested by itself, so a dependence between
coordinates that the model misses, by which each may still be uniform, is not seen; see
:func:`~jaxgen.evaluation.highest_density_regions`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context
from jaxgen.evaluation.calibration.draws import check_numbers, checked_examples, uniforms
from jaxgen.evaluation.calibration.result import Calibration, of_uniforms
from jaxgen.models import Model
from jaxgen.models.checks import count
from jaxgen.models.chunks import in_chunks

_NAME = "integral_transform"


def integral_transform(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array | None = None,
    *,
    key: Array,
    batch_size: int = 500,
) -> Calibration:
    """Where every entry of the examples stands in the model's distribution.

    The p-value of all coordinates is Šidák's: they are independent if the model is right.

    Args:
        model: one whose ``has_cdf`` is True, see :meth:`jaxgen.models.Model.conditional_cdf`.
        x: examples ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: draws ``u`` for levels; real values take no draw.
        batch_size: examples in a chunk.

    Returns:
        A :class:`Calibration`, of ``u`` ``(n, D)`` with the ``D`` entries of an event.

    Raises:
        TypeError: if the model is none, or has no distribution function.
        ShapeError: if shapes do not fit, or a context is missing.
        ValueError: if there is no example, or one outside the model's support.

    >>> from jaxgen.models import StandardNormal
    >>> x = jax.random.normal(jax.random.key(0), (1000, 2)) * jnp.array([1.0, 1.5])
    >>> result = integral_transform(StandardNormal((2,)), x, key=jax.random.key(1))
    >>> bool(result.p_values[0] > 0.05), bool(result.p_values[1] < 1e-6)  # of which one is wider
    (True, True)
    """
    x, context = checked_examples(model, x, context, key, _NAME)
    size = count(batch_size, _NAME, "batch_size", least=1)
    ends = in_chunks(functools.partial(_ends, model), x, context, key, size)
    low, high = check_numbers(np.moveaxis(ends, -1, 0), "values", _NAME)
    return of_uniforms("integral transform", low + uniforms(key, low.shape) * (high - low))


@jax.jit
@jax.default_matmul_precision("float32")
def _ends(model: Model, x: Array, context: Context, key: Array) -> Array:
    """Both ends of every entry's jump, ``(n, D, 2)``; they take no draw."""
    ends = jnp.stack(model.conditional_cdf(jnp.asarray(x), context), axis=-1)
    return ends.reshape(len(x), -1, 2)
