"""Parts that several networks share."""

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import (
    Buffer,
    Key,
    M,
    Module,
    Shape,
    ShapeError,
    adapt_once,
    float_dtype,
    map_modules,
    replace,
    unknown,
)
from jaxgen.functional.convolution import convolve

Activation = Callable[[Array], Array]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "elu": jax.nn.elu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
}


def activation(name: str) -> Activation:
    """The activation function of this name.

    Raises:
        ValueError: naming the known ones.
    """
    if name not in _ACTIVATIONS:
        raise unknown("activation", name, _ACTIVATIONS)
    return _ACTIVATIONS[name]


def check_activation(name: str) -> None:
    """Refuses an unknown activation, which would fail only when the network is run.

    Raises:
        ValueError: naming the known ones.
    """
    activation(name)


def concat_elu(x: Array) -> Array:
    """``elu`` of an array and of its negative, side by side: twice as many channels.

    >>> concat_elu(jnp.array([2.0, 0.0])).shape
    (4,)
    """
    return jax.nn.elu(jnp.concatenate([x, -x], axis=-1))


def dropout(x: Array, rate: float, key: Key) -> Array:
    """Inverted dropout (Srivastava et al. 2014); nothing happens without a key or at rate 0."""
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), 0.0).astype(x.dtype)


def zero_linear(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer that starts at zero: the last one of every conditioner."""
    zeros = nnx.initializers.zeros
    return nnx.Linear(in_features, out_features, kernel_init=zeros, rngs=rngs)


class WeightNorm(Module):
    r"""A linear layer or a convolution with the kernel ``g v / ||v||`` (Salimans and Kingma, 2016).

    The length ``g`` of every output feature's kernel is a parameter beside its direction ``v``. At
    first ``g = ||v||``, so that the layer starts as ``layer`` does; a layer that is to start at
    zero has ``g = 0`` and a random ``v``. The paper sets ``g`` and the bias from a batch of data:
    that is :meth:`fitted`.

    Args:
        layer: the layer whose kernel is normalised; its last axis is the output features.
        zero: starts it at zero.

    >>> layer = WeightNorm(nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0)))
    >>> layer(jnp.ones((1, 4, 4, 2))).shape, layer.length.shape
    ((1, 4, 4, 3), (3,))
    """

    def __init__(self, layer: nnx.Conv | nnx.Linear, *, zero: bool = False):
        length = _norm(layer.kernel[...])
        self.layer = layer
        self.length = nnx.Param(jnp.zeros_like(length) if zero else length)
        self.adapted = Buffer(jnp.zeros(()))

    def __call__(self, x: Array) -> Array:
        """``(..., in_features)`` to ``(..., out_features)``."""
        return self.folded()(x)

    def folded(self) -> nnx.Conv | nnx.Linear:
        """The plain layer with the same output, for loops that are not to normalise every time."""
        direction = self.layer.kernel[...]
        kernel = direction * (self.length[...] / _norm(direction))
        return replace(self.layer, kernel=nnx.Param(kernel))

    def fitted(self, x: Array, scale: float = 1.0) -> Self:
        """The layer with length and bias fitted to data, as in the paper's section 3.

        Its outputs on these data have mean 0 and standard deviation ``scale``, each feature over
        all other axes. A layer that has been fitted before returns itself.

        Raises:
            ValueError: if the layer has no bias.

        >>> x = jax.random.normal(jax.random.key(0), (100, 2)) + 3.0
        >>> layer = WeightNorm(nnx.Linear(2, 1, rngs=nnx.Rngs(0))).fitted(x, 0.1)
        >>> round(float(jnp.std(layer(x))), 4), abs(round(float(jnp.mean(layer(x))), 4))
        (0.1, 0.0)
        """
        if self.layer.bias is None:
            raise ValueError("WeightNorm.fitted: expected a layer with a bias, got one without")
        outputs = self(x)
        outputs = outputs.astype(float_dtype(outputs.dtype))
        axes = tuple(range(outputs.ndim - 1))
        mean, variance = jnp.mean(outputs, axes), jnp.var(outputs, axes)
        # A feature that does not vary in these data, but for rounding, keeps its length.
        varies = variance > 1e-10 * (1.0 + mean**2)
        factor = jnp.where(varies, scale / jnp.sqrt(jnp.where(varies, variance, 1.0)), 1.0)
        old_bias, old_length = self.layer.bias[...], self.length[...]
        bias = jnp.where(self.adapted[...] > 0, old_bias, (old_bias - mean) * factor)
        layer = replace(self.layer, bias=type(self.layer.bias)(bias.astype(old_bias.dtype)))
        return replace(adapt_once(self, length=old_length * factor), layer=layer)


def fold_weight_norm(module: M) -> M:
    """A copy of ``module`` with plain layers in place of those with normalised weights.

    It computes the same numbers, and normalises nothing when it is called.
    """

    def change(part: nnx.Module) -> None:
        for name, value in list(vars(part).items()):
            if isinstance(value, WeightNorm):
                setattr(part, name, value.folded())

    return map_modules(module, change)


def _norm(kernel: Array) -> Array:
    squares = jnp.sum(kernel**2, tuple(range(kernel.ndim - 1)))
    # The floor keeps a kernel of zeros, and its gradient, finite.
    return jnp.sqrt(jnp.maximum(squares, jnp.finfo(kernel.dtype).tiny))


def conv(
    in_features: int,
    out_features: int,
    size: int,
    *,
    zero: bool = False,
    weight_norm: bool = False,
    rngs: nnx.Rngs,
) -> nnx.Conv | WeightNorm:
    """A ``size x size`` convolution that keeps height and width; ``zero`` starts it at zero."""
    zero_kernel = zero and not weight_norm
    init = nnx.initializers.zeros if zero_kernel else nnx.initializers.he_normal()
    layer = nnx.Conv(
        in_features,
        out_features,
        (size, size),
        kernel_init=init,
        conv_general_dilated=_convolve,
        rngs=rngs,
    )
    return WeightNorm(layer, zero=zero) if weight_norm else layer


def shape_of_context(
    features: int | None, grid: tuple[int, int] | None = None, *, within: Shape | None = None
) -> Shape | None:
    """The shape of a vector context ``(features,)``, of an image, or of none at all.

    Args:
        features: of the context, or of every pixel of it.
        grid: the pixels of an image.
        within: those that they have to be, if any have.

    Raises:
        ValueError: for a grid of no features.
        ShapeError: for another grid.

    >>> shape_of_context(3), shape_of_context(3, (8, 8)), shape_of_context(None)
    ((3,), (8, 8, 3), None)
    """
    if features is None:
        if grid is not None:
            raise ValueError(
                f"context_grid {tuple(grid)} without features: pass context_features, too"
            )
        return None
    if grid is not None and within is not None and tuple(grid) != within:
        raise ShapeError(f"expected context_grid={within}, that of the data, got {tuple(grid)}")
    return (features,) if grid is None else (*grid, features)


def spread_context(context: Array, shape: Shape) -> Array:
    """A context of this shape as one that broadcasts over the pixels of an image."""
    return context if len(shape) > 1 else context[..., None, None, :]


def _convolve(x: Array, kernel: Array, strides: Any, padding: Any, **options: Any) -> Array:
    """A stride-1 convolution, on a CPU by matrix products, elsewhere by XLA's own."""
    if jax.default_backend() != "cpu":
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)
    return convolve(x, kernel)
