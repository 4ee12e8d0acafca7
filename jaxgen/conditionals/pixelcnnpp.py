r"""PixelCNN++: a U-net of two streams of gated ResNet layers (Salimans et al. 2017).

The *down* stream ``u`` sees the rows above a pixel, by windows of 2 x 3; the *down-right* stream
``r`` sees what is above and left of it, by windows of 2 x 2, and the down stream. A layer of either
is, with :math:`\phi(h) = \mathrm{elu}([h, -h])`, its window ``*`` and what it is shown from the
side ``a``,

.. math:: c = W_1 * \phi(h) + A\, \phi(a), \qquad (f, g) = W_2 * \mathrm{dropout}(\phi(c)) + C k,
          \qquad h' = h + f \odot \sigma(g),

where ``k`` is a context vector. On the way down ``a`` is the new ``u`` in the down-right stream; on
the way up it is the features of the mirrored layer, and in the down-right stream the new ``u``,
too. Between resolutions stand the same windows with stride 2, and their transposes. Pixels are read
with an additional channel of ones, by which what lies beyond the edge, zero, is told from a pixel.

Every map is weight-normalised (:class:`~jaxgen.networks.blocks.WeightNorm`), and
:meth:`PixelCNNPP.initialize` sets its lengths and biases from a batch of data, as in the paper:
outputs of mean 0 and deviation 1, or 0.1 for :math:`W_2`.

**Which coarse pixel a pixel may use.** The coarse down-right features at ``(i, j)`` come from fine
ones up to ``(2i, 2j)``, so from pixels before that one in raster order; the transposed window hands
them to the fine pixels ``(2i, 2j)`` to ``(2i + 1, 2j + 1)``, none of which is earlier. The coarse
down features of row ``i`` come from the pixels in rows before ``2i``, and go to rows ``2i`` and
``2i + 1``, in the columns ``2j - 1`` to ``2j + 1``.

Deviations: the last map starts at zero instead of being normalised, so that the model starts at the
head's default; dropout is off while the network is initialised; before that, and without it, the
maps start as linear layers do. The layers of a resolution are stacked along a leading axis and run
by ``jax.lax.scan``.
"""

import math
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals import unet_steps
from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.unet import DOWN, Stage, Trace, normalised
from jaxgen.conditionals.unet_steps import Map
from jaxgen.core import Shape, ShapeError, batch_shape, check_context, replace
from jaxgen.functional.autoregressive import Cache
from jaxgen.functional.windows import flat, neighbours, position_rows, union, windows
from jaxgen.networks.blocks import check_hyperparameters, zero_linear

# What the first layers see of the pixels: the same windows, shifted off the pixel itself.
FIRST_DOWN = tuple((row - 1, column) for row, column in DOWN)
FIRST_ABOVE = tuple((-1, column) for column in (-1, 0, 1))
FIRST_LEFT = tuple((row, -1) for row in (-1, 0))


class PixelCNNPP(Conditional):
    """A U-net of a down and a down-right stream of gated layers, in raster order.

    Args:
        grid_shape: ``(height, width)``, both divisible by ``2 ** (resolutions - 1)``.
        position_shape: ``(channels,)``, or ``()`` for one channel that the event does not name. The
            head orders or couples the channels of a pixel.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        width: features of each stream.
        blocks: layers of each resolution on the way down; on the way up there is one more, but for
            the coarsest.
        resolutions: how many; each has half the sides of the one before.
        context_features: the size of a context vector, seen by all positions; None for none.
        dropout: rate in every layer, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the grid has not two axes, or its sides cannot be halved so often.
        ValueError: for no block or no resolution.

    >>> network = PixelCNNPP((4, 4), (1,), 2, width=4, blocks=1, resolutions=1, rngs=nnx.Rngs(0))
    >>> jax.jit(PixelCNNPP.__call__)(network, jnp.ones((5, 4, 4, 1))).shape
    (5, 4, 4, 2)
    """

    fixed_order = True

    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        width: int = 160,
        blocks: int = 5,
        resolutions: int = 3,
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_hyperparameters("elu", dropout, width)
        if blocks < 1 or resolutions < 1:
            raise ValueError(
                f"PixelCNNPP: expected at least one block and one resolution, got {blocks} and "
                f"{resolutions}"
            )
        if len(grid_shape) != 2:
            raise ShapeError(
                f"PixelCNNPP: expected a grid (height, width), got {tuple(grid_shape)}"
            )
        unit = 2 ** (resolutions - 1)
        if any(side % unit for side in grid_shape):
            raise ShapeError(
                f"PixelCNNPP: {resolutions} resolutions need sides divisible by {unit}, got "
                f"{tuple(grid_shape)}; pad or crop the images, or take fewer resolutions"
            )
        self.grid_shape = tuple(grid_shape)
        self.position_shape = tuple(position_shape)
        self.num_params = num_params
        self.context_shape = None if context_features is None else (context_features,)
        entries = math.prod(self.position_shape) + 1
        self.first_down = normalised(len(FIRST_DOWN) * entries, width, rngs)
        self.first_above = normalised(len(FIRST_ABOVE) * entries, width, rngs)
        self.first_left = normalised(len(FIRST_LEFT) * entries, width, rngs)
        self.stage = Stage(
            width,
            blocks=blocks,
            resolutions=resolutions,
            context_features=context_features,
            dropout=dropout,
            rngs=rngs,
        )
        self.last = zero_linear(width, num_params, rngs=rngs)

    def _run(
        self, x: Array, context: Array | None, key: Array | None, fit: bool = False
    ) -> tuple[Self, Array, Trace]:
        """The network, its maps fitted to the values if so asked, the down-right features in the
        end, and the trace."""
        pixels, new = self._pixels(x), self
        if context is not None:
            context = context[..., None, None, :]
        down, above, left = (
            flat(windows(pixels, offsets)) for offsets in (FIRST_DOWN, FIRST_ABOVE, FIRST_LEFT)
        )
        if fit:
            new = replace(
                self,
                first_down=self.first_down.fitted(down),
                first_above=self.first_above.fitted(above),
                first_left=self.first_left.fitted(left),
            )
        h = new.first_down(down), new.first_above(above) + new.first_left(left)
        stage, (_, right), trace = new.stage(h, context, key, fit)
        return (replace(new, stage=stage) if fit else new), right, trace

    def _pixels(self, x: Array) -> Array:
        """Values as ``(*batch, height, width, entries + 1)``, with ones."""
        batch = x.shape[: x.ndim - len(self.event_shape)]
        pixels = x.reshape(*batch, *self.grid_shape, math.prod(self.position_shape))
        return _with_ones(pixels)

    def _params(self, right: Array) -> Array:
        return self.last(jax.nn.elu(right))

    def __call__(
        self,
        x: Array,
        context: Array | None = None,
        order: Array | None = None,
        *,
        key: Array | None = None,
    ) -> Array:
        return self._params(self._run(x, context, key)[1])

    def initialize(self, x: Array, context: Array | None = None) -> Self:
        """The network with every weight-normalised map fitted to a batch, from the pixels on.

        The outputs of each map have mean 0 and deviation 1 over the batch and the pixels, those of
        a layer's second map deviation 0.1. The last map stays at zero.
        """
        x = jnp.asarray(x)
        batch = batch_shape(x, self.event_shape, "PixelCNNPP.initialize")
        context = check_context(context, self.context_shape, batch, "PixelCNNPP.initialize")
        return self._run(x, context, None, fit=True)[0]

    # The incremental pass keeps the values as (positions, *batch, entries + 1), with a row of zeros
    # for what lies beyond the edge. At the beginning of a row it runs the down stream for the whole
    # row, keeping the row of what every window sees; for each pixel it runs the down-right stream,
    # whose windows see the row above and the row itself. A coarse stage takes part in either only
    # where it has a row, or a pixel, there; its results stay for the steps in between.

    def init_cache(
        self, batch: Shape, context: Array | None = None, order: Array | None = None
    ) -> Cache:
        self.resolve_order(order)
        context = check_context(context, self.context_shape, batch, "PixelCNNPP.init_cache")
        steps = _Steps(
            self.first_down.folded(),
            self.first_above.folded(),
            self.first_left.folded(),
            unet_steps.unroll(self.stage),
            context,
        )
        height, width = self.grid_shape
        dtype = self.last.dtype or self.last.kernel[...].dtype
        entries = math.prod(self.position_shape) + 1
        values = jnp.zeros((height * width + 1, *batch, entries), dtype)
        rows, pixels = (
            unet_steps.empty(steps.stage, width, batch, self.last.in_features, dtype, right=right)
            for right in (False, True)
        )
        return Cache(steps, (values, rows, pixels))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        steps, (values, rows, pixels) = cache
        height, width = self.grid_shape
        row, column = jnp.divmod(t, width)
        entries = math.prod(self.position_shape)
        previous = x_previous.reshape(*values.shape[1:-1], entries).astype(values.dtype)
        # At t = 0 the driver's zero lands where the first value will.
        values = values.at[jnp.maximum(t - 1, 0)].set(_with_ones(previous))

        def seen(offsets: tuple[tuple[int, int], ...], at: Array, whole_row: bool) -> Array:
            around = jnp.asarray(neighbours(height, width, offsets))
            if whole_row:
                around = around.reshape(height, width, -1)
            return flat(jnp.moveaxis(values[around[at]], int(whole_row), -2))

        def new_row() -> unet_steps.Kept:
            h = steps.first_down(seen(FIRST_DOWN, row, True))
            return unet_steps.run_row(steps.stage, h, rows, row, steps.context)

        rows = jax.lax.cond(column == 0, new_row, lambda: rows)
        h = steps.first_above(seen(FIRST_ABOVE, t, False))
        h = h + steps.first_left(seen(FIRST_LEFT, t, False))
        pixels = unet_steps.run_pixel(steps.stage, h, rows, pixels, row, column, steps.context)
        params = self._params(pixels.features[-1][column])
        return params, Cache(steps, (values, rows, pixels))

    def prefill(
        self, x: Array, n: int, context: Array | None = None, order: Array | None = None
    ) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        steps, (values, _, _) = self.init_cache(batch, context, order)
        height, width = self.grid_shape
        trace = self._run(x, steps.context, None)[2]
        dtype, row = values.dtype, min(n // width, height - 1)
        # At the beginning of a row its own down features are still to be made.
        num_rows = row + (n > row * width)
        state = (
            position_rows(self._pixels(x), dtype),
            unet_steps.last_rows(trace, num_rows, dtype),
            unet_steps.last_pixels(trace, row, dtype),
        )
        return Cache(steps, state)

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        height, width = self.grid_shape
        own = np.eye(self.num_positions, dtype=bool)
        first = (neighbours(height, width, o) for o in (FIRST_DOWN, FIRST_ABOVE, FIRST_LEFT))
        down, above, left = (union(around, own) for around in first)
        return self.stage.dependencies(down, above | left, (height, width))[1]


def _with_ones(pixels: Array) -> Array:
    return jnp.concatenate([pixels, jnp.ones_like(pixels[..., :1])], axis=-1)


class _Steps(NamedTuple):
    """What does not change from step to step."""

    first_down: Map
    first_above: Map
    first_left: Map
    stage: unet_steps.Unrolled
    context: Array | None
