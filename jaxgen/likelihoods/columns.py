"""Rows of a table, every column of which has a likelihood of its own."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import ColumnError, Shape, ShapeError, attributes, checked_arguments, is_concrete
from jaxgen.functional import support
from jaxgen.likelihoods.base import Likelihood, Scalar

if TYPE_CHECKING:
    import distrax

# From here on float32 has no fractions, and skips integers.
_WHOLE = 2**24


class Columns(Likelihood):
    r"""Real numbers, levels and counts side by side in a row, each column with its own head.

    .. math:: \log p(x) = \sum_j \log p_j\left(x_j \mid \theta_j\right),

    a density in the real columns and a probability in the others, so that a row's is in nats as
    any. Values are real numbers of which those of discrete columns are whole; real columns alone
    have units. What the network reads of a column is what its head would encode, filled up with
    zeros to the width of the widest; the same holds for the parameters that it gives.

    Args:
        heads: of every column, for grids ``(D,)`` of positions ``()``.

    Raises:
        ValueError: if there is no column.

    >>> from jaxgen.likelihoods import Bernoulli, Categorical, Normal
    >>> head = Columns([Normal(), Bernoulli(), Categorical(3, "one_hot")])
    >>> head.num_params(()), head.input_shape(())
    (3, (3,))
    >>> row = jnp.array([0.0, 1.0, 2.0])
    >>> head.log_prob(row, jnp.zeros((3, 3)))  # the logarithms of 0.3989, 1/2 and 1/3
    Array([-0.9189385, -0.6931472, -1.0986123], dtype=float32)
    >>> head.encode(row)[2].tolist()
    [0.0, 0.0, 1.0]
    """

    @checked_arguments
    def __init__(self, heads: Sequence[Likelihood]):
        if not heads:
            raise ValueError("Columns: expected a head for every column, got none")
        kinds = list(dict.fromkeys(map(_kind, heads)))
        # One of each kind, and which columns are of that kind.
        self.heads = nnx.List([heads[[_kind(h) for h in heads].index(kind)] for kind in kinds])
        self.kinds = tuple(kinds.index(_kind(head)) for head in heads)
        self.reparametrized = all(head.reparametrized for head in heads)
        self.has_units = any(head.has_units for head in heads)
        self.has_cdf = all(head.has_cdf for head in heads)
        self.discrete = tuple(i for i, head in enumerate(heads) if not head.has_units)
        self.params_per_value = max(head.num_params(()) for head in heads)

    def _each(self) -> Iterator[tuple[Likelihood, np.ndarray]]:
        """The heads, and the columns that each of them is for."""
        kinds = np.array(self.kinds)
        for kind, head in enumerate(self.heads):
            yield head, np.flatnonzero(kinds == kind)

    def _gather(self, of_columns: Callable[[Likelihood, np.ndarray], Array], axis: int) -> Array:
        """What the heads say of their columns, all in the order of the table."""
        parts = [of_columns(head, columns) for head, columns in self._each()]
        order = np.argsort(np.concatenate([columns for _, columns in self._each()]))
        return jnp.take(jnp.concatenate(parts, axis), order, axis)

    @property
    def _width(self) -> int:
        return max(_width(head) for head in self.heads)

    def input_shape(self, position_shape: Shape) -> Shape:
        return (self._width,)

    def position_shape(self, input_shape: Shape) -> Shape:
        if input_shape != (self._width,):
            raise ShapeError(
                f"Columns: expected a network that reads {self._width} numbers for a column, of "
                f"positions ({self._width},), got one of positions {input_shape}"
            )
        return ()

    def location_and_scale(
        self, value: Array | np.ndarray, ndims: int, *, inside: bool = False
    ) -> tuple[Array | np.ndarray, Array | np.ndarray]:
        real = ~np.isin(np.arange(len(self.kinds)), self.discrete)
        mean, scale = super().location_and_scale(value, ndims, inside=inside)
        where = np.where if isinstance(mean, np.ndarray) else jnp.where
        return where(real, mean, 0.0), where(real, scale, 1.0)

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        return self._gather(
            lambda head, columns: _padded(
                head.marginal(_as(head, value[:, columns]), (), grid_ndims), self.params_per_value
            ),
            axis=0,
        )

    def encode(self, value: Array) -> Array:
        return self._gather(
            lambda head, columns: _encoded(head, value[..., columns], self._width), axis=-2
        )

    def check(self, value: Array | np.ndarray) -> None:
        self._check_columns(value.shape, "check")
        if not is_concrete(value):
            return
        values = np.asarray(value)
        for column, kind in enumerate(self.kinds):
            head, of_column = self.heads[kind], values[..., column]
            if head.levels is not None:
                bad = of_column[~_whole(of_column)]
                if bad.size:
                    raise ColumnError(
                        column,
                        f"expected whole numbers below 2**24 for {type(head).__name__}, got "
                        f"{bad.flat[0]}",
                    )
            try:
                head.check(_as(head, of_column))
            except ValueError as error:
                raise ColumnError(column, str(error)) from None

    def _check_columns(self, shape: Shape, where: str) -> None:
        if shape[-1:] != (len(self.kinds),):
            raise ShapeError(
                f"Columns.{where}: expected rows of {len(self.kinds)} columns, got shape {shape}"
            )

    def contains(self, value: Array) -> Array:
        def inside(head: Likelihood, columns: np.ndarray) -> Array:
            each = value[..., columns]
            there = head.contains(_as(head, each))
            return there if head.levels is None else there & _whole(each)

        return self._gather(inside, axis=-1)

    def log_prob(self, value: Array, params: Array) -> Array:
        self._check_columns(value.shape, "log_prob")
        value, inside = self.restricted(value)
        each = self._gather(
            lambda head, columns: head.log_prob(
                _as(head, value[..., columns]), params[..., columns, : head.num_params(())]
            ),
            axis=-1,
        )
        return support.restrict(each, inside)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        self._check_columns(value.shape, "cdf")

        def both(head: Likelihood, columns: np.ndarray) -> Array:
            own = params[..., columns, : head.num_params(())]
            return jnp.stack(head.cdf(_as(head, value[..., columns]), own))

        below, up_to = self._gather(both, axis=-1)
        return below, up_to

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        def of_column(column: Array, key: Array) -> Array:
            return self.at(column).noise(key, shape[:-1], dtype)

        self._check_columns(shape, "noise")
        count = len(self.kinds)
        return jax.vmap(of_column, out_axes=-2)(jnp.arange(count), jax.random.split(key, count))

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        def of_column(column: Array, params: Array, noise: Array) -> Array:
            return self.at(column).sample(params, noise, ())

        self._check_columns(params.shape[:-1], "sample")
        return jax.vmap(of_column, (0, -2, -2), -1)(jnp.arange(len(self.kinds)), params, noise)

    def at(self, position: Array) -> Likelihood:
        return _Column(self, position)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        """Raises a ValueError: distrax has no distribution of columns of several kinds."""
        raise ValueError(f"{type(self).__name__}: distrax has no such distribution")


class _Column(Likelihood):
    """The head of one column, whose number may be traced."""

    def __init__(self, columns: Columns, position: Array):
        self.heads = columns.heads
        self.width = columns.input_shape(())[0]
        self.params_per_value = columns.params_per_value
        self.kind = nnx.data(jnp.asarray(columns.kinds)[position])

    def _switch(self, of_head: Callable[..., Any], *each: Array) -> Any:
        """``of_head(head, *each)`` of the head of this column."""
        branches = [functools.partial(of_head, head) for head in self.heads]
        return jax.lax.switch(self.kind, branches, *each)

    def encode(self, value: Array) -> Array:
        return self._switch(functools.partial(_encoded, width=self.width), value)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        size = max(math.prod(_noise_shape(head)) for head in self.heads)

        def drawn(head: Likelihood, key: Array) -> Array:
            own = head.noise(key, shape, dtype)
            return _padded(own.reshape(*shape, math.prod(own.shape[len(shape) :])), size)

        return self._switch(drawn, key)

    def temper(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> tuple[Array, Array]:
        def tempered(head: Likelihood, params: Array, noise: Array) -> tuple[Array, Array]:
            own = _own(head, params, noise)
            cooled, own_noise = head.temper(*own, (), temperature, top_p)
            flat = own_noise.reshape(*noise.shape[:-1], math.prod(_noise_shape(head)))
            return _padded(cooled, params.shape[-1]), _padded(flat, noise.shape[-1])

        return self._switch(tempered, params, noise)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        def draw(head: Likelihood, params: Array, noise: Array) -> Array:
            return head.sample(*_own(head, params, noise), ()).astype(noise.dtype)

        return self._switch(draw, params, noise)


def _kind(head: Likelihood) -> tuple[type, str]:
    """What heads that do the same have in common."""
    return type(head), repr(sorted(attributes(head).items()))


def _as(head: Likelihood, value: Any) -> Any:
    """Values of columns as their head wants them, integers or real numbers."""
    if head.levels is not None:
        return value.astype(np.int32)
    return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(np.float32)


def _whole(value: Any) -> Any:
    """Which real numbers are integers, of a size at which float32 holds every one of them."""
    if not jnp.issubdtype(value.dtype, jnp.floating):
        value = value.astype(np.float32)  # bytes would take 2**24 for 0, booleans have no size
    return (value == value.round()) & (abs(value) < _WHOLE)


def _width(head: Likelihood) -> int:
    """How many numbers a network reads of a value."""
    return math.prod(head.input_shape(()))


def _encoded(head: Likelihood, value: Array, width: int) -> Array:
    """What a network reads of values, with zeros up to a width."""
    read = head.encode(_as(head, value))
    return _padded(read.reshape(*value.shape, _width(head)), width)


def _padded(rows: Array, width: int) -> Array:
    """Rows with zeros behind them, up to a width."""
    return jnp.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, width - rows.shape[-1])])


def _noise_shape(head: Likelihood) -> Shape:
    """The shape of the noise of one value."""
    return jax.eval_shape(lambda: head.noise(jax.random.key(0), (), jnp.result_type(float))).shape


def _own(head: Likelihood, params: Array, noise: Array) -> tuple[Array, Array]:
    """A head's own part of what is as wide as that of the widest."""
    shape = _noise_shape(head)
    own = noise[..., : math.prod(shape)].reshape(*noise.shape[:-1], *shape)
    return params[..., : head.num_params(())], own
