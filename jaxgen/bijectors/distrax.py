"""Bijectors of distrax as ours, and ours as distrax's, with the same numbers.

Both libraries call the way from the base to the data *forward*, sum log-determinants over the event
and count them in nats, so that nothing is converted but the wrapping. distrax is imported when one
of the two functions is called.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import (
    Buffer,
    Context,
    Module,
    Shape,
    ShapeError,
    batch_shape,
    check_context,
    is_concrete,
)

if TYPE_CHECKING:
    import distrax

# Whole numbers up to this size are exact in float32, which buffers may be cast to.
_LARGEST_INTEGER = 2**24


def as_distrax(bijector: Bijector, context: Context = None) -> "distrax.Bijector":
    """A bijector as a ``distrax.Bijector``: for ``distrax.Transformed``, ``distrax.Chain``, ...

    It is a pytree whose leaves are those of the bijector and the context, so it goes through
    ``jax.jit`` and ``jax.grad`` as an argument.

    Args:
        bijector: any bijector.
        context: ``(*batch, *context_shape)`` for a conditional one, fixed from here on.

    Raises:
        TypeError: if it is no :class:`Bijector`.
        ShapeError: if the context is missing, unasked for, or of another shape.

    >>> import distrax
    >>> from jaxgen.bijectors import ActNorm
    >>> base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
    >>> flow = distrax.Transformed(base, as_distrax(ActNorm((2,))))
    >>> round(float(flow.log_prob(jnp.zeros(2))), 4)
    -1.8379
    """
    if not isinstance(bijector, Bijector):
        raise TypeError(
            f"as_distrax: expected a jaxgen.bijectors.Bijector, got {type(bijector).__name__}"
        )
    where = f"as_distrax({type(bijector).__name__})"
    if context is None:
        check_context(None, bijector.context_shape, (), where)
    elif bijector.context_shape is None:
        raise ShapeError(f"{where}: this bijector is unconditional, but a context was given")
    else:
        context = jnp.asarray(context)
        batch_shape(context, bijector.context_shape, f"{where}, context")
    return _as_distrax_class()(bijector, context)


@functools.cache
def _as_distrax_class() -> Any:
    """The class of what :func:`as_distrax` returns, made once: its base class is in distrax."""
    import distrax

    class AsDistrax(distrax.Bijector):
        def __init__(self, bijector: Bijector, context: Context):
            super().__init__(
                event_ndims_in=bijector.side_ndims("base"),
                event_ndims_out=bijector.side_ndims("data"),
            )
            self._bijector = bijector
            self._context = context

        def forward(self, x: Array) -> Array:
            return self._bijector.forward(x, self._context)

        def inverse(self, y: Array) -> Array:
            return self._bijector.inverse(y, self._context)

        def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
            return self._bijector.forward_and_log_det(x, self._context)

        def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
            return self._bijector.inverse_and_log_det(y, self._context)

        @property
        def name(self) -> str:
            return f"AsDistrax{type(self._bijector).__name__}"

    return AsDistrax


def from_distrax(
    bijector: "distrax.Bijector | Callable[[Any], distrax.Bijector]",
    event_shape: Shape | None = None,
    *,
    params: Any = None,
) -> "FromDistrax":
    """A ``distrax.Bijector`` as one of ours: for :class:`Chain`, :class:`~jaxgen.models.Flow`, ...

    An elementwise bijector of distrax (``event_ndims_in == 0``) acts on every entry of an event, a
    vector if no ``event_shape`` says more; one of any other rank is repeated along the leading
    axes that ``event_shape`` has in excess. Log-determinants are summed accordingly, as by
    ``distrax.Block``.

    The arrays of a distrax object become buffers, and are not trained: many objects store one
    number several times (``ScalarAffine`` keeps a scale, its inverse and its logarithm), and
    training each on its own would make something that is no bijection. To train one, say how it is
    built from its parameters: pass a function of ``params``, and it is built anew in every call.

    Args:
        bijector: a bijector of distrax; or, with ``params``, a function ``params -> bijector``,
            defined at a module's top level so that equal models share one compiled program.
        event_shape: the event's shape on the data's side; None if any will do.
        params: what is trained: an ``nnx.Module`` (the conditioner of a coupling), or any pytree of
            float arrays.

    Raises:
        TypeError: if ``bijector`` is neither.
        ShapeError: if events of that shape do not fit the bijector, or its two sides differ in
            rank and no shape is given.
        ValueError: if an array in the bijector is neither of floats, of booleans nor of integers
            up to 2^24.

    >>> import distrax
    >>> from jaxgen.bijectors import Chain, Flip
    >>> chain = Chain([Flip(), from_distrax(distrax.ScalarAffine(shift=1.0, scale=jnp.array(2.0)))])
    >>> chain.forward(jnp.array([0.0, 3.0])).tolist()
    [7.0, 1.0]
    >>> def affine(params):
    ...     return distrax.ScalarAffine(params["shift"], log_scale=params["log_scale"])
    >>> start = {"shift": jnp.zeros(3), "log_scale": jnp.zeros(3)}
    >>> from_distrax(affine, (3,), params=start).inverse_log_det(jnp.ones((4, 3))).shape
    (4,)
    """
    import distrax

    if params is None:
        if not isinstance(bijector, distrax.Bijector):
            raise TypeError(
                f"from_distrax: expected a distrax.Bijector, or a function of `params` and these; "
                f"got {type(bijector).__name__}"
            )
        return FromDistrax(None, _Arrays(bijector, Buffer), event_shape)
    if isinstance(bijector, distrax.Bijector) or not callable(bijector):
        raise TypeError(
            f"from_distrax: with `params`, expected a function that builds a distrax.Bijector from "
            f"them, got {type(bijector).__name__}"
        )
    held = params if isinstance(params, nnx.Module) else _Arrays(params, nnx.Param)
    return FromDistrax(bijector, held, event_shape)


class _Arrays(Module):
    """A pytree of arrays that is no module, with its arrays as variables.

    Variables hold floats only, so the others are cast when the tree is put together again.
    """

    def __init__(self, tree: Any, variable: type[nnx.Variable]):
        leaves, self.treedef = jax.tree.flatten(tree)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        for leaf in leaves:
            _check_leaf(leaf)
        self.dtypes = tuple(None if _is_float(leaf) else str(leaf.dtype) for leaf in leaves)
        self.leaves = nnx.List(
            (variable if _is_float(leaf) else Buffer)(leaf.astype(jnp.result_type(leaf, 0.0)))
            for leaf in leaves
        )

    def tree(self) -> Any:
        """The pytree, with the arrays as they are now."""
        leaves = [
            leaf[...] if dtype is None else leaf[...].astype(dtype)
            for leaf, dtype in zip(self.leaves, self.dtypes, strict=True)
        ]
        return jax.tree.unflatten(self.treedef, leaves)


def _is_float(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _check_leaf(leaf: Array) -> None:
    if _is_float(leaf) or leaf.dtype == bool:
        return
    if not jnp.issubdtype(leaf.dtype, jnp.integer):
        raise ValueError(f"from_distrax: expected arrays of numbers, got one of {leaf.dtype}")
    largest = np.abs(np.asarray(leaf, np.int64)).max(initial=0) if is_concrete(leaf) else 0
    if largest > _LARGEST_INTEGER:
        raise ValueError(
            f"from_distrax: expected integers up to 2^24, which floats hold exactly, got {largest}"
        )


class FromDistrax(Bijector):
    """What :func:`from_distrax` returns.

    Args:
        make: a function of ``params`` that builds the bijector; None if they are it.
        params: the bijector's arrays, or the module that ``make`` takes.
        event_shape: as for :func:`from_distrax`.
    """

    def __init__(
        self,
        make: Callable[[Any], "distrax.Bijector"] | None,
        params: nnx.Module,
        event_shape: Shape | None,
    ):
        self.make = make
        self.params = params
        inner = self._bijector()
        if not hasattr(inner, "event_ndims_in"):
            raise TypeError(
                f"from_distrax: expected a function that returns a distrax.Bijector, got "
                f"{type(inner).__name__}"
            )
        sides = (inner.event_ndims_in, inner.event_ndims_out)
        name = f"from_distrax({inner.name})"
        if event_shape is None:
            if sides[0] != sides[1]:
                raise ShapeError(
                    f"{name}: it makes events of {sides[1]} axes from {sides[0]}; pass the shape "
                    f"of the data as event_shape"
                )
            self.event_ndims = max(sides[1], 1)
            self._repeated = self.event_ndims - sides[1]
            return
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(self.event_shape)
        self._repeated = self.event_ndims - sides[1]
        if self._repeated < 0:
            raise ShapeError(
                f"{name}: expected events of at least {sides[1]} axes, got shape {event_shape}"
            )
        event = jax.ShapeDtypeStruct(self.event_shape, jnp.result_type(float))
        try:
            self.base_shape = jax.eval_shape(inner.inverse, event).shape
        except (TypeError, ValueError) as error:
            raise ShapeError(
                f"{name}: events of shape {event_shape} do not fit: {error}"
            ) from error

    def _bijector(self) -> "distrax.Bijector":
        params = self.params.tree() if isinstance(self.params, _Arrays) else self.params
        return params if self.make is None else self.make(params)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        inner = self._bijector()
        x, log_det = inner.forward_and_log_det(z)
        return x, self._sum(log_det, x.shape[: x.ndim - inner.event_ndims_out])

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        inner = self._bijector()
        z, log_det = inner.inverse_and_log_det(x)
        return z, self._sum(log_det, x.shape[: x.ndim - inner.event_ndims_out])

    def _sum(self, log_det: Array, inner_batch: Shape) -> Array:
        """The log-determinants of the inner events that make up one of ours, added."""
        # A scalar map may give one number for all; one that broadcasts further is refused outside.
        log_det = jnp.broadcast_to(log_det, jnp.broadcast_shapes(log_det.shape, inner_batch))
        return jnp.sum(log_det, tuple(range(log_det.ndim - self._repeated, log_det.ndim)))
