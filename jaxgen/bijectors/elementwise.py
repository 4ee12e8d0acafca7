"""Bijectors that act on every entry by itself."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import Context, Shape, checked_arguments, is_concrete
from jaxgen.functional import elementwise, support
from jaxgen.transforms import Transform


class Logit(Bijector):
    r"""From the real line (base) to the interval ``[low, high]`` (data): logit preprocessing.

    ``z = logit(alpha + (1 - 2 alpha) (x - low) / (high - low))``, with its log-determinant, as used
    for images by RealNVP and MAF. For 8-bit pixels with uniform dequantization take ``high=256``.
    The support is the interval, widened on either side by ``(high - low) alpha / (1 - 2 alpha)``,
    where samples end up too.

    Args:
        low, high: the interval.
        alpha: the margin that keeps ``z`` finite at the ends; 0.05 for natural images (RealNVP),
            1e-6 for MNIST (MAF).
        event_ndims: how many trailing axes the event has.

    >>> Logit(0.0, 256.0).inverse(jnp.array([128.0])).tolist()
    [0.0]
    """

    @checked_arguments
    def __init__(
        self, low: float = 0.0, high: float = 1.0, alpha: float = 0.05, event_ndims: int = 1
    ):
        if not low < high:
            raise ValueError(f"Logit: expected low < high, got {low} and {high}")
        self.low, self.high, self.alpha = float(low), float(high), float(alpha)
        self.event_ndims = event_ndims

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        x, log_derivative = elementwise.logit_forward(z, self.low, self.high, self.alpha)
        return x, _sum_event(log_derivative, self.event_ndims)

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        z, log_derivative = elementwise.logit_inverse(x, self.low, self.high, self.alpha)
        return z, _sum_event(log_derivative, self.event_ndims)

    def check_data(self, x: Array | np.ndarray) -> None:
        ends = elementwise.logit_support(self.low, self.high, self.alpha)
        margin = f", with the margin {ends[0]:g} to {ends[1]:g}" if self.alpha else ""
        _check_interval(
            x, *ends, f"Logit: expected values from {self.low:g} to {self.high:g}{margin}"
        )


class Tanh(Bijector):
    """``x = tanh(z)``: from the real line to ``(-1, 1)``.

    >>> Tanh().forward(jnp.zeros(2)).tolist()
    [0.0, 0.0]
    """

    @checked_arguments
    def __init__(self, event_ndims: int = 1):
        self.event_ndims = event_ndims

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        x, log_derivative = elementwise.tanh_forward(z)
        return x, _sum_event(log_derivative, self.event_ndims)

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        z, log_derivative = elementwise.tanh_inverse(x)
        return z, _sum_event(log_derivative, self.event_ndims)

    def check_data(self, x: Array | np.ndarray) -> None:
        _check_interval(x, -1.0, 1.0, "Tanh: expected values from -1 to 1")


class Elementwise(Bijector):
    r"""``x_i = T(z_i; theta_i)``: a transform whose parameters are the entry's own, and trained.

    :math:`\log|\det \partial x/\partial z| = \sum_i \log|T'(z_i; \theta_i)|`. At the data's end
    of a flow it fits the marginal distributions of the entries (the elementwise half of a
    Gaussianization flow, Meng et al. 2020), which leaves the dependencies to the other layers.

    Args:
        event_shape: the event's shape.
        transform: the family, such as :class:`~jaxgen.transforms.RationalQuadraticSpline`.

    >>> from jaxgen.transforms import Affine
    >>> Elementwise((2,), Affine()).forward(jnp.array([1.0, 5.0])).tolist()  # the identity at first
    [1.0, 5.0]
    """

    event_shape: Shape

    @checked_arguments
    def __init__(self, event_shape: Shape, transform: Transform):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(self.event_shape)
        self.transform = transform
        self.params = nnx.Param(jnp.zeros((*self.event_shape, transform.num_params(()))))

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        x, log_derivative = self.transform.forward(z, self._spread(z))
        return x, _sum_event(log_derivative, self.event_ndims)

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        z, log_derivative = self.transform.inverse(x, self._spread(x))
        return z, _sum_event(log_derivative, self.event_ndims)

    def _spread(self, value: Array) -> Array:
        return jnp.broadcast_to(self.params[...], (*value.shape, self.params.shape[-1]))


def _check_interval(x: Array | np.ndarray, low: float, high: float, expected: str) -> None:
    """Refuses values outside an interval, where they can be seen."""
    if not is_concrete(x):
        return
    x = np.asarray(x)
    wrong = x[support.outside(x, low, high)]
    if wrong.size:
        raise ValueError(
            f"{expected}; got {wrong.size} of {x.size} values outside, the first {wrong.flat[0]:g}"
        )


def _sum_event(value: Array, event_ndims: int) -> Array:
    return jnp.sum(value, tuple(range(value.ndim - event_ndims, value.ndim)))
