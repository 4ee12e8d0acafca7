"""The contract of a bijector, and the checks that every subclass gets for free."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Self, TypeVar

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Shape, ShapeError, batch_shape, check_context, float_dtype

B = TypeVar("B", bound="Bijector")


class Bijector(nnx.Module):
    r"""An invertible, differentiable map between a base ``z`` and data ``x``.

    *Forward* leads from the base to the data, ``x = f(z)``; *inverse* back. With a base density
    ``p(z)`` the data have

    .. math:: \log p(x) = \log p(z) + \log\left|\det \partial z/\partial x\right|,
              \qquad z = f^{-1}(x),

    and that log-determinant, in nats and summed over the event, is what
    :meth:`inverse_and_log_det` returns; :meth:`forward_and_log_det` returns its negative at the
    same pair of points.

    A subclass defines these two methods and, if its event is not a vector, ``event_ndims``. A map
    that accepts one shape only also sets ``event_shape`` (the data's side) and, where it differs,
    ``base_shape``; a conditional one sets ``context_shape``. Shape checks, broadcasting of the
    context, the single-valued methods and error messages come from here: subclasses are wrapped
    once, when their class is made. A method that takes no ``key`` (dropout) need not name it.

    >>> class Double(Bijector):
    ...     def forward_and_log_det(self, z, context=None):
    ...         return 2 * z, jnp.full(z.shape[:-1], z.shape[-1] * jnp.log(2.0))
    ...     def inverse_and_log_det(self, x, context=None):
    ...         return x / 2, jnp.full(x.shape[:-1], -x.shape[-1] * jnp.log(2.0))
    >>> Double().forward(jnp.array([1.0, 2.0])).tolist()
    [2.0, 4.0]
    """

    event_ndims: int = 1
    event_shape: Shape | None = None
    base_shape: Shape | None = None
    context_shape: Shape | None = None
    needs_calibration: bool = False  # whether it has statistics that calibrate() takes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("forward_and_log_det", "inverse_and_log_det"):
            if name in cls.__dict__:
                setattr(cls, name, _checked(cls.__dict__[name]))

    def forward_and_log_det(
        self, z: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        """``x = f(z)`` and ``log|det dx/dz|``.

        Args:
            z: array ``(*batch, *base_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional bijector.
            key: turns dropout on; None means evaluation.

        Returns:
            ``x`` of shape ``(*batch, *event_shape)`` and the log-determinant ``(*batch,)``.

        Raises:
            ShapeError: saying what was expected, what came, and in which layer.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no forward_and_log_det")

    def inverse_and_log_det(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        """``z = f^{-1}(x)`` and ``log|det dz/dx|``; arguments as in :meth:`forward_and_log_det`."""
        raise NotImplementedError(f"{type(self).__name__} defines no inverse_and_log_det")

    def forward(self, z: Array, context: Array | None = None) -> Array:
        """``x = f(z)``."""
        return self.forward_and_log_det(z, context)[0]

    def inverse(self, x: Array, context: Array | None = None) -> Array:
        """``z = f^{-1}(x)``."""
        return self.inverse_and_log_det(x, context)[0]

    def forward_log_det(self, z: Array, context: Array | None = None) -> Array:
        """``log|det dx/dz|``, shape ``(*batch,)``."""
        return self.forward_and_log_det(z, context)[1]

    def inverse_log_det(self, x: Array, context: Array | None = None) -> Array:
        """``log|det dz/dx|``, shape ``(*batch,)``."""
        return self.inverse_and_log_det(x, context)[1]

    def initialize(self, x: Array, context: Array | None = None) -> tuple[Self, Array]:
        """A bijector adapted to a first batch of data, and that batch seen from the base.

        Most bijectors have nothing to adapt and return themselves.
        """
        return self._adapt("initialize", x, context)

    def calibrate(self, x: Array, context: Array | None = None) -> tuple[Self, Array]:
        """A bijector with its statistics taken from these data, and the data seen from the base.

        Statistics (batch normalisation) go stale whenever a parameter closer to the data changes,
        so they are taken again after training. Most bijectors have none and return themselves.
        """
        return self._adapt("calibrate", x, context)

    def _adapt(self, method: str, x: Array, context: Array | None) -> tuple[Self, Array]:
        """What :meth:`initialize` and :meth:`calibrate` share: a bijector of parts adapts them.

        ``method`` is the name of either, to be called on the parts (:func:`adapt_within`).
        """
        return self, self.inverse(x, context)

    def side_shape(self, side: str) -> Shape | None:
        """The event's shape on the ``"data"`` or the ``"base"`` side; None if any will do."""
        if side == "base" and self.base_shape is not None:
            return self.base_shape
        return self.event_shape


def run_within(
    layer: Bijector,
    method: str,
    value: Array,
    context: Array | None,
    key: Array | None,
    event_ndims: int,
) -> tuple[Array, Array]:
    """Runs a part of a larger bijector, which may have fewer event axes than the whole.

    What the whole takes for event axes is batch to such a part: its context is repeated along them,
    and its log-determinant is summed over them.

    Args:
        layer: the part.
        method: ``"forward_and_log_det"`` or ``"inverse_and_log_det"``.
        value: array ``(*batch, *event)``.
        context: array ``(*batch, *context_shape)``, or None.
        key: as in the method.
        event_ndims: event axes of the whole.
    """
    extra = event_ndims - layer.event_ndims
    context = _context_within(layer, value, context, event_ndims)
    value, log_det = getattr(layer, method)(value, context, key=key)
    return value, jnp.sum(log_det, tuple(range(log_det.ndim - extra, log_det.ndim)))


def adapt_within(
    layer: B, method: str, x: Array, context: Array | None, event_ndims: int
) -> tuple[B, Array]:
    """Adapts a part of a larger bijector, with the context that :func:`run_within` gives it.

    Args:
        layer: the part.
        method: ``"initialize"`` or ``"calibrate"``.
        x: array ``(*batch, *event)``.
        context: array ``(*batch, *context_shape)``, or None.
        event_ndims: event axes of the whole.
    """
    return getattr(layer, method)(x, _context_within(layer, x, context, event_ndims))


def _context_within(
    layer: Bijector, value: Array, context: Array | None, event_ndims: int
) -> Array | None:
    extra = event_ndims - layer.event_ndims
    if not extra or context is None or layer.context_shape is None:
        return context
    batch_ndims = value.ndim - event_ndims
    return jnp.expand_dims(context, tuple(range(batch_ndims, batch_ndims + extra)))


def _checked(method: Callable[..., tuple[Array, Array]]) -> Callable[..., tuple[Array, Array]]:
    """Wraps one of the two methods of a subclass with the checks that all share."""
    name = method.__name__
    side = "base" if name.startswith("forward") else "data"
    takes_key = "key" in inspect.signature(method).parameters

    @functools.wraps(method)
    def checked(
        self: Bijector, value: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        where = f"{type(self).__name__}.{name}"
        value = jnp.asarray(value)
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise ShapeError(
                f"{where}: expected real values, got {value.dtype}; for integer levels wrap the "
                f"flow in jaxgen.models.Dequantized"
            )
        shape = self.side_shape(side)
        if shape is not None:
            batch = batch_shape(value, shape, where)
        elif value.ndim < self.event_ndims:
            raise ShapeError(
                f"{where}: expected at least {self.event_ndims} axes (the event), got shape "
                f"{value.shape}"
            )
        else:
            batch = value.shape[: value.ndim - self.event_ndims]
        context = check_context(context, self.context_shape, batch, where)
        options = {"key": key} if takes_key else {}
        result, log_det = method(self, value, context, **options)
        log_det = jnp.asarray(log_det)
        if log_det.shape not in (batch, ()):
            raise ShapeError(
                f"{where}: its log-determinant must be summed over the event, shape {batch}, got "
                f"{log_det.shape}"
            )
        log_det = log_det.astype(float_dtype(log_det.dtype))
        return result, jnp.broadcast_to(log_det, batch)

    return checked
