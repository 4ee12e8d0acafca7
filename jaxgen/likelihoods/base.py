"""What every likelihood has in common."""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import (
    ConstructorSignature,
    Shape,
    ShapeError,
    at_least_single,
    batch_shape,
    check_array,
    check_params,
    read_as,
    shape_kind,
    unpack_params,
)
from jaxgen.functional.statistics import location_and_scale

if TYPE_CHECKING:
    import distrax


Scalar = float | Array


def _checked_score(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps ``log_prob`` or ``cdf`` of a subclass with the checks that all share."""

    @functools.wraps(method)
    def checked(self: "Likelihood", value: Array, params: Array) -> Any:
        where = f"{type(self).__name__}.{method.__name__}"
        value, params = check_params(value, params, self.num_params, where)
        # Of levels that bfloat16 holds, their place among all others is no number that it holds.
        return method(self, at_least_single(jnp.asarray(value)), jnp.asarray(params))

    return checked


def _checked_sample(method: Callable[..., Array]) -> Callable[..., Array]:
    """Wraps ``sample`` of a subclass with the checks that all share."""

    @functools.wraps(method)
    def checked(self: "Likelihood", params: Array, noise: Array, position_shape: Shape) -> Array:
        where = f"{type(self).__name__}.sample"
        position = read_as(shape_kind(0), position_shape, "position_shape", where)
        params, noise = check_array(params, where, "params"), check_array(noise, where, "noise")
        expected = self.num_params(position)
        real = jnp.issubdtype(params.dtype, jnp.floating)
        if not real or not params.ndim or params.shape[-1] != expected:
            raise ShapeError(
                f"{where}: expected real params (*grid, {expected}) for a position of shape "
                f"{position}, got {params.dtype}{params.shape}"
            )
        batch_shape(params[..., 0], noise.shape[: params.ndim - 1], f"{where}, params")
        return method(self, jnp.asarray(params), jnp.asarray(noise), position)

    return checked


def _checked_check(method: Callable[..., None]) -> Callable[..., None]:
    """Wraps ``check`` of a subclass, which looks at numbers, so that it gets an array of them."""

    @functools.wraps(method)
    def checked(self: "Likelihood", value: Array | np.ndarray) -> None:
        return method(self, check_array(value, type(self).__name__, "the values"))

    return checked


_CHECKED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "log_prob": _checked_score,
    "cdf": _checked_score,
    "sample": _checked_sample,
    "check": _checked_check,
}


class Likelihood(nnx.Pytree):
    """A family of distributions with parameters from outside.

    It holds no arrays itself; only :class:`~jaxgen.models.Frame` has a network inside, with weights
    that are trained as any others. A subclass sets ``params_per_value`` and ``levels`` (None for
    real values) and defines ``log_prob``, ``noise``, ``sample`` and ``distribution``; where not
    every number is in the support, ``contains``; and where parameters may start from the data,
    ``marginal``.
    """

    params_per_value: int
    levels: float | None = None  # of integers; infinite for counts
    has_units: bool = False  # whether values are real numbers, which a model standardises first
    discrete: tuple[int, ...] = ()  # columns of whole numbers in a row of real ones
    reparametrized: bool = True  # whether real samples are differentiable in the parameters
    has_cdf: bool = False  # with cdf
    tempers_noise: bool = False  # whether noise times a temperature is what `temper` promises

    __signature__: Any = ConstructorSignature()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, checked in _CHECKED.items():
            if name in cls.__dict__:
                setattr(cls, name, checked(cls.__dict__[name]))

    def num_params(self, position_shape: Shape) -> int:
        """How many numbers a network has to give for one position."""
        return self.params_per_value * math.prod(position_shape)

    def unpack(self, params: Array, position_shape: Shape) -> Array:
        """Parameters ``(*grid, num_params)`` as ``(*grid, *position, params_per_value)``."""
        return unpack_params(params, position_shape, self.params_per_value)

    def encode(self, value: Array) -> Array:
        """What a network reads of values, real numbers ``(..., *input_shape)`` of a position."""
        return self.numbers(value)

    def numbers(self, value: Array) -> Array:
        """Values as real numbers, one for each."""
        return value

    def input_shape(self, position_shape: Shape) -> Shape:
        """What :meth:`encode` makes of a position of this shape."""
        return position_shape

    def position_shape(self, input_shape: Shape) -> Shape:
        """The shape of a position of which a network reads this much: the way back.

        Raises:
            ShapeError: if there is none.
        """
        return input_shape

    def at(self, position: Array) -> "Likelihood":
        """The likelihood of one position of the grid, whose number may be traced.

        It encodes, draws noise, tempers and samples values of this position alone; all positions
        have the same likelihood, unless a subclass says otherwise.
        """
        return self

    def location_and_scale(
        self, value: Array | np.ndarray, ndims: int, *, inside: bool = False
    ) -> tuple[Array | np.ndarray, Array | np.ndarray]:
        """The units of data, see :func:`~jaxgen.functional.statistics.location_and_scale`."""
        return location_and_scale(value, ndims, inside=inside)

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        """Parameters under which every position has the distribution that data have there.

        Of dependences between positions they know nothing. All are finite, for data of any kind,
        and a mixture's components differ.

        Args:
            value: data ``(n, *grid, *position)``, of one example or more.
            position_shape: the shape of a position.
            grid_ndims: axes of the grid.

        Returns:
            Array ``(*grid, num_params)``; zeros, unless a subclass knows better.
        """
        grid = value.shape[1 : 1 + grid_ndims]
        return jnp.zeros((*grid, self.num_params(position_shape)))

    def check(self, value: Array | np.ndarray) -> None:
        """Refuses values outside the support; under a trace only their dtype can be seen.

        Raises:
            ValueError: saying what was expected, what came, and what to do.
        """

    def contains(self, value: Array) -> Array:
        """Which values are in the support: booleans of their shape; all of them by default.

        The log-probability of others is ``-inf``. A 0 must be in the support.
        """
        return jnp.ones(jnp.shape(value), bool)

    def restricted(self, value: Array) -> tuple[Array, Array]:
        """Values with a 0 for what is outside the support, and which are inside.

        Networks must not read what is outside, nor formulas: see :mod:`jaxgen.functional.support`.
        """
        inside = self.contains(value)
        return jnp.where(inside, value, jnp.zeros_like(value)), inside

    def log_prob(self, value: Array, params: Array) -> Array:
        """``log p(value | params)`` in nats, summed over each position: ``(*batch, *grid)``.

        It is ``-inf`` outside the support, with a derivative of 0.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no log_prob")

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        """The distribution function of every entry, below a value and up to it.

        Of an entry that depends on others of its position it is the one given those before it.

        Returns:
            ``P(entry < value)`` and ``P(entry <= value)``, each ``(*batch, *grid, *position)``; the
            same array twice where values are real.

        Raises:
            TypeError: if the likelihood has none: its ``has_cdf`` is False.
        """
        raise TypeError(f"{type(self).__name__}.cdf: this likelihood has no distribution function")

    def entry_order(self, position_shape: Shape) -> np.ndarray:
        """The entries of a position, numbered in raster order, as one is modelled given another."""
        return np.arange(math.prod(position_shape))

    def entry_log_probs(self, entry: int, value: Array, params: Array) -> Array:
        """``log p(x_entry = v | the entries before it, params)`` of every level ``v``, in nats.

        Their sum over the entries, at the levels of a value, is its :meth:`log_prob`. Entries are
        independent unless a subclass says otherwise.

        Args:
            entry: its number, in raster order.
            value: levels ``(*grid, *position)``, which are 0 at this entry and at all that come
                later in :meth:`entry_order`.
            params: parameters ``(*grid, num_params)``.

        Returns:
            Array ``(*grid, levels)``.

        Raises:
            TypeError: if the likelihood is not one of a known number of levels.
        """
        entries = math.prod(position_shape_of(value, params))
        each = self.unpack(params, (entries,))[..., entry, :]
        return self.level_log_probs(each)

    def level_log_probs(self, params: Array) -> Array:
        """The log-probabilities of all levels of single values, ``(*grid, levels)``."""
        if self.levels is None or not math.isfinite(self.levels):
            raise TypeError(
                f"{type(self).__name__}: expected a likelihood of a known number of levels"
            )

        def of(level: Array) -> Array:
            return self.log_prob(jnp.full(params.shape[:-1], level), params)

        return jax.vmap(of, out_axes=-1)(jnp.arange(int(self.levels)))

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        """The noise that :meth:`sample` turns into values of this shape."""
        raise NotImplementedError(f"{type(self).__name__} defines no noise")

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        """Values ``(*grid, *position)``, a deterministic function of parameters and noise."""
        raise NotImplementedError(f"{type(self).__name__} defines no sample")

    def temper(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> tuple[Array, Array]:
        """Parameters and noise to :meth:`sample` from at a temperature and with nucleus sampling.

        A temperature multiplies the noise: the deviation of a real value, and, by the Gumbel-max
        trick, as much as to divide the logits of a choice. Nucleus sampling (Holtzman et al. 2020)
        keeps the most likely levels that together have a probability of ``top_p`` or more, and
        gives the others none. At 1 and 1 the distribution is the same.

        A likelihood whose noise may be multiplied, as normal noise and Gumbel's may and uniform
        noise may not, sets ``tempers_noise``; another defines this method.

        Raises:
            ValueError: for a ``top_p`` of a likelihood that makes no choice among levels, or a
                temperature of one that knows none.
        """
        if isinstance(top_p, jax.core.Tracer) or top_p != 1.0:
            raise ValueError(
                f"{type(self).__name__}: top_p is for Bernoulli and Categorical heads, which have "
                f"a logit for each level; use a temperature"
            )
        other = isinstance(temperature, jax.core.Tracer) or temperature != 1.0
        if other and not self.tempers_noise:
            name = type(self).__name__
            raise ValueError(
                f"{name}: expected a temperature of 1, as this likelihood defines no other; define "
                f"{name}.temper, or set tempers_noise = True if its noise may be multiplied by it"
            )
        return params, noise * temperature

    def draw(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> Array:
        """What :meth:`sample` gives at a temperature and with nucleus sampling: see :meth:`temper`.

        A likelihood that draws one entry given another tempers each in its turn.
        """
        tempered = self.temper(params, noise, position_shape, temperature, top_p)
        return self.sample(*tempered, position_shape)

    def mean(self, params: Array, position_shape: Shape) -> Array | None:
        """The mean of each entry, real numbers ``(*grid, *position)``.

        None where a value is a name, or the mean is not known to the head in closed form.
        """
        return None

    def as_normal(self, params: Array, position_shape: Shape) -> tuple[Array, Array] | None:
        """Mean and log standard deviation of the entries, if they are normal; None if not."""
        return None

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        """The distrax distribution of the entries, with its mean, mode, entropy and friends."""
        raise NotImplementedError(f"{type(self).__name__} defines no distribution")


def position_shape_of(value: Array, params: Array) -> Shape:
    """The position's shape, of values ``(*grid, *position)`` and parameters ``(*grid, n)``."""
    return value.shape[params.ndim - 1 :]


def entries_of(value: Array, params: Array) -> tuple[Array, Shape]:
    """Values and the position's shape, without its axes if it has one entry.

    XLA's loops on a processor run along the last axis, where they take a number at a time if it has
    one: a VAE of images with one channel was trained at a third of the speed.
    """
    position = position_shape_of(value, params)
    if math.prod(position) != 1:
        return value, position
    return value.reshape(value.shape[: params.ndim - 1]), ()


def sum_position(log_prob: Array, params: Array) -> Array:
    """Log-probabilities of entries ``(*grid, *position)``, summed to those of positions."""
    return jnp.sum(log_prob, tuple(range(params.ndim - 1, log_prob.ndim)))
