r"""Locally masked PixelCNN (Jain, Abbeel and Pathak 2020): images in any generation order.

.. math:: p(x) = \frac{1}{K} \sum_k \prod_t p\left(x_{o_k(t)} \mid x_{o_k(1)}, \dots,
          x_{o_k(t-1)}\right),

one network for all orders (see :mod:`jaxgen.conditionals.lmconv`). Training draws orders, the
likelihood is their average, and a hole is completed exactly, by an order that puts it last
(:meth:`~jaxgen.models.Autoregressive.complete`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.conditionals import LMConv
from jaxgen.core import Shape, check_event, unknown
from jaxgen.functional import masks
from jaxgen.models import Autoregressive, Ensemble
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor, refuse_ignored

_ORDERS = ("raster", "s_curve", "hilbert", "random")


@constructor
def lmconv(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    inputs: str | None = None,
    orders: str = "s_curve",
    num_orders: int | None = None,
    orders_per_batch: int = 4,
    width: int = 64,
    depth: int = 6,
    kernel_size: int = 3,
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive | Ensemble:
    """Locally masked convolutions over an image.

    Args:
        event_shape: ``(height, width, channels)``; a position is a pixel with its channels.
        orders: ``"raster"``, ``"s_curve"`` (the first ``num_orders`` of its eight variants),
            ``"hilbert"`` or ``"random"``.
        num_orders: how many orders; 8 if None, or 1 of the raster and Hilbert orders, which have
            one variant.
        width: features of a pixel.
        depth: residual blocks.
        kernel_size: the side of a window.
        dropout: rate in the blocks while training.
        rngs: where the initial weights and random orders come from.

    Raises:
        ShapeError: if the event is no image.
        ValueError: for an unknown kind of orders, or more orders than it has variants.

    >>> model = lmconv((4, 4, 1), levels=2, width=4, depth=1, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """
    event_shape = check_event(event_shape, (3,), "lmconv")
    grid, position = event_shape[:2], event_shape[2:]
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = LMConv(
        grid,
        likelihood.input_shape(position),
        likelihood.num_params(position),
        width=width,
        depth=depth,
        kernel_size=kernel_size,
        context_features=context_features,
        dropout=dropout,
        rngs=rngs,
    )
    single = Autoregressive(conditional, likelihood)
    chosen = _orders(orders, num_orders, grid, rngs)
    if len(chosen) == 1:
        refuse_ignored("lmconv", "with one order", orders_per_batch=orders_per_batch)
    if len(chosen) == 1 and orders == "raster":
        return single
    return Ensemble(single, jnp.asarray(chosen), orders_per_batch)


def _orders(kind: str, count: int | None, grid: Shape, rngs: nnx.Rngs) -> np.ndarray | jax.Array:
    """Generation orders ``(count, D)``."""
    if kind not in _ORDERS:
        raise unknown("kind of orders", kind, _ORDERS)
    height, width = grid
    variants = {"raster": 1, "hilbert": 1}.get(kind, 8)
    count = variants if count is None else count
    most = count if kind == "random" else variants
    if not 1 <= count <= most:
        raise ValueError(f"lmconv: expected 1 to {most} orders of the kind {kind!r}, got {count}")
    if kind == "random":
        return masks.random_orders(rngs.params(), count, height * width)
    if kind == "s_curve":
        return np.stack([masks.s_curve(height, width, variant) for variant in range(count)])
    return (
        masks.hilbert(height, width)[None] if kind == "hilbert" else np.arange(height * width)[None]
    )
