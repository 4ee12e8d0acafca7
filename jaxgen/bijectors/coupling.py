"""Coupling layers (NICE, Dinh et al. 2014; RealNVP, Dinh et al. 2017)."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import Shape, ShapeError
from jaxgen.functional import coupling, rearrange
from jaxgen.transforms import Affine, Transform


@dataclasses.dataclass(frozen=True)
class Channels:
    """Keeps the first half of the last axis and changes the second; ``swap`` exchanges them."""

    swap: bool = False

    def split(self, x: Array) -> tuple[Array, Array]:
        """(kept, changing)."""
        first, second = rearrange.split_channels(x)
        return (second, first) if self.swap else (first, second)

    def merge(self, kept: Array, changing: Array) -> Array:
        """The inverse of :meth:`split`."""
        first, second = (changing, kept) if self.swap else (kept, changing)
        return rearrange.merge_channels(first, second)

    def widths(self, event_shape: Shape) -> tuple[int, int]:
        """The sizes of the last axis of (kept, changing)."""
        half, rest = event_shape[-1] // 2, event_shape[-1] - event_shape[-1] // 2
        return (rest, half) if self.swap else (half, rest)


@dataclasses.dataclass(frozen=True)
class Checkerboard:
    """Keeps every other pixel of an image (or entry of a vector); ``swap`` keeps the others.

    Both parts have the whole event's shape: the kept part is zero where it is not kept, and the
    transform's result is dropped where it is.
    """

    event_shape: Shape
    swap: bool = False

    def _kept(self) -> Array:
        if len(self.event_shape) == 1:
            mask = rearrange.checkerboard(self.event_shape[0], 1)[:, 0, 0]
        else:
            mask = rearrange.checkerboard(*self.event_shape[:2])
        return jnp.asarray(mask != self.swap)

    def split(self, x: Array) -> tuple[Array, Array]:
        """(kept, changing)."""
        return jnp.where(self._kept(), x, 0), x

    def merge(self, kept: Array, changing: Array) -> Array:
        """The inverse of :meth:`split`."""
        return jnp.where(self._kept(), kept, changing)

    def widths(self, event_shape: Shape) -> tuple[int, int]:
        """The sizes of the last axis of (kept, changing)."""
        return event_shape[-1], event_shape[-1]


class Coupling(Bijector):
    r"""Transforms one part of the event with parameters computed from the other.

    ``x_b = T(z_b; network(z_a))``, ``x_a = z_a``. The Jacobian is triangular, so
    :math:`\log|\det \partial x/\partial z| = \sum_i \log|T'(z_{b,i})|`, for any network;
    inverse and forward cost the same.

    Args:
        event_shape: the event's shape, ``(D,)`` or ``(H, W, C)``.
        make_network: ``(in_features, out_features) -> network``, where the network maps the kept
            part ``(*batch, ..., in_features)`` and a context to ``(*batch, ..., out_features)``:
            ``network(kept, context, key=key)``. It should end in a zero layer, so that the layer
            starts as the identity.
        transform: the elementwise family; affine by default.
        split: which part is kept: :class:`Channels` or :class:`Checkerboard`.

    >>> from flax import nnx
    >>> from jaxgen.networks import MLP
    >>> make = lambda n, m: MLP(n, m, hidden=(8,), rngs=nnx.Rngs(0))
    >>> Coupling((4,), make).forward(jnp.arange(4.0)).tolist()  # the identity at first
    [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(
        self,
        event_shape: Shape,
        make_network: Callable[[int, int], Callable[..., Array]],
        transform: Transform | None = None,
        split: Channels | Checkerboard | None = None,
    ):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.transform = transform if transform is not None else Affine()
        self.split = split if split is not None else Channels()
        kept, changing = self.split.widths(self.event_shape)
        if kept < 1:
            raise ShapeError(
                f"Coupling: expected at least 2 channels to split, got event shape {event_shape}"
            )
        self.network = make_network(kept, self.transform.num_params((changing,)))
        self.context_shape = getattr(self.network, "context_shape", None)

    def forward_and_log_det(
        self, z: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self._couple(z, context, key, self.transform.forward)

    def inverse_and_log_det(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self._couple(x, context, key, self.transform.inverse)

    def _couple(self, value, context, key, direction):
        return coupling.couple(
            value,
            split=self.split.split,
            merge=self.split.merge,
            conditioner=lambda kept: self.network(kept, context, key=key),
            transform=direction,
            event_ndims=self.event_ndims,
        )
