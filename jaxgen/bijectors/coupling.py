"""Coupling layers (NICE, Dinh et al. 2014; RealNVP, Dinh et al. 2017)."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.bijectors.rearrange import Permutation
from jaxgen.core import Context, Key, Module, Shape, ShapeError, checked_arguments, unknown
from jaxgen.functional import rearrange
from jaxgen.functional.coupling import Direction, couple
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


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Keeps every other token of a grid ``(height, width, channels)``; ``swap`` keeps the others.

    Both parts are sequences of the tokens they hold, in raster order, ``(*batch, N/2, channels)``:
    a transformer over one half of the tokens computes the parameters of the other half.

    Args:
        grid_shape: ``(height, width)``.
        pattern: ``"checkerboard"``, ``"rows"`` or ``"columns"``: what alternates.
        swap: keeps the part that does not hold the first token.

    Raises:
        ValueError: for an unknown pattern.
        ShapeError: if the parts are not halves.
    """

    grid_shape: Shape
    pattern: str = "checkerboard"
    swap: bool = False

    def __post_init__(self) -> None:
        if self.pattern not in rearrange.PATTERNS:
            raise unknown("pattern of tokens", self.pattern, rearrange.PATTERNS)
        if len(self.grid_shape) != 2 or len({len(part) for part in self._parts()}) > 1:
            raise ShapeError(
                f"Tokens: expected a grid (height, width) of which the {self.pattern} pattern "
                f"keeps one half, got {self.grid_shape}; take an even number of tokens, rows or "
                f"columns"
            )

    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.grid_shape
        first, second = rearrange.alternate_tokens(height, width, self.pattern)
        return (second, first) if self.swap else (first, second)

    def split(self, x: Array) -> tuple[Array, Array]:
        """(kept, changing)."""
        height, width = self.grid_shape
        tokens = x.reshape(*x.shape[:-3], height * width, x.shape[-1])
        kept, changing = self._parts()
        return tokens[..., kept, :], tokens[..., changing, :]

    def merge(self, kept: Array, changing: Array) -> Array:
        """The inverse of :meth:`split`."""
        tokens = jnp.concatenate([kept, changing], axis=-2)
        tokens = tokens[..., np.argsort(np.concatenate(self._parts())), :]
        return tokens.reshape(*tokens.shape[:-2], *self.grid_shape, tokens.shape[-1])

    def widths(self, event_shape: Shape) -> tuple[int, int]:
        """The sizes of the last axis of (kept, changing)."""
        return event_shape[-1], event_shape[-1]


@dataclasses.dataclass(frozen=True)
class Alternating:
    """Keeps the entries at even places of the last axis and changes the others (NICE).

    ``swap`` exchanges them.
    """

    swap: bool = False

    def split(self, x: Array) -> tuple[Array, Array]:
        """(kept, changing)."""
        even, odd = rearrange.split_alternating(x)
        return (odd, even) if self.swap else (even, odd)

    def merge(self, kept: Array, changing: Array) -> Array:
        """The inverse of :meth:`split`."""
        even, odd = (changing, kept) if self.swap else (kept, changing)
        return rearrange.merge_alternating(even, odd)

    def widths(self, event_shape: Shape) -> tuple[int, int]:
        """The sizes of the last axis of (kept, changing)."""
        odd, even = event_shape[-1] // 2, event_shape[-1] - event_shape[-1] // 2
        return (odd, even) if self.swap else (even, odd)


class Random(Module):
    """Keeps a random half of the last axis and changes the other; ``swap`` exchanges them.

    Two couplings that swap roles take the same ``permutation``.

    Args:
        size: of the last axis.
        swap: exchanges the parts.
        permutation: integer array ``(size,)`` whose first half is kept; drawn at random if None.
        rngs: where a random permutation comes from.

    >>> Random(4, permutation=jnp.array([3, 1, 0, 2])).split(jnp.arange(4.0))[0].tolist()
    [3.0, 1.0]
    """

    @checked_arguments
    def __init__(
        self,
        size: int,
        swap: bool = False,
        permutation: Array | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ):
        # A permutation of the entries, and then the two halves.
        self.permutation = Permutation((size,), permutation, rngs=rngs)
        self.halves = Channels(swap)

    def split(self, x: Array) -> tuple[Array, Array]:
        """(kept, changing)."""
        return self.halves.split(self.permutation.forward(x))

    def merge(self, kept: Array, changing: Array) -> Array:
        """The inverse of :meth:`split`."""
        return self.permutation.inverse(self.halves.merge(kept, changing))

    def widths(self, event_shape: Shape) -> tuple[int, int]:
        """The sizes of the last axis of (kept, changing)."""
        return self.halves.widths(event_shape)


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
        split: which part is kept: :class:`Channels`, :class:`Checkerboard`, :class:`Tokens`,
            :class:`Alternating` or :class:`Random`.

    >>> from flax import nnx
    >>> from jaxgen.networks import MLP
    >>> make = lambda n, m: MLP(n, m, hidden=(8,), rngs=nnx.Rngs(0))
    >>> Coupling((4,), make).forward(jnp.arange(4.0)).tolist()  # the identity at first
    [0.0, 1.0, 2.0, 3.0]
    """

    @checked_arguments
    def __init__(
        self,
        event_shape: Shape,
        make_network: Callable[[int, int], Callable[..., Array]],
        transform: Transform | None = None,
        split: Channels | Checkerboard | Tokens | Alternating | Random | None = None,
    ):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.transform = transform if transform is not None else Affine()
        self.split = split if split is not None else Channels()
        kept, changing = self.split.widths(self.event_shape)
        if min(kept, changing) < 1:
            raise ShapeError(
                f"Coupling: expected at least 2 channels to split, got event shape {event_shape}"
            )
        self.network = make_network(kept, self.transform.num_params((changing,)))
        self.context_shape = getattr(self.network, "context_shape", None)

    def forward_and_log_det(
        self, z: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return self._couple(z, context, key, self.transform.forward)

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return self._couple(x, context, key, self.transform.inverse)

    def _couple(
        self, value: Array, context: Context, key: Key, direction: Direction
    ) -> tuple[Array, Array]:
        return couple(
            value,
            split=self.split.split,
            merge=self.split.merge,
            conditioner=lambda kept: self.network(kept, context, key=key),
            transform=direction,
            event_ndims=self.event_ndims,
        )
