"""The layers of a PixelCNN, on windows of all pixels or of a few.

See :mod:`jaxgen.conditionals.pixelcnn` for their equations.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Module
from jaxgen.functional.windows import Grid, causal, flat
from jaxgen.networks.blocks import dropout


class MaskedWindow(Module):
    """A linear map of a causal window and then the pixel in its middle, with features in groups.

    The middle is left out where nothing of it may be seen: of one group under mask A.

    Args:
        in_width, out_width: features of each group.
        groups: how many groups, the channels of a pixel.
        size: the side of the square that the window is the causal part of; 1 for a map of each
            pixel alone.
        strict: mask A, where a group sees only the groups before it in the middle; else mask B.
        zero: starts at zero.
        rngs: where the initial weights come from.
    """

    def __init__(
        self,
        in_width: int,
        out_width: int,
        *,
        groups: int,
        size: int = 1,
        strict: bool = False,
        zero: bool = False,
        rngs: nnx.Rngs,
    ):
        self.widths = (in_width, out_width)
        self.groups = groups
        self.strict = strict
        self.window = causal(size, middle=groups > 1 or not strict)
        self.dtype: Any = None  # of the products; see jaxgen.compute_in
        ins, outs = groups * in_width, groups * out_width
        init = nnx.initializers.zeros if zero else nnx.initializers.he_normal()
        kernel = init(rngs.params(), (len(causal(size, middle=True)) * ins, outs))
        self.kernel = nnx.Param(kernel[: len(self.window) * ins])
        self.bias = nnx.Param(jnp.zeros(outs))

    def _groups(self) -> np.ndarray:
        """Which group (row) sees which in the middle."""
        return np.tri(self.groups, k=-1 if self.strict else 0, dtype=bool)

    def _mask(self) -> np.ndarray:
        around = np.ones(((len(self.window) - 1) * self.groups, self.groups), bool)
        return np.kron(np.concatenate([around, self._groups().T]), np.ones(self.widths, bool))

    def dependencies(self, grid: Grid) -> np.ndarray:
        """Which entries (rows), the groups of all pixels, see which, ``(D * groups, ...)``."""
        itself = np.eye(math.prod(grid), dtype=bool)
        around = self.window.union(itself, grid) & ~itself
        every = np.ones((self.groups, self.groups), bool)
        return np.kron(around, every) | np.kron(itself, self._groups())

    def __call__(self, window: Array, group: Array | None = None) -> Array:
        """All groups' features, or those of one group.

        Args:
            window: ``(..., len(self.window), groups * in_width)``.
            group: the number of a group; None for all.
        """

        def of_group(weights: Array) -> Array:
            weights = weights if self.dtype is None else weights.astype(self.dtype)
            if group is None or self.groups == 1:
                return weights
            width = self.widths[1]
            return jax.lax.dynamic_slice_in_dim(weights, group * width, width, axis=-1)

        kernel = self.kernel[...]
        if self.groups > 1:
            kernel = kernel * self._mask()
        seen = flat(window if self.dtype is None else window.astype(self.dtype))
        return seen @ of_group(kernel) + of_group(self.bias[...])


class PixelBlock(Module):
    """PixelCNN's residual block, in two parts: before and after what its window sees is stored.

    Args:
        width: features of each group; the window sees half of them.
        groups, size: see :class:`MaskedWindow`.
        context_features: the size of a context vector; None for none.
        dropout: rate, in effect when a key is given.
        rngs: where the initial weights come from.
    """

    def __init__(
        self,
        width: int,
        *,
        groups: int,
        size: int,
        context_features: int | None,
        dropout: float,
        rngs: nnx.Rngs,
    ):
        half = max(width // 2, 1)
        self.down = MaskedWindow(width, half, groups=groups, rngs=rngs)
        self.conv = MaskedWindow(half, half, groups=groups, size=size, rngs=rngs)
        self.up = MaskedWindow(half, width, groups=groups, rngs=rngs)
        self.dropout = dropout
        # Seen by all groups alike.
        self.project = (
            None if context_features is None else nnx.Linear(context_features, half, rngs=rngs)
        )

    def before(self, h: Array, group: Array | None = None) -> Array:
        """What the window sees of features ``(..., groups * width)``."""
        return jax.nn.relu(self.down(jax.nn.relu(h)[..., None, :], group))

    def after(
        self, window: Array, context: Context, group: Array | None = None, key: Key = None
    ) -> Array:
        """What the last map reads, from the window and its middle."""
        mixed = self.conv(window, group)
        if self.project is not None and context is not None:
            shift = self.project(context)
            groups = mixed.shape[-1] // shift.shape[-1]
            mixed = mixed + jnp.tile(shift, groups)
        return dropout(jax.nn.relu(mixed), self.dropout, key)

    def change(self, mixed: Array, group: Array | None = None) -> Array:
        """What is added to the features."""
        return self.up(mixed[..., None, :], group)
