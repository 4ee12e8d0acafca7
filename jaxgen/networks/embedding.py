"""A learned vector for each class of an integer label."""

import jax
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Module, Shape, check_labels, checked_arguments, take_class


class Embedding(Module):
    """A table with one vector for each class: the context of a class-conditional model.

    It is what :class:`~jaxgen.models.Embedded` calls for labels. Labels outside the range are
    refused where they can be seen; under ``jax.jit`` they give NaN, never another class's vector.

    Args:
        num_classes: how many classes there are; labels are ``0 .. num_classes - 1``.
        features: the size of a class's vector.
        rngs: where the initial vectors come from, standard normal.

    Raises:
        ValueError: if there is no class or no feature.

    >>> import jax.numpy as jnp
    >>> Embedding(10, 4, rngs=nnx.Rngs(0))(jnp.array([3, 1, 3])).shape
    (3, 4)
    """

    @checked_arguments
    def __init__(self, num_classes: int, features: int, *, rngs: nnx.Rngs):
        self.num_classes = num_classes
        self.input_shape: Shape = ()
        self.table = nnx.Param(jax.random.normal(rngs.params(), (num_classes, features)))

    def check(self, labels: Array | np.ndarray) -> None:
        """Refuses what is no label of one of the classes.

        Raises:
            ValueError: saying what was expected and what came.
        """
        check_labels(labels, self.num_classes, "Embedding")

    def __call__(self, labels: Array) -> Array:
        """Integer labels ``(*batch,)`` to vectors ``(*batch, features)``."""
        return take_class(self.table[...], labels, "Embedding")
