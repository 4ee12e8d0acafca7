"""Parts that several networks share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import unknown

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


def check_hyperparameters(activation_name: str, rate: float, *widths: int) -> None:
    """Refuses what would fail only when the network is run, or not at all.

    Raises:
        ValueError: for an unknown activation, a dropout rate outside ``[0, 1)`` or an empty layer.
    """
    activation(activation_name)
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: expected a rate in [0, 1), got {rate}")
    if any(width < 1 for width in widths):
        raise ValueError(f"expected layers of at least one unit, got widths {widths}")


def dropout(x: Array, rate: float, key: Array | None) -> Array:
    """Inverted dropout (Srivastava et al. 2014); nothing happens without a key or at rate 0."""
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), 0.0).astype(x.dtype)


def zero_linear(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer that starts at zero: the last one of every conditioner."""
    zeros = nnx.initializers.zeros
    return nnx.Linear(in_features, out_features, kernel_init=zeros, rngs=rngs)


def conv(
    in_features: int, out_features: int, size: int, *, zero: bool = False, rngs: nnx.Rngs
) -> nnx.Conv:
    """A ``size x size`` convolution that keeps height and width; ``zero`` starts it at zero."""
    init = nnx.initializers.zeros if zero else nnx.initializers.he_normal()
    return nnx.Conv(
        in_features,
        out_features,
        (size, size),
        kernel_init=init,
        conv_general_dilated=_convolve,
        rngs=rngs,
    )


def _convolve(x: Array, kernel: Array, strides: Any, padding: Any, **options: Any) -> Array:
    """A stride-1 convolution by the faster of two ways on this backend.

    On a CPU, XLA's convolution inside ``lax.scan`` is several times slower than gathering the
    window's shifts and multiplying by one matrix.
    """
    if jax.default_backend() != "cpu":
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)
    height, width, _, features = kernel.shape
    if (height, width) == (1, 1):
        return x @ kernel[0, 0]
    top, left = (height - 1) // 2, (width - 1) // 2
    padded = jnp.pad(x, ((0, 0), (top, height - 1 - top), (left, width - 1 - left), (0, 0)))
    shifts = [
        padded[:, i : i + x.shape[1], j : j + x.shape[2]]
        for i in range(height)
        for j in range(width)
    ]
    return jnp.concatenate(shifts, axis=-1) @ kernel.reshape(-1, features)
