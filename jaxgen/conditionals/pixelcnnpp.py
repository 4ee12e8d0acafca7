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
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.unet import (
    DOWN,
    RIGHT,
    Everywhere,
    Kept,
    Part,
    See,
    Stage,
    normalised,
    run,
    unroll,
)
from jaxgen.core import (
    Context,
    Key,
    Module,
    Order,
    Shape,
    ShapeError,
    check_grid,
    checked_arguments,
    replace,
    rngs_from,
)
from jaxgen.functional.autoregressive import Cache
from jaxgen.functional.windows import flat, pixels, position_rows, rectangle, with_previous
from jaxgen.networks.blocks import (
    concat_elu,
    dropout,
    shape_of_context,
    zero_linear,
)

# What the first layers see of the pixels: the same windows, shifted off the pixel itself.
FIRST_DOWN = DOWN.moved(-1, 0)
FIRST_ABOVE = rectangle((-1,), (-1, 0, 1))
FIRST_LEFT = rectangle((-1, 0), (-1,))

# How a layer's second map starts where nothing is fitted to data: a tenth of the usual.
_SMALL = nnx.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


class GatedBlock(Module):
    """A gated ResNet layer of one stream.

    Args:
        width: features of a pixel.
        size: how many pixels its windows hold.
        side_width: features of what it is shown from the side; 0 for nothing.
        context_features, dropout, rngs: see :class:`PixelCNNPP`.
    """

    def __init__(
        self,
        width: int,
        *,
        size: int,
        side_width: int,
        context_features: int | None,
        dropout: float,
        rngs: nnx.Rngs,
    ):
        self.first = normalised(size * 2 * width, width, rngs)
        self.across = normalised(2 * side_width, width, rngs) if side_width else None
        self.second = normalised(size * 2 * width, 2 * width, rngs, kernel_init=_SMALL)
        self.dropout = dropout
        self.project = (
            None
            if context_features is None
            else nnx.Linear(context_features, 2 * width, use_bias=False, rngs=rngs)
        )

    def __call__(
        self,
        h: Array,
        side: Array | None,
        see: See,
        kept: tuple[Any, Any],
        context: Context,
        key: Key = None,
    ) -> tuple[Array, tuple[Any, Any]]:
        """The new features, and what its two windows see, to be kept."""
        window, read = see(kept[0], concat_elu(h))
        inner = self.first(flat(window))
        if self.across is not None and side is not None:
            inner = inner + self.across(concat_elu(side))
        window, inner = see(kept[1], dropout(concat_elu(inner), self.dropout, key))
        mixed = self.second(flat(window))
        if self.project is not None and context is not None:
            mixed = mixed + self.project(context)
        return h + jax.nn.glu(mixed), (read, inner)

    def initialize(self, h: Array, side: Array | None, see: See, context: Context) -> Self:
        """The layer with all its maps fitted to these features, one after the other."""
        new = replace(self, first=self.first.fitted(flat(see(None, concat_elu(h))[0])))
        if self.across is not None and side is not None:
            new = replace(new, across=self.across.fitted(concat_elu(side)))
        _, (_, inner) = new(h, side, see, (None, None), context)
        return replace(new, second=self.second.fitted(flat(see(None, inner)[0]), 0.1))


class Layer(Module):
    """A layer of both streams, each a :class:`GatedBlock`.

    Args:
        width: features of each stream.
        mirrored: whether it is on the way up, where it is shown its mirror image's features.
        options: see :class:`GatedBlock`.
    """

    def __init__(self, width: int, *, mirrored: bool, **options: Any):
        side = width if mirrored else 0
        self.down = GatedBlock(width, size=len(DOWN), side_width=side, **options)
        self.right = GatedBlock(width, size=len(RIGHT), side_width=width + side, **options)


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

    @checked_arguments
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
        if blocks < 1:
            raise ValueError(f"PixelCNNPP: expected at least one block, got {blocks}")
        grid_shape = check_grid(grid_shape, ("height", "width"), "PixelCNNPP")
        unit = 2 ** (resolutions - 1)
        if any(side % unit for side in grid_shape):
            raise ShapeError(
                f"PixelCNNPP: {resolutions} resolutions need sides divisible by {unit}, got "
                f"{grid_shape}; pad or crop the images, or take fewer resolutions"
            )
        context_shape = shape_of_context(context_features)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        entries = math.prod(self.position_shape) + 1
        self.first_down = normalised(len(FIRST_DOWN) * entries, width, rngs)
        self.first_above = normalised(len(FIRST_ABOVE) * entries, width, rngs)
        self.first_left = normalised(len(FIRST_LEFT) * entries, width, rngs)

        def layer(key: Array, mirrored: bool) -> Layer:
            return Layer(
                width,
                mirrored=mirrored,
                context_features=context_features,
                dropout=dropout,
                rngs=rngs_from(key),
            )

        self.stage = Stage(layer, width, blocks=blocks, resolutions=resolutions, rngs=rngs)
        self.last = zero_linear(width, num_params, rngs=rngs)

    def _run(
        self, x: Array, context: Context, key: Key, fit: bool = False
    ) -> tuple[Self, Array, tuple[Kept, Kept]]:
        """The network, its maps fitted to the values if so asked, the down-right features in the
        end, and what both streams leave behind."""
        seen, new = _with_ones(pixels(x, self.event_shape)), self
        if context is not None:
            context = context[..., None, None, :]
        seen_down, above, left = (
            flat(window.everywhere(seen)) for window in (FIRST_DOWN, FIRST_ABOVE, FIRST_LEFT)
        )
        if fit:
            new = replace(
                self,
                first_down=self.first_down.fitted(seen_down),
                first_above=self.first_above.fitted(above),
                first_left=self.first_left.fitted(left),
            )
        h = new.first_above(above) + new.first_left(left)
        down, right = new.stage.streams()
        down, _, rows = run(
            down, Everywhere(DOWN, context, fit), new.first_down(seen_down), key=key
        )
        right, h, columns = run(right, Everywhere(RIGHT, context, fit), h, rows, key=key)
        if fit:
            new = replace(new, stage=new.stage.of_streams(down, right))
        return new, h, (rows, columns)

    def _params(self, right: Array) -> Array:
        return self.last(jax.nn.elu(right))

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        return self._params(self._run(x, context, key)[1])

    def initialize(self, x: Array, context: Context = None) -> Self:
        """The network with every weight-normalised map fitted to a batch, from the pixels on.

        The outputs of each map have mean 0 and deviation 1 over the batch and the pixels, those of
        a layer's second map deviation 0.1. The last map stays at zero.
        """
        x, context = self.check_inputs(x, context, "PixelCNNPP.initialize")
        return self._run(x, context, None, fit=True)[0]

    # The incremental pass keeps the values as (positions, *batch, entries + 1), with a row of zeros
    # for what lies beyond the edge. At the beginning of a row it runs the down stream for the whole
    # row, keeping the row of what every window sees; for each pixel it runs the down-right stream,
    # whose windows see the row above and the row itself. A coarse stage takes part in either only
    # where it has a row, or a pixel, there; its results stay for the steps in between.

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        x = jnp.zeros((*batch, *self.event_shape))
        shapes = jax.eval_shape(lambda: self._state(x, 0, context))
        return Cache(
            self._fixed(context),
            jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes),
        )

    def _fixed(self, context: Context) -> tuple[Any, ...]:
        first = self.first_down.folded(), self.first_above.folded(), self.first_left.folded()
        return first, tuple(map(unroll, self.stage.streams())), context

    def _state(self, x: Array, n: int, context: Context) -> tuple[Array, Kept, Kept]:
        """What is kept after some steps, from a pass over all pixels."""
        height, width = self.grid_shape
        down, right = self._run(x, context, None)[2]
        dtype = self.last.dtype or self.last.kernel[...].dtype
        row = min(n // width, height - 1)
        # At the beginning of a row its own down features are still to be made.
        made = row if n > row * width else row - 1
        state = (
            position_rows(_with_ones(pixels(x, self.event_shape)), dtype),
            Part(DOWN, context, made, 0, width).left_behind(down),
            Part(RIGHT, context, row, n % width, 1).left_behind(right),
        )
        return jax.tree.map(lambda each: each.astype(dtype), state)

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        (first_down, first_above, first_left), (down, right), context = cache.fixed
        values, rows, columns = cache.state
        row, column = jnp.divmod(t, self.grid_shape[1])
        entries = math.prod(self.position_shape)
        previous = x_previous.reshape(*values.shape[1:-1], entries)
        values = with_previous(values, t, _with_ones(previous))

        def new_row() -> Kept:
            h = first_down(flat(FIRST_DOWN.along(values, self.grid_shape, row)))
            return run(down, Part(DOWN, context, row, 0, self.grid_shape[1]), h, kept=rows)[2]

        rows = jax.lax.cond(column == 0, new_row, lambda: rows)
        h = first_above(flat(FIRST_ABOVE.at(values, self.grid_shape, t)))
        h = h + first_left(flat(FIRST_LEFT.at(values, self.grid_shape, t)))
        _, h, columns = run(right, Part(RIGHT, context, row, column, 1), h[None], rows, columns)
        return self._params(h[0]), Cache(cache.fixed, (values, rows, columns))

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        return Cache(self._fixed(context), self._state(x, n, context))

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        own, grid = np.eye(self.num_positions, dtype=bool), self.grid_shape
        down = FIRST_DOWN.union(own, grid)
        right = FIRST_ABOVE.union(own, grid) | FIRST_LEFT.union(own, grid)
        return self.stage.dependencies(down, right, grid)[1]


def _with_ones(pixels: Array) -> Array:
    return jnp.concatenate([pixels, jnp.ones_like(pixels[..., :1])], axis=-1)
