"""Parameters of a bijector that are the same everywhere, or another for each context."""

from flax import nnx
from jax import Array

from jaxgen.core import Context, Module, float_dtype


class Amortized(Module):
    """A trained array, plus what a linear layer makes of a context.

    The layer starts at zero, so that at first the array is the same for every context.

    Args:
        start: the array at first.
        context_features: the size of a context vector; None for an array that reads none.
        rngs: where a layer's weights would come from.

    >>> import jax.numpy as jnp
    >>> array = Amortized(jnp.ones((2, 3)), 4, rngs=nnx.Rngs(0))
    >>> array(jnp.zeros((5, 4))).shape
    (5, 2, 3)
    """

    def __init__(self, start: Array, context_features: int | None, *, rngs: nnx.Rngs):
        self.array = nnx.Param(start)
        self.layer = (
            None
            if context_features is None
            else nnx.Linear(
                context_features,
                start.size,
                use_bias=False,
                kernel_init=nnx.initializers.zeros,
                rngs=rngs,
            )
        )

    def __call__(self, context: Context) -> Array:
        """``(*batch, *shape)`` for contexts ``(*batch, context_features)``, else ``shape``.

        In float32 or better, whatever the layer computes in.
        """
        array = self.array[...]
        if self.layer is not None and context is not None:
            change = self.layer(context)
            array = array + change.reshape(*change.shape[:-1], *array.shape)
        return array.astype(float_dtype(array.dtype))
