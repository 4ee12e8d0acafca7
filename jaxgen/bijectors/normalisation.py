r"""Per-channel affine maps that normalise the data, and what sets their numbers.

All three undo, on the way to the base, a shift ``t`` and a scale ``exp(s)`` of the data,

.. math:: x = z\, e^{s} + t, \qquad
          \log\left|\det \frac{\partial x}{\partial z}\right| = S \sum_c s_c

for ``S`` positions that share a channel (1 for a vector). :class:`ActNorm` (Glow, Kingma &
Dhariwal, 2018, section 3.1) starts from the statistics of a first batch and is trained from there;
:class:`BatchNorm` (RealNVP, Dinh et al. 2017, section 3.7; MAF, 2017) keeps to the statistics and
trains another such map behind them; :class:`Standardize` is fixed.

Each adapts itself to data once: its buffer ``adapted`` says whether it has. A channel that is
constant in the data is shifted and not scaled, for no scale would be right.

Deviations: RealNVP trains with running averages; here no layer changes while it is used, so the
statistics of evaluation are taken anew by :meth:`BatchNorm.calibrate`.
"""

import math
from typing import Self

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import (
    Buffer,
    Context,
    Key,
    Shape,
    ShapeError,
    adapt_once,
    batch_shape,
    checked_arguments,
    is_concrete,
    replace,
    spread,
)
from jaxgen.functional.elementwise import affine_forward, affine_inverse
from jaxgen.functional.statistics import is_constant, location_and_scale


class _Affine(Bijector):
    """``x = z exp(s) + t``, where ``t`` and ``s`` have the shape of the event's last axes."""

    event_shape: Shape

    @checked_arguments
    def __init__(self, event_shape: Shape):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)

    def shift_and_log_scale(self) -> tuple[Array, Array]:
        """``t`` and ``s``."""
        raise NotImplementedError(f"{type(self).__name__} defines no shift_and_log_scale")

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        shift, log_scale = self.shift_and_log_scale()
        x, _ = affine_forward(z, shift, log_scale)
        return x, self._log_det(log_scale)

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        shift, log_scale = self.shift_and_log_scale()
        z, _ = affine_inverse(x, shift, log_scale)
        return z, -self._log_det(log_scale)

    def _log_det(self, log_scale: Array) -> Array:
        """Of scaling by ``exp(log_scale)``: all positions that share a scale count."""
        positions = self.event_shape[: self.event_ndims - log_scale.ndim]
        return math.prod(positions) * jnp.sum(log_scale)


class ActNorm(_Affine):
    r"""A per-channel affine map, ``x = z exp(s) + t``, that starts from the data's statistics.

    :meth:`initialize` returns one whose latents of the given batch have mean 0 and variance 1 in
    every channel. One that has been initialised, or frozen, returns itself. A channel that varies
    by less than a millionth of another counts as constant: of data in unlike units,
    :class:`Standardize` comes first.

    Args:
        event_shape: the event's shape; its last axis are the channels.

    >>> norm, z = ActNorm((2,)).initialize(jnp.array([[0.0, 1.0], [2.0, 5.0]]))
    >>> z.tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    @checked_arguments
    def __init__(self, event_shape: Shape):
        super().__init__(event_shape)
        self.shift = nnx.Param(jnp.zeros(event_shape[-1]))
        self.log_scale = nnx.Param(jnp.zeros(event_shape[-1]))
        self.adapted = Buffer(jnp.zeros(()))

    def shift_and_log_scale(self) -> tuple[Array, Array]:
        return self.shift[...], self.log_scale[...]

    def initialize(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        shift, scale = location_and_scale(x, 1, inside=True)
        new = adapt_once(self, shift=shift, log_scale=jnp.log(scale))
        return new, new.inverse(x)


class BatchNorm(_Affine):
    r"""Normalises every channel by its statistics, then scales and shifts it.

    Seen from the data, with the mean ``m`` and the variance ``v`` of each channel,

    .. math:: z = \frac{x - m}{\sqrt{v + \epsilon}}\, e^{\gamma} + \beta, \qquad
              \log\left|\det \frac{\partial z}{\partial x}\right| =
              S \sum_c \left(\gamma_c - \tfrac12 \log(v_c + \epsilon)\right).

    *With a key*, that is in training, the density direction uses the statistics of the batch it is
    given, and gradients flow through them. The examples of a batch then depend on each other: there
    must be two at least, under ``jax.vmap`` each one would be alone, and under ``jax.pmap`` each
    device has statistics of its own.

    *Without a key* it uses the buffers ``mean`` and ``log_var``, which :meth:`initialize` and
    :meth:`calibrate` take from data: an affine map like :class:`~jaxgen.bijectors.ActNorm`. The
    sampling direction always uses the buffers, because the statistics of the data cannot be known
    from latents. In an ``Inverse`` the two directions are exchanged: there it never sees a batch of
    data, keeps its buffers, and is a trained affine map.

    :func:`~jaxgen.training.fit` calibrates what it validates and returns. After training by other
    means call :meth:`Model.calibrate <jaxgen.models.Model.calibrate>`.

    Args:
        event_shape: the event's shape; its last axis are the channels.
        eps: added to the variance.

    Raises:
        ValueError: if ``eps`` is not positive.

    >>> norm, z = BatchNorm((2,), eps=1e-9).initialize(jnp.array([[0.0, 1.0], [2.0, 5.0]]))
    >>> z.tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    needs_calibration = True

    @checked_arguments
    def __init__(self, event_shape: Shape, eps: float = 1e-5):
        super().__init__(event_shape)
        self.eps = float(eps)
        self.log_gain = nnx.Param(jnp.zeros(event_shape[-1]))  # gamma
        self.offset = nnx.Param(jnp.zeros(event_shape[-1]))  # beta
        self.mean = Buffer(jnp.zeros(event_shape[-1]))
        self.log_var = Buffer(jnp.zeros(event_shape[-1]))  # of v + eps
        self.adapted = Buffer(jnp.zeros(()))

    def shift_and_log_scale(self) -> tuple[Array, Array]:
        return self.mean[...], self.log_var[...] / 2

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        mean, log_scale = self.shift_and_log_scale()
        normalised, _ = affine_inverse(z, self.offset[...], self.log_gain[...])
        x, _ = affine_forward(normalised, mean, log_scale)
        return x, self._log_det(log_scale - self.log_gain[...])

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        if key is None:
            mean, log_scale = self.shift_and_log_scale()
        else:
            self._require_batch(x)
            mean, log_var = self._batch_statistics(x)
            log_scale = log_var / 2
        normalised, _ = affine_inverse(x, mean, log_scale)
        z, _ = affine_forward(normalised, self.offset[...], self.log_gain[...])
        return z, self._log_det(self.log_gain[...] - log_scale)

    def initialize(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        mean, log_var = self._batch_statistics(x)
        new = adapt_once(self, mean=mean, log_var=log_var)
        return new, new.inverse(x)

    def calibrate(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        anew = replace(self, adapted=Buffer(jnp.zeros_like(self.adapted[...])))
        return anew.initialize(x, context)

    def _batch_statistics(self, x: Array) -> tuple[Array, Array]:
        axes = tuple(range(x.ndim - 1))
        mean = jnp.mean(x, axes)
        deviation, largest = jnp.max(jnp.abs(x - mean), axes), jnp.max(jnp.abs(x), axes)
        constant = is_constant(deviation, largest, float(jnp.finfo(x.dtype).eps), True)
        # eps alone would scale what another batch has of such a channel by its inverse root.
        return mean, jnp.where(constant, 0.0, jnp.log(jnp.var(x, axes) + self.eps))

    def _require_batch(self, x: Array) -> None:
        examples = math.prod(batch_shape(x, self.event_shape, "BatchNorm"))
        if examples < 2:
            raise ShapeError(
                "BatchNorm: expected a batch of at least 2 examples to train on, got 1; without a "
                "key it uses its stored statistics"
            )


class Standardize(_Affine):
    """``z = (x - mean) / scale``, with statistics of the data that are not trained.

    It stands nearest to the data, so that what comes behind it sees the same numbers whatever the
    data's unit. :meth:`standardize` and :meth:`initialize` take mean and standard deviation from
    data; where they were given, or taken before, both leave them.

    Args:
        event_shape: the event's shape.
        mean, scale: arrays that broadcast to ``statistics_shape``; 0 and 1, until data come, if
            neither is given.
        statistics_shape: the last axes of the event, whose entries have statistics of their own:
            ``event_shape[-1:]`` for one of each channel. All axes if None.

    Raises:
        ValueError: if a given scale is not positive.

    >>> Standardize((2,), mean=1.0, scale=2.0).inverse(jnp.array([1.0, 5.0])).tolist()
    [0.0, 2.0]
    """

    @checked_arguments
    def __init__(
        self,
        event_shape: Shape,
        mean: Array | float | None = None,
        scale: Array | float | None = None,
        *,
        statistics_shape: Shape | None = None,
    ):
        super().__init__(event_shape)
        shape = self.event_shape if statistics_shape is None else tuple(statistics_shape)
        if shape != self.event_shape[len(self.event_shape) - len(shape) :]:
            raise ShapeError(
                f"Standardize: expected statistics of the last axes of events {self.event_shape}, "
                f"got statistics_shape={shape}"
            )
        given = mean is not None or scale is not None
        mean = spread(0.0 if mean is None else mean, shape, "Standardize", "mean")
        scale = spread(1.0 if scale is None else scale, shape, "Standardize", "scale")
        if is_concrete(scale) and not bool(jnp.all(scale > 0)):
            raise ValueError(
                f"Standardize: expected positive scales, got a minimum of {scale.min()}"
            )
        self.mean = Buffer(mean)
        self.log_scale = Buffer(jnp.log(scale))
        self.adapted = Buffer(jnp.asarray(float(given)))

    def shift_and_log_scale(self) -> tuple[Array, Array]:
        return self.mean[...], self.log_scale[...]

    def standardize(self, x: Array | np.ndarray) -> Self:
        mean, scale = location_and_scale(x, self.mean[...].ndim)
        return adapt_once(self, mean=mean, log_scale=jnp.log(scale))

    def initialize(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        new = self.standardize(x)
        return new, new.inverse(x)


def standardized(context: Context, units: Standardize | None) -> Array | None:
    """A context in its own units, as real numbers; as it comes where there are none."""
    if context is None or units is None:
        return context
    real = jnp.issubdtype(context.dtype, jnp.floating)
    return units.inverse(context if real else context.astype(float))
