"""Bijectors that move entries around (volume preserving), and the multi-scale split."""

import math
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Adapt, Bijector, context_within, run_forward, run_inverse
from jaxgen.core import (
    Buffer,
    Context,
    Key,
    Shape,
    ShapeError,
    check_array,
    checked_arguments,
    common_context,
    described,
    is_concrete,
    replace,
    split_key,
    within,
)
from jaxgen.functional import rearrange
from jaxgen.functional.coupling import Direction, couple
from jaxgen.transforms import Affine, Transform


class Squeeze(Bijector):
    """From the base's ``(H/f, W/f, f*f*C)`` to the data's ``(H, W, C)`` (RealNVP, section 3.6).

    Seen from the data, blocks of pixels become channels.

    Args:
        event_shape: ``(H, W, C)`` on the data's side.
        factor: the block's side ``f``; it must divide ``H`` and ``W``.

    >>> Squeeze((4, 4, 1)).inverse(jnp.zeros((4, 4, 1))).shape
    (2, 2, 4)
    """

    event_ndims = 3
    event_shape: Shape
    base_shape: Shape

    @checked_arguments
    def __init__(self, event_shape: Shape, factor: int = 2):
        if len(event_shape) != 3 or event_shape[0] % factor or event_shape[1] % factor:
            raise ShapeError(
                f"Squeeze: expected (height, width, channels) with sides divisible by {factor}, "
                f"got {tuple(event_shape)}; pad or crop the images"
            )
        height, width, channels = event_shape
        self.factor = factor
        self.event_shape = (height, width, channels)
        self.base_shape = (height // factor, width // factor, factor * factor * channels)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return rearrange.unsqueeze(z, self.factor), jnp.zeros(())

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return rearrange.squeeze(x, self.factor), jnp.zeros(())


class Flip(Bijector):
    """Reverses the order of the event's entries; the usual alternation between MAF layers.

    An image is turned by half a turn and its channels are reversed, so raster order runs backwards.

    >>> Flip().forward(jnp.array([1.0, 2.0, 3.0])).tolist()
    [3.0, 2.0, 1.0]
    """

    @checked_arguments
    def __init__(self, event_ndims: int = 1):
        self.event_ndims = event_ndims

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return jnp.flip(z, tuple(range(-self.event_ndims, 0))), jnp.zeros(())

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return self.forward_and_log_det(x)


class Permutation(Bijector):
    """A fixed permutation of the last axis: ``x[..., i] = z[..., permutation[i]]``.

    Args:
        event_shape: the event's shape.
        permutation: integer array ``(event_shape[-1],)``; drawn at random if None.
        rngs: where a random permutation comes from.

    Raises:
        ValueError: if the given array is not a permutation.

    >>> Permutation((3,), jnp.array([2, 0, 1])).forward(jnp.array([1.0, 2.0, 3.0])).tolist()
    [3.0, 1.0, 2.0]
    """

    @checked_arguments
    def __init__(
        self, event_shape: Shape, permutation: Array | None = None, *, rngs: nnx.Rngs | None = None
    ):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        size = event_shape[-1]
        if permutation is None:
            if rngs is None:
                raise ValueError(
                    "Permutation: expected a permutation or rngs to draw one, got none"
                )
            permutation = jax.random.permutation(rngs.params(), size)
        given = check_array(permutation, "Permutation", "permutation")
        if given.shape != (size,) or (
            is_concrete(given) and sorted(np.asarray(given).tolist()) != list(range(size))
        ):
            raise ValueError(
                f"Permutation: expected a permutation of 0..{size - 1}, got {described(given)}"
            )
        self.permutation = Buffer(jnp.asarray(given, jnp.result_type(float)))

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return jnp.take(z, self._indices(), axis=-1), jnp.zeros(())

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return jnp.take(x, jnp.argsort(self._indices()), axis=-1), jnp.zeros(())

    def _indices(self) -> Array:
        return self.permutation[...].astype(jnp.int32)


class Reshape(Bijector):
    """A bijector of events of another shape: vectors for images, as a rule.

    Events are reshaped (in raster order), pass through ``inner``, and are shaped back, so that the
    whole keeps their shape and goes into chains with others of it.

    Args:
        inner: a bijector that knows its event's shape.
        event_shape: the shape of what it shall be used on, of the same size.

    Raises:
        ShapeError: if the sizes differ, or ``inner`` fits any shape.

    >>> Reshape(Permutation((4,), jnp.array([3, 1, 2, 0])), (2, 2)).forward(jnp.eye(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    event_shape: Shape

    @checked_arguments
    def __init__(self, inner: Bijector, event_shape: Shape):
        shape = inner.side_shape("data")
        if shape is None or math.prod(shape) != math.prod(event_shape):
            raise ShapeError(
                f"Reshape: expected a bijector of events of {math.prod(event_shape)} entries, "
                f"{tuple(event_shape)}, got a {type(inner).__name__} of events of shape {shape}"
            )
        self.inner = inner
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.context_shape = inner.context_shape

    def forward_and_log_det(
        self, z: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        z = self._inward(z, "base")
        x, log_det = run_forward(self.inner, z, context, key, self.inner.side_ndims("base"))
        return self._outward(x, "data"), log_det

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        x = self._inward(x, "data")
        z, log_det = run_inverse(self.inner, x, context, key, self.inner.side_ndims("data"))
        return self._outward(z, "base"), log_det

    def check_data(self, x: Array | np.ndarray) -> None:
        self.inner.check_data(self._inward(x, "data"))

    def _inward(self, value: Any, side: str) -> Any:
        return value.reshape(*value.shape[: value.ndim - self.event_ndims], *self._shape(side))

    def _outward(self, value: Array, side: str) -> Array:
        batch = value.shape[: value.ndim - len(self._shape(side))]
        return value.reshape(*batch, *self.event_shape)

    def _shape(self, side: str) -> Shape:
        shape = self.inner.side_shape(side)
        assert shape is not None
        return shape

    def _adapt(self, adapt: Adapt, x: Array, context: Context) -> tuple[Self, Array]:
        with within("Reshape"):
            inner, z = adapt(self.inner, self._inward(x, "data"), context)
        return replace(self, inner=inner), self._outward(z, "base")


class Split(Bijector):
    r"""The multi-scale split: half of the channels go on, half are given a conditional prior.

    Seen from the data, ``x = (a, b)`` becomes ``(inner(a), T^{-1}(b; network(a)))``. With the
    affine transform this is Glow's conditional prior: ``b ~ N(mu(a), sigma(a)^2)`` is
    ``(b - mu) / sigma`` under a standard normal. The shape is preserved, so the latent of a
    multi-scale flow stays one array; without a network it is RealNVP's plain factoring out.

    Args:
        inner: a bijector of the first half of the channels, shape ``(..., C // 2)``.
        event_shape: the whole event's shape, ``(..., C)``.
        network: ``(a, context, key) -> params`` of ``transform`` for ``b``; None leaves b alone.
        transform: the family of the conditional prior.

    >>> split = Split(Flip(), event_shape=(4,))
    >>> split.inverse(jnp.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [2.0, 1.0, 3.0, 4.0]
    """

    @checked_arguments
    def __init__(
        self,
        inner: Bijector,
        event_shape: Shape,
        network: Callable[..., Array] | None = None,
        transform: Transform | None = None,
    ):
        half = (*event_shape[:-1], event_shape[-1] // 2)
        for side in ("base", "data"):
            shape = inner.side_shape(side)
            if shape not in (None, half):
                raise ShapeError(
                    f"Split: its inner bijector must keep the shape {half} of the first half of "
                    f"the channels, got {shape} on the {side} side"
                )
        if inner.side_ndims("data") > len(half):
            raise ShapeError(
                f"Split: its inner bijector takes events of {inner.side_ndims('data')} axes, and "
                f"half of the channels have the shape {half}; give it event_ndims={len(half)}"
            )
        self.inner = inner
        self.network = network
        self.transform = transform if transform is not None else Affine()
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.context_shape = common_context(
            "Split", inner.context_shape, getattr(network, "context_shape", None)
        )

    def forward_and_log_det(
        self, z: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        inner_key, key = split_key(key, 2)
        kept, rest = rearrange.split_channels(z)
        with within("Split"):
            kept, log_det = run_forward(self.inner, kept, context, inner_key, self.event_ndims)
        x, rest_log_det = self._prior(
            rearrange.merge_channels(kept, rest), context, key, self.transform.forward
        )
        return x, log_det + rest_log_det

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        inner_key, key = split_key(key, 2)
        z, rest_log_det = self._prior(x, context, key, self.transform.inverse)
        kept, rest = rearrange.split_channels(z)
        with within("Split"):
            kept, log_det = run_inverse(self.inner, kept, context, inner_key, self.event_ndims)
        return rearrange.merge_channels(kept, rest), log_det + rest_log_det

    def check_data(self, x: Array | np.ndarray) -> None:
        self.inner.check_data(x[..., : x.shape[-1] // 2])

    def _prior(
        self, value: Array, context: Context, key: Key, direction: Direction
    ) -> tuple[Array, Array]:
        network = self.network
        if network is None:
            return value, jnp.zeros(())
        return couple(
            value,
            split=rearrange.split_channels,
            merge=rearrange.merge_channels,
            conditioner=lambda kept: network(kept, context, key=key),
            transform=direction,
            event_ndims=self.event_ndims,
        )

    def _adapt(self, adapt: Adapt, x: Array, context: Context) -> tuple[Self, Array]:
        kept, _ = rearrange.split_channels(x)
        inner_context = context_within(self.inner, kept, context, self.event_ndims)
        with within("Split"):
            inner, _ = adapt(self.inner, kept, inner_context)
        new = replace(self, inner=inner)
        return new, new.inverse(x, context)
