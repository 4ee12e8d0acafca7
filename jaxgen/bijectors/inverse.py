"""A bijector with its two directions exchanged."""

from jax import Array

from jaxgen.bijectors.base import Bijector


class Inverse(Bijector):
    """``Inverse(b).forward`` is ``b.inverse``: MAF becomes IAF, a squeeze an unsqueeze.

    Neither a data-dependent initialisation nor a calibration is passed on: the data arrive on the
    wrong side of ``b``.

    >>> import jax.numpy as jnp
    >>> from jaxgen.bijectors import Squeeze
    >>> Inverse(Squeeze((4, 4, 1))).forward(jnp.zeros((4, 4, 1))).shape
    (2, 2, 4)
    """

    def __init__(self, bijector: Bijector):
        self.bijector = bijector
        self.event_ndims = bijector.event_ndims
        self.event_shape = bijector.side_shape("base")
        self.base_shape = bijector.side_shape("data")
        self.context_shape = bijector.context_shape

    def forward_and_log_det(
        self, z: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijector.inverse_and_log_det(z, context, key=key)

    def inverse_and_log_det(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijector.forward_and_log_det(x, context, key=key)
