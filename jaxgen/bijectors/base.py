"""The contract of a bijector, and the checks that every subclass gets for free."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.bijectors.checks import CHECKED, checked_adapt
from jaxgen.core import Context, Key, Module, Shape, ShapeError, brief

B = TypeVar("B", bound="Bijector")

# run_forward or run_inverse, as an argument.
Run = Callable[["Bijector", Array, Array | None, Array | None, int], tuple[Array, Array]]


class Adapt(Protocol):
    """:meth:`Bijector.initialize` or :meth:`Bijector.calibrate`, as a function of the bijector."""

    def __call__(self, layer: B, x: Array, context: Context) -> tuple[B, Array]: ...


class Bijector(Module):
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
    once, when their class is made. One whose data have a bounded support refuses others in
    :meth:`check_data`, and where they cannot be seen (under a trace) gives ``-inf`` for the
    log-determinant of its inverse, with a derivative of 0. The two methods are given values and
    real contexts of one dtype, float32 or better: half-precision data are computed with in float32,
    and contexts in float64 make values of float64.

    A method that is random in training (dropout) takes one keyword more, ``key``, where None means
    evaluation. So does a bijector that holds others: it runs them by :func:`run_forward` and
    :func:`run_inverse`, which pass the key on to those that take one.

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
    # Whether the two methods are random in training and take a key; found when a class is made.
    forward_takes_key: bool = False
    inverse_takes_key: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, checked in CHECKED.items():
            if name in cls.__dict__:
                setattr(cls, name, checked(cls.__dict__[name]))
        cls.forward_takes_key = _takes_key(cls.forward_and_log_det)
        cls.inverse_takes_key = _takes_key(cls.inverse_and_log_det)

    def __repr__(self) -> str:
        return brief(self)

    def __str__(self) -> str:
        return brief(self)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        """``x = f(z)`` and ``log|det dx/dz|``.

        Args:
            z: array ``(*batch, *base_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional bijector.

        Returns:
            ``x`` of shape ``(*batch, *event_shape)`` and the log-determinant ``(*batch,)``.

        Raises:
            ShapeError: saying what was expected, what came, and in which layer.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no forward_and_log_det")

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        """``z = f^{-1}(x)`` and ``log|det dz/dx|``; arguments as in :meth:`forward_and_log_det`."""
        raise NotImplementedError(f"{type(self).__name__} defines no inverse_and_log_det")

    def forward(self, z: Array, context: Context = None) -> Array:
        """``x = f(z)``."""
        return self.forward_and_log_det(z, context)[0]

    def inverse(self, x: Array, context: Context = None) -> Array:
        """``z = f^{-1}(x)``."""
        return self.inverse_and_log_det(x, context)[0]

    def forward_log_det(self, z: Array, context: Context = None) -> Array:
        """``log|det dx/dz|``, shape ``(*batch,)``."""
        return self.forward_and_log_det(z, context)[1]

    def inverse_log_det(self, x: Array, context: Context = None) -> Array:
        """``log|det dz/dx|``, shape ``(*batch,)``."""
        return self.inverse_and_log_det(x, context)[1]

    @checked_adapt
    def initialize(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        """A bijector adapted to a first batch of data, and that batch seen from the base.

        A layer adapts once: one that has its numbers from data, or from its user, keeps them. Most
        bijectors have nothing to adapt and return themselves.
        """
        return self._adapt(_initialize, x, context)

    def standardize(self, x: Array | np.ndarray) -> Self:
        """A bijector that has the location and scale of a whole data set from it.

        It is for what stands nearest to the data (:class:`~jaxgen.bijectors.Standardize`), and so
        needs no other layer to be run on all of them; most bijectors return themselves.

        Args:
            x: data ``(n, *event_shape)``; a numpy array is summed in float64 on the host.
        """
        return self

    @checked_adapt
    def calibrate(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        """A bijector with its statistics taken from these data, and the data seen from the base.

        Statistics (batch normalisation) go stale whenever a parameter closer to the data changes,
        so they are taken again after training. Most bijectors have none and return themselves.
        """
        return self._adapt(_calibrate, x, context)

    def _adapt(self, adapt: Adapt, x: Array, context: Context) -> tuple[Self, Array]:
        """What :meth:`initialize` and :meth:`calibrate` share: a bijector of parts adapts them.

        Args:
            adapt: the one of the two that goes on, to be called on every part.
            x: data on the data's side of this bijector, ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)``, or None.

        Returns:
            The new bijector, and ``x`` seen from the base through it.
        """
        return self, self.inverse(x, context)

    def check_data(self, x: Array | np.ndarray) -> None:
        """Refuses data ``(*batch, *event_shape)`` outside the support, as far as that can be seen.

        Raises:
            ValueError: saying what was expected, and what came.
        """

    def side_shape(self, side: str) -> Shape | None:
        """The event's shape on the ``"data"`` or the ``"base"`` side; None if any will do."""
        if side == "base" and self.base_shape is not None:
            return self.base_shape
        return self.event_shape

    def side_ndims(self, side: str) -> int:
        """How many axes an event has on the ``"data"`` or the ``"base"`` side."""
        shape = self.side_shape(side)
        return self.event_ndims if shape is None else len(shape)


def run_forward(
    layer: Bijector, z: Array, context: Context, key: Key, event_ndims: int
) -> tuple[Array, Array]:
    """``layer.forward_and_log_det`` of a part of something larger, which may have more event axes.

    What the whole takes for event axes is batch to such a part: its context is repeated along them,
    and its log-determinant is summed over them. The key is for a part that takes one.

    Args:
        layer: the part.
        z: array ``(*batch, *event)``.
        context: array ``(*batch, *context_shape)``, or None.
        key: turns dropout on; None means evaluation.
        event_ndims: event axes of the whole.

    Returns:
        ``x`` and the log-determinant ``(*batch,)``.
    """
    context = context_within(layer, z, context, event_ndims, "base")
    options = {"key": key} if layer.forward_takes_key else {}
    x, log_det = layer.forward_and_log_det(z, context, **options)
    return x, _sum_within(layer, log_det, event_ndims, "base")


def run_inverse(
    layer: Bijector, x: Array, context: Context, key: Key, event_ndims: int
) -> tuple[Array, Array]:
    """``layer.inverse_and_log_det`` of a part of something larger, as :func:`run_forward`."""
    context = context_within(layer, x, context, event_ndims)
    options = {"key": key} if layer.inverse_takes_key else {}
    z, log_det = layer.inverse_and_log_det(x, context, **options)
    return z, _sum_within(layer, log_det, event_ndims, "data")


def context_within(
    layer: Bijector, value: Array, context: Context, event_ndims: int, side: str = "data"
) -> Array | None:
    """The context for a part of a larger bijector with ``event_ndims`` event axes on that side.

    It is repeated along the event axes that the part lacks, see :func:`run_forward`.
    """
    extra = _missing_axes(layer, event_ndims, side)
    if not extra or context is None or layer.context_shape is None:
        return context
    batch_ndims = value.ndim - event_ndims
    return jnp.expand_dims(context, tuple(range(batch_ndims, batch_ndims + extra)))


def _sum_within(layer: Bijector, log_det: Array, event_ndims: int, side: str) -> Array:
    extra = _missing_axes(layer, event_ndims, side)
    return jnp.sum(log_det, tuple(range(log_det.ndim - extra, log_det.ndim)))


def _missing_axes(layer: Bijector, event_ndims: int, side: str) -> int:
    """How many event axes of the whole are batch to a part."""
    own = layer.side_ndims(side)
    if own > event_ndims:
        raise ShapeError(
            f"{type(layer).__name__}: it takes events of {own} axes, and is part of a bijector "
            f"whose events have {event_ndims}"
        )
    return event_ndims - own


def _initialize(layer: B, x: Array, context: Context) -> tuple[B, Array]:
    return layer.initialize(x, context)


def _calibrate(layer: B, x: Array, context: Context) -> tuple[B, Array]:
    return layer.calibrate(x, context)


def _takes_key(method: Callable[..., Any]) -> bool:
    return "key" in inspect.signature(method).parameters
