r"""Independence assumptions: each dimension depends on a few parents only.

.. math:: p(x) = \prod_i p\left(x_i \mid x_{\mathrm{pa}(i)}\right)

for a directed acyclic graph (a Bayesian network; Pearl 1988). The Markov chain of order ``k`` has
the ``k`` positions before as parents; ``k = 0`` is the fully factorised model.

The dependence itself is one of two:

- *Tables*, for discrete values: parameters for every configuration of the parents, which is the
  most general there is. Between the levels they are interpolated multilinearly, so that a table is
  a continuous function of real values, too, and can stand in a flow. For a categorical or Bernoulli
  head the most probable tables are counts (:meth:`Markov.estimate`).
- *Linear*: :math:`\theta_i = b_i + \sum_{j \in \mathrm{pa}(i)} A_{ij} x_j`; with a normal head a
  linear Gaussian network, for a chain an autoregressive process.
"""

import math
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.graph import Graph, checked_graph, topological_order
from jaxgen.core import Context, Key, Order, Shape, ShapeError, check_levels, replace
from jaxgen.core.arguments import checked_arguments
from jaxgen.functional.autoregressive import Cache

_MOST_PARENTS = 12
_COUNTED_AT_ONCE = 2**22  # values, whose rows are held as int64


class Markov(Conditional):
    """Parameters for each position from its parents in a directed acyclic graph.

    Args:
        grid_shape: the event's shape; every entry is a position.
        num_params: parameters for each position, ``head.num_params(())``.
        parents: the order ``k`` of a chain in raster order, or for each position the positions
            that it depends on; any graph without a cycle. The generation order is fixed by it.
        values: the numbers by which the levels are encoded, evenly spaced and ascending
            (``head.encode(jnp.arange(levels))``), for tables; None for the linear map.
        shared: one table or linear map for all positions, a homogeneous chain; a position with
            fewer parents than others then reads a level of its own in their place.

    Raises:
        ValueError: if the graph has a cycle, a parent is no position or stands twice, a position
            has more than 12 parents for a table, or the values are not evenly spaced.

    >>> chain = Markov((6,), 1, parents=2, values=(0.0, 1.0))
    >>> chain(jnp.ones((4, 6))).shape
    (4, 6, 1)
    >>> chain.table[...].shape  # for each position, the four pasts of length two
    (6, 4, 1)
    """

    fixed_order = True

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        *,
        parents: int | Sequence[Sequence[int]] = 1,
        values: Sequence[float] | None = None,
        shared: bool = False,
    ):
        super().__init__(grid_shape, num_params)
        size = math.prod(self.grid_shape)
        if isinstance(parents, int | np.integer):
            if parents < 0:
                raise ValueError(f"Markov: expected 0 or more parents, got {parents}")
            # A chain's graph is long and follows from its order, so it is not kept.
            self.parents: int | Graph = int(parents)
            self.generation_order: tuple[int, ...] | None = None
        else:
            self.parents = checked_graph(parents, size)
            self.generation_order = topological_order(self.parents)
        most = self._indices()[0].shape[1]
        self.values = None if values is None else _evenly_spaced(values)
        self.shared = self.stationary = shared
        first = () if shared else (size,)
        linear = self.values is None
        if not linear and most > _MOST_PARENTS:
            raise ValueError(
                f"Markov: expected at most {_MOST_PARENTS} parents for tables, got {most}; "
                f"values=None is linear in them"
            )
        rows = 0 if linear else self._base() ** most
        self.table = None if linear else nnx.Param(jnp.zeros((*first, rows, num_params)))
        self.kernel = nnx.Param(jnp.zeros((*first, most, num_params))) if linear else None
        self.bias = nnx.Param(jnp.zeros((*first, num_params))) if linear else None

    @checked_arguments
    def with_length(self, length: int) -> Self:
        """As :meth:`Conditional.with_length`, for a chain of one table or linear map.

        Raises:
            TypeError: for another graph, or where positions have tables of their own.
            ValueError: for no more positions than a position has parents.
        """
        if not self.shared or not isinstance(self.parents, int) or len(self.grid_shape) != 1:
            return super().with_length(length)
        least = min(length, self.num_positions)
        if least <= self.parents:
            raise ValueError(
                f"Markov.with_length: expected more than {self.parents} positions, a position's "
                f"parents, got {least}"
            )
        return replace(self, grid_shape=(length,))

    def own_order(self) -> np.ndarray:
        if self.generation_order is None:
            return np.arange(self.num_positions)
        return np.asarray(self.generation_order)

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        parents, present = self._indices()
        depends = np.zeros((self.num_positions, self.num_positions), bool)
        rows = np.broadcast_to(np.arange(len(parents))[:, None], parents.shape)
        depends[rows[present], parents[present]] = True
        return depends

    def _base(self) -> int:
        """The number of states of a parent: the levels, and in a shared table that of no parent."""
        assert self.values is not None
        return len(self.values) + self.shared

    def _indices(self) -> tuple[np.ndarray, np.ndarray]:
        """The parents of each position ``(D, k)``, padded, and which of them there are."""
        size = self.num_positions
        if isinstance(self.parents, int):
            before = np.arange(size)[:, None] - np.arange(1, min(self.parents, size - 1) + 1)
            return np.maximum(before, 0), before >= 0
        most = max(len(each) for each in self.parents)
        padded = [[*each, *(0 for _ in range(most - len(each)))] for each in self.parents]
        present = [[k < len(each) for k in range(most)] for each in self.parents]
        return np.asarray(padded, int).reshape(size, most), np.asarray(present, bool)

    def _params(self, values: Array, present: Array, position: Array) -> Array:
        """Parameters from the parents' values ``(*batch, k)`` of a position, or of all in a row.

        ``present`` is ``(k,)`` for one position or ``(D, k)``; ``position`` its number or numbers.
        """
        if self.kernel is not None and self.bias is not None:
            kernel, bias = self.kernel[...], self.bias[...]
            if not self.shared:
                kernel, bias = kernel[position], bias[position]
            return jnp.einsum("...k,...kp->...p", jnp.where(present, values, 0), kernel) + bias
        assert self.values is not None
        assert self.table is not None
        levels, base = len(self.values), self._base()
        place = (values - self.values[0]) * ((levels - 1) / (self.values[-1] - self.values[0]))
        place = jnp.clip(place, 0, levels - 1)
        low = jnp.clip(jnp.floor(place), 0, levels - 2)
        share = jnp.where(present, place - low, 0)
        low = jnp.where(present, low, base - 1 if self.shared else 0).astype(jnp.int32)
        table = self.table[...]

        def add(total: Array, upper: Array) -> tuple[Array, None]:
            weight = jnp.prod(jnp.where(upper == 1, share, 1 - share), axis=-1)
            # Where no parent is, the upper corner has no weight; its index is kept inside.
            states = jnp.minimum(low + upper, base - 1)
            row = jnp.sum(states * base ** np.arange(values.shape[-1]), axis=-1).astype(jnp.int32)
            found = table[row] if self.shared else table[position, row]
            return total + weight[..., None] * found, None

        # The corners of the cell that values between levels lie in, 2^k of them.
        most = values.shape[-1]
        corners = np.indices((2,) * most).reshape(most, 2**most).T
        total = jnp.zeros((*low.shape[:-1], self.num_params), jnp.result_type(share, table))
        return jax.lax.scan(add, total, jnp.asarray(corners, jnp.int32))[0]

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        batch = x.shape[: x.ndim - len(self.grid_shape)]
        flat = x.reshape(*batch, self.num_positions)
        parents, present = self._indices()
        params = self._params(
            flat[..., parents], jnp.asarray(present), jnp.arange(self.num_positions)
        )
        shape = (*batch, *self.grid_shape, self.num_params)
        return jnp.broadcast_to(params.reshape(*params.shape[:-2], *shape[len(batch) :]), shape)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        parameter = self.table if self.table is not None else self.bias
        assert parameter is not None
        return Cache(None, jnp.zeros((self.num_positions, *batch), parameter[...].dtype))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        order = self.resolve_order(None)
        # At t = 0 the driver's zero is written where the first value will be.
        known = cache.state.at[order[jnp.maximum(t - 1, 0)]].set(
            x_previous.astype(cache.state.dtype)
        )
        parents, present = (jnp.asarray(each)[order[t]] for each in self._indices())
        params = self._params(jnp.moveaxis(known[parents], 0, -1), present, order[t])
        params = jnp.broadcast_to(params, (*x_previous.shape, self.num_params))
        return params, Cache(None, known)

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        batch = x.shape[: x.ndim - len(self.grid_shape)]
        order = self.resolve_order(order)
        state = self.init_cache(batch).state
        sequence = self.to_sequence(x, order).astype(state.dtype)
        return Cache(None, state.at[order].set(sequence))

    def estimate(
        self,
        x: np.ndarray,
        pseudo_count: float = 1.0,
        *,
        lengths: np.ndarray | None = None,
        backoff: bool = False,
    ) -> Self:
        r"""The tables of a categorical (or, with two levels, Bernoulli) head, counted from data.

        .. math:: \hat p(x_i = l \mid \text{parents}) =
                  \frac{\#(x_i = l, \text{parents}) + \alpha\, q(l)}{\#(\text{parents}) + \alpha},

        the posterior mean under a Dirichlet prior of mean ``q`` and strength ``alpha``, and at
        ``alpha = 0`` the maximum of the likelihood, exactly; no training is needed. ``q`` is
        uniform, or, backing off, the same estimate given all parents but the last (of a chain the
        farthest), and so on down to none (MacKay and Peto 1995).

        Args:
            x: integer levels ``(num_examples, *event_shape)``.
            pseudo_count: ``alpha``, the prior's count for each configuration of the parents.
            lengths: integers ``(num_examples,)``: so many leading positions of each example are
                counted, in raster order; None for all.
            backoff: whether ``q`` is the estimate from fewer parents.

        Raises:
            ShapeError: if the examples have not the shape of the event.
            ValueError: if the model has no tables, or these are not of such a head; for levels or
                lengths out of range.

        >>> import jax
        >>> chain = Markov((3,), 1, parents=1, values=(0.0, 1.0), shared=True)
        >>> counted = chain.estimate(np.array([[0, 1, 1]]), 0.0, lengths=np.array([2]))
        >>> jax.nn.sigmoid(counted.table[...])[:, 0].round(2).tolist()  # after 0, after 1, at first
        [1.0, 0.5, 0.0]
        """
        if self.values is None or self.table is None:
            raise ValueError("Markov.estimate: expected a model with tables, got a linear one")
        levels, base = len(self.values), self._base()
        if self.num_params != levels and (self.num_params, levels) != (1, 2):
            raise ValueError(
                f"Markov.estimate: expected the parameters of a categorical head ({levels}), or of "
                f"a Bernoulli head with 2 levels (1), got {self.num_params}"
            )
        x = np.asarray(x)
        if x.shape[1:] != self.event_shape:
            raise ShapeError(
                f"Markov.estimate: expected examples (n, *{self.event_shape}), got {x.shape}"
            )
        check_levels(x, levels, "Markov.estimate")
        x = x.astype(np.uint8) if x.dtype == bool else x
        flat = x.reshape(len(x), self.num_positions)
        lengths = np.full(len(x), self.num_positions) if lengths is None else np.asarray(lengths)
        if lengths.shape != (len(x),) or np.any((lengths < 0) | (lengths > self.num_positions)):
            raise ValueError(
                f"Markov.estimate: expected lengths ({len(x)},) from 0 to {self.num_positions}, "
                f"got shape {lengths.shape}"
                + (f", {lengths.min()} to {lengths.max()}" if lengths.size else "")
            )
        most = self._indices()[0].shape[1]
        counts = self._counts(flat, lengths, levels, base, most)
        estimate = np.full((1, 1, levels), 1.0 / levels)
        for number in range(0 if backoff else most, most + 1):
            # Over the states of the parents that are left out, the last ones.
            seen = counts.reshape(len(counts), -1, base**number, levels).sum(1)
            prior = np.tile(estimate, (1, seen.shape[1] // estimate.shape[1], 1))
            prior = np.broadcast_to(prior, seen.shape)
            total = seen.sum(-1, keepdims=True) + pseudo_count
            # A past that never came, without a prior, is left as with fewer parents.
            weighted = seen + pseudo_count * prior
            estimate = np.divide(weighted, total, out=np.copy(prior), where=total > 0)
        with np.errstate(divide="ignore"):
            logits = np.log(estimate)
        # -inf would make NaN of the gradients, and of an interpolation.
        logits = np.maximum(logits, -80.0)
        if self.num_params == 1:
            logits = logits[..., 1:] - logits[..., :1]
        shape, dtype = self.table[...].shape, self.table[...].dtype
        return replace(self, table=nnx.Param(jnp.asarray(logits.reshape(shape), dtype)))

    def _counts(
        self, flat: np.ndarray, lengths: np.ndarray, levels: int, base: int, most: int
    ) -> np.ndarray:
        """How often each level came after each configuration of ``most`` parents.

        ``(positions or 1, base ** most, levels)``, with the state of the first parent fastest.
        """
        parents, present = self._indices()
        rows = base**most
        counts = np.zeros((1 if self.shared else self.num_positions, rows * levels), np.int64)
        # One example after another where all positions share a table, else by position: the table
        # is added to as a whole, so it should be as seldom as memory allows.
        place = np.arange(self.num_positions)
        chunks = max(1, -(-flat.size // _COUNTED_AT_ONCE))
        for chunk in np.array_split(np.arange(len(flat)), chunks):
            x = flat[chunk].astype(np.int64)
            within = place < lengths[chunk][:, None]
            row = np.zeros_like(x)
            for j in range(most):
                states = np.where(
                    present[:, j], x[:, parents[:, j]], base - 1 if self.shared else 0
                )
                row += states * base**j
            cell = row * levels + x
            for i in (slice(None),) if self.shared else place:
                counts[0 if self.shared else i] += np.bincount(
                    cell[:, i][within[:, i]], minlength=rows * levels
                )
        return counts.reshape(-1, rows, levels)


def _evenly_spaced(values: Sequence[float]) -> tuple[float, ...]:
    numbers = np.asarray(values, float)
    if numbers.ndim != 1 or len(numbers) < 2:
        raise ValueError(f"Markov: expected two or more values, got shape {numbers.shape}")
    steps = np.diff(numbers)
    if steps[0] <= 0 or not np.allclose(steps, steps[0], rtol=1e-4):
        raise ValueError("Markov: expected ascending, evenly spaced values")
    return tuple(numbers.tolist())
