"""What some autoregressive networks can do beyond the contract of all."""

from typing import Self

import numpy as np
from jax import Array

from jaxgen.core import Context, Key, Module, brief
from jaxgen.functional.autoregressive import Cache


class Abilities(Module):
    """Optional abilities of a :class:`~jaxgen.conditionals.Conditional`, as one that lacks them.

    A network that is ``order_agnostic`` defines :meth:`predict`, by which
    :class:`~jaxgen.models.Ensemble` trains on all orders at once.
    """

    order_agnostic: bool = False
    stationary: bool = False  # whether its parameters know of no positions, and of no length
    block: int | None = None  # how many steps :meth:`several` runs best; None if it runs none

    def __repr__(self) -> str:
        return brief(self)

    def __str__(self) -> str:
        return brief(self)

    def initialize(self, x: Array, context: Context = None) -> Self:
        """The network adapted to a first batch of what it reads; most return themselves.

        Args:
            x: real array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional network.

        Returns:
            A network of the same structure.
        """
        return self

    def rewired(self, key: Array) -> Self:
        """The network with another connectivity, drawn at random, of the same parameters.

        :class:`~jaxgen.models.Ensemble` trains and averages over them.

        Raises:
            TypeError: if the network has one connectivity only.
        """
        raise TypeError(
            f"{type(self).__name__} has one connectivity only; a MADE with hidden layers has many"
        )

    def with_length(self, length: int) -> Self:
        """The same network over sequences of another length.

        A model's statistics of its data go along with :meth:`Autoregressive.with_length
        <jaxgen.models.Autoregressive.with_length>`.

        Raises:
            TypeError: if its parameters belong to positions.
        """
        raise TypeError(
            f"{type(self).__name__} is of one length; a recurrent network, a WaveNet and a Markov "
            f"chain of one shared table are of any"
        )

    def predict(self, x: Array, seen: Array, context: Context = None, *, key: Key = None) -> Array:
        """Parameters of all positions given those that are seen, in one pass.

        Args:
            x: real array ``(*batch, *event_shape)``; what is not seen is ignored.
            seen: boolean array ``(*batch, *grid_shape)``, or one that broadcasts against it.
            context: array ``(*batch, *context_shape)`` for a conditional network.
            key: turns dropout on; None means evaluation.

        Returns:
            ``(*batch, *grid_shape, num_params)``; those of the seen positions mean nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no predict")

    def several(self, cache: Cache, t: Array, previous: Array) -> tuple[Array, Cache]:
        """The steps ``t .. t + n - 1`` at once, which ``method="block"`` iterates.

        Args:
            cache: what step ``t`` expects, or what this returned of the same steps: what it then
                holds of them is replaced.
            t: the first of the steps.
            previous: ``(n, *batch, *position_shape)``, the values before each of them.

        Returns:
            The parameters ``(n, *batch, num_params)``, and the cache that step ``t + n`` expects.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no several")

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray | None:
        """Which positions (rows) depend on which in an order, ``(D, D)``: the receptive field.

        None for all that come before, unless a network knows better.
        """
        return None
