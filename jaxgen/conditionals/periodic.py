"""An autoregressive network of angles, which sees what an angle is: a point of a circle."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Order, Shape, ShapeError, checked_arguments
from jaxgen.functional.autoregressive import Cache


class PeriodicConditional(Conditional):
    r"""A network of ``cos x_0, sin x_0, cos x_1, ...``, with the period :math:`2\pi` in each angle.

    The network inside has two positions for each angle, in its own order; what it gives at the
    first of the two, where it has seen both of every angle before, are the angle's parameters.

    Args:
        conditional: a network over a grid ``(*grid, 2)`` of scalars, in raster order.

    Raises:
        ShapeError: if its grid does not end in 2, or its positions are no scalars.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> network = PeriodicConditional(MADE((3, 2), 5, hidden=(8,), rngs=nnx.Rngs(0)))
    >>> network(jnp.ones((4, 3))).shape
    (4, 3, 5)
    """

    fixed_order = True

    @checked_arguments
    def __init__(self, conditional: Conditional):
        *grid, pair = conditional.grid_shape
        if pair != 2 or not grid or conditional.position_shape != ():
            raise ShapeError(
                f"PeriodicConditional: expected a network over a grid (*grid, 2) of scalars, got "
                f"{conditional.grid_shape} of {conditional.position_shape}"
            )
        super().__init__(
            tuple(grid), conditional.num_params, context_shape=conditional.context_shape
        )
        self.conditional = conditional

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        features = jnp.stack([jnp.cos(x), jnp.sin(x)], axis=-1)
        return self.conditional(features, context, key=key)[..., 0, :]

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        return self.conditional.init_cache(batch, context)

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        def see_cosine(cache: Cache) -> Cache:
            return self.conditional.step(cache, 2 * t - 1, jnp.cos(x_previous))[1]

        cache = jax.lax.cond(t > 0, see_cosine, lambda cache: cache, cache)
        return self.conditional.step(cache, 2 * t, jnp.sin(x_previous))
