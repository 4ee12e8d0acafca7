r"""Batch normalisation as a layer of a flow (RealNVP, Dinh et al. 2017, section 3.7; MAF, 2017).

Seen from the data, with the mean ``m`` and the variance ``v`` of each channel,

.. math:: z = \frac{x - m}{\sqrt{v + \epsilon}}\, e^{\gamma} + \beta, \qquad
          \log\left|\det \frac{\partial z}{\partial x}\right| =
          S \sum_c \left(\gamma_c - \tfrac12 \log(v_c + \epsilon)\right)

for ``S`` positions that share a channel. Training takes ``m`` and ``v`` from the batch, evaluation
from the whole training set, as MAF does.

Deviations: RealNVP trains with running averages; here no layer changes while it is used, so the
statistics of evaluation are taken anew by :meth:`BatchNorm.calibrate`.
"""

import math

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import Buffer, Shape, ShapeError, batch_shape, replace
from jaxgen.functional import elementwise


class BatchNorm(Bijector):
    r"""Normalises every channel by its statistics, then scales and shifts it.

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

    event_shape: Shape
    needs_calibration = True

    def __init__(self, event_shape: Shape, eps: float = 1e-5):
        if not eps > 0:
            raise ValueError(f"BatchNorm: expected eps > 0, got {eps}")
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.eps = float(eps)
        self.log_gain = nnx.Param(jnp.zeros(event_shape[-1]))  # gamma
        self.offset = nnx.Param(jnp.zeros(event_shape[-1]))  # beta
        self.mean = Buffer(jnp.zeros(event_shape[-1]))
        self.log_var = Buffer(jnp.zeros(event_shape[-1]))  # of v + eps

    def forward_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        mean, log_scale = self.mean[...], self.log_var[...] / 2
        normalised, _ = elementwise.affine_inverse(z, self.offset[...], self.log_gain[...])
        x, _ = elementwise.affine_forward(normalised, mean, log_scale)
        return x, -self._log_det(log_scale)

    def inverse_and_log_det(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        if key is None:
            mean, log_var = self.mean[...], self.log_var[...]
        else:
            self._require_batch(x)
            mean, log_var = self._statistics(x)
        log_scale = log_var / 2
        normalised, _ = elementwise.affine_inverse(x, mean, log_scale)
        z, _ = elementwise.affine_forward(normalised, self.offset[...], self.log_gain[...])
        return z, self._log_det(log_scale)

    def _log_det(self, log_scale: Array) -> Array:
        positions = math.prod(self.event_shape[:-1])
        return positions * jnp.sum(self.log_gain[...] - log_scale)

    def _statistics(self, x: Array) -> tuple[Array, Array]:
        axes = tuple(range(x.ndim - 1))
        return jnp.mean(x, axes), jnp.log(jnp.var(x, axes) + self.eps)

    def _require_batch(self, x: Array) -> None:
        examples = math.prod(batch_shape(x, self.event_shape, "BatchNorm"))
        if examples < 2:
            raise ShapeError(
                "BatchNorm: expected a batch of at least 2 examples to train on, got 1; without a "
                "key it uses its stored statistics"
            )

    def _adapt(self, method, x, context):
        mean, log_var = self._statistics(x)
        new = replace(self, mean=Buffer(mean), log_var=Buffer(log_var))
        return new, new.inverse(x)
