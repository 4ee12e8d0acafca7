r"""A head whose entries know of each other: an autoregressive network inside every position.

A sequence of vectors, such as the notes of a piece of music in each of its time steps, is a chain
of frames. What the network of the sequence gives for a frame conditions a second network, over the
frame's entries, which is small and the same in all frames: RNN-NADE (Boulanger-Lewandowski, Bengio
and Vincent 2012), with :class:`~jaxgen.conditionals.NADE` inside. With the parameters
:math:`(b_t, f_t)` of frame ``t``,

.. math:: p(x_t \mid x_{<t}) = \prod_i p\left(x_{ti} \mid b_{ti} + \theta_i(x_{t,<i}, f_t)\right).

As in the paper, every frame has its own biases of the entries, :math:`b_t`, and through the
features :math:`f_t` its own biases of the hidden units. Deviation: the features may be of another
number than the hidden units, and other networks than NADE are taken.
"""

import math
from collections.abc import Callable
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Shape, ShapeError, checked_arguments, float_dtype, unpack_params
from jaxgen.functional import support
from jaxgen.likelihoods import Likelihood
from jaxgen.likelihoods.base import Scalar


class Frame(Likelihood):
    """A vector at each position, whose entries are modelled one given another.

    Its parameters are those of the likelihood for each entry, which a network inside adds to, and
    the features that this network sees as its context. They start at the data's own distribution of
    each entry, which the network starts from with zeros, so it has dependences alone to learn.
    Dropout of the network inside is never in effect.

    Args:
        conditional: the network inside, over a grid of the entries of a frame; its context is a
            vector of features.
        likelihood: of every entry.

    Raises:
        ShapeError: if the network takes no vector as its context, or does not read or give what the
            likelihood of an entry asks for.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import NADE
    >>> from jaxgen.likelihoods import Bernoulli
    >>> inside = NADE((3,), 1, width=8, context_features=4, rngs=nnx.Rngs(0))
    >>> head = Frame(inside, Bernoulli())
    >>> head.num_params((3,))  # a logit for each entry, and the features
    7
    >>> round(float(head.log_prob(jnp.array([0, 1, 1]), jnp.zeros(7))), 4)  # three coins at first
    -2.0794
    """

    @checked_arguments
    def __init__(self, conditional: Conditional, likelihood: Likelihood):
        reads, gives = likelihood.input_shape(()), likelihood.num_params(())
        if (conditional.position_shape, conditional.num_params) != (reads, gives):
            raise ShapeError(
                f"Frame: {type(likelihood).__name__} needs a network that reads {reads} and gives "
                f"{gives} parameters for an entry, {type(conditional).__name__} reads "
                f"{conditional.position_shape} and gives {conditional.num_params}"
            )
        if len(conditional.context_shape or ()) != 1:
            raise ShapeError(
                f"Frame: expected a network whose context is a vector, the features of a frame, "
                f"as one with context_features=64 has; got {type(conditional).__name__} with the "
                f"context_shape {conditional.context_shape}"
            )
        self.conditional = conditional
        self.likelihood = likelihood
        self.levels = likelihood.levels
        self.has_units = likelihood.has_units
        self.reparametrized = likelihood.reparametrized
        self.has_cdf = likelihood.has_cdf

    def num_params(self, position_shape: Shape) -> int:
        """How many numbers a network has to give for a frame.

        Raises:
            ShapeError: for positions which are no frames of the network inside.
        """
        if position_shape != self.conditional.grid_shape:
            raise ShapeError(
                f"Frame: expected positions of shape {self.conditional.grid_shape}, as the network "
                f"inside has them, got {position_shape}"
            )
        return self._num_entry_params + math.prod(self.conditional.context_shape or ())

    @property
    def _num_entry_params(self) -> int:
        return self.conditional.num_positions * self.conditional.num_params

    def _split(self, params: Array) -> tuple[Array, Array]:
        """What every entry starts from, ``(*grid, *position, per entry)``, and the features."""
        params = params.astype(float_dtype(params.dtype))
        of_entries, features = jnp.split(params, [self._num_entry_params], axis=-1)
        grid, per_entry = self.conditional.grid_shape, self.conditional.num_params
        return unpack_params(of_entries, grid, per_entry), features

    def encode(self, value: Array) -> Array:
        return self.likelihood.encode(value)

    def numbers(self, value: Array) -> Array:
        return self.likelihood.numbers(value)

    def input_shape(self, position_shape: Shape) -> Shape:
        return self.likelihood.input_shape(position_shape)

    def position_shape(self, input_shape: Shape) -> Shape:
        return self.likelihood.position_shape(input_shape)

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        inside = self.conditional
        # To the network inside entries are positions.
        each = self.likelihood.marginal(value, (), grid_ndims + len(position_shape))
        each = each.reshape(*each.shape[:grid_ndims], self._num_entry_params)
        features = jnp.zeros(inside.context_shape or ())
        # As a network outside that has been trained, one inside keeps to what it says.
        says = jax.jit(type(inside).__call__)(inside, jnp.zeros(inside.event_shape), features)
        each = jnp.where(jnp.any(says != 0), 0.0, each)
        features = jnp.broadcast_to(features, (*each.shape[:-1], features.size))
        return jnp.concatenate([each, features.astype(each.dtype)], -1)

    def check(self, value: Array | np.ndarray) -> None:
        self.likelihood.check(value)

    def contains(self, value: Array) -> Array:
        return self.likelihood.contains(value)

    def log_prob(self, value: Array, params: Array) -> Array:
        value, inside = self.restricted(value)
        value, of_entries = self._run(value, params)
        each = self.likelihood.log_prob(value, of_entries)
        total = jnp.sum(each, tuple(range(params.ndim - 1, each.ndim)))
        return support.restrict(total, inside)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        return self.likelihood.cdf(*self._run(value, params))

    def _run(self, value: Array, params: Array) -> tuple[Array, Array]:
        """Frames of the grid, and the parameters of each entry given those before it."""
        grid = jnp.broadcast_shapes(value.shape[: params.ndim - 1], params.shape[:-1])
        value = jnp.broadcast_to(value, (*grid, *self.conditional.grid_shape))
        first, features = self._split(params)
        return value, first + self.conditional(self.likelihood.encode(value), features)

    def entry_order(self, position_shape: Shape) -> np.ndarray:
        return np.asarray(self.conditional.own_order())

    def entry_log_probs(self, entry: int, value: Array, params: Array) -> Array:
        first, features = self._split(params)
        each = first + self.conditional(self.likelihood.encode(value), features)
        entries = self.conditional.num_positions
        flat = each.reshape(*params.shape[:-1], entries, self.conditional.num_params)
        return self.likelihood.level_log_probs(flat[..., entry, :])

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return self.likelihood.noise(key, shape, dtype)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        return self._drawn(params, noise, lambda p, own: self.likelihood.sample(p, own, ()))

    def draw(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> Array:
        """As there: every entry is tempered as the likelihood tempers it, given those before."""

        def draw(params: Array, noise: Array) -> Array:
            return self.likelihood.draw(params, noise, (), temperature, top_p)

        return self._drawn(params, noise, draw)

    def _drawn(self, params: Array, noise: Array, draw: Callable[[Array, Array], Array]) -> Array:
        """Frames drawn entry by entry: ``draw`` makes an entry of its parameters and noise."""
        inside, grid = self.conditional, params.shape[:-1]
        first, features = self._split(params)
        order = inside.resolve_order(None)
        firsts = inside.to_sequence(first, order, params=True)
        behind = noise.ndim - len(grid) - len(inside.grid_shape)
        noises = inside.to_sequence(noise, order, entries=behind)

        def emit(t: Array, params: Array) -> tuple[Array, Array]:
            value = draw(firsts[t] + params, noises[t])
            return self.likelihood.encode(value), value

        return inside.generate(emit, grid, features)

    def temper(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> NoReturn:
        """Raises a TypeError: entries are tempered as they are drawn, see :meth:`draw`."""
        raise TypeError("Frame: entries are tempered one by one, as they are drawn; use draw")

    def distribution(self, params: Array, position_shape: Shape = ()) -> NoReturn:
        """Raises a ValueError: distrax has no distribution of entries that depend on each other."""
        raise ValueError(
            "Frame: the entries depend on each other; distrax has no such distribution"
        )
