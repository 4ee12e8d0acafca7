r"""Angles beside real numbers: a density on a product of circles and lines.

.. math:: p(a, y \mid c) = p(a \mid c)\; p(y \mid \cos a, \sin a, c),

the chain rule over two groups of a vector's entries: the angles first, by a model on a torus
(:func:`jaxgen.zoo.torus`), then the rest, by any conditional model, which sees the angles as points
of circles. So the density has the period of the angles, and none of it leaks where a turn closes;
one circle beside one line is a cylinder, as of the direction and the speed of the wind.
"""

import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Shape,
    ShapeError,
    checked_arguments,
    float_dtype,
    replace,
    split_key,
)
from jaxgen.functional import support
from jaxgen.models.adapting import Adapt
from jaxgen.models.base import Model, Sampling
from jaxgen.models.checks import require_real
from jaxgen.models.posterior import Draw, direct, one_each


class Cylinder(Model):
    """A vector of which some entries are angles, and the others depend on them.

    Args:
        angles: the model of the angles, of shape ``(k,)``.
        rest: the model of the other entries, ``(D - k,)``, whose context is the cosines and sines
            of the angles, ``(2 k,)``, with the context of ``angles`` behind them, if that has one.
        places: which ``k`` entries are the angles.
        turns: for each of them where a turn begins and ends, in the unit of the data.

    Raises:
        ShapeError: if the parts do not fit.
        TypeError: for parts of integers.
        ValueError: for places that are none, or twice the same, or turns that do not end after
            they begin.

    >>> from flax import nnx
    >>> from jaxgen.bijectors import MaskedAutoregressive
    >>> from jaxgen.conditionals import MADE
    >>> from jaxgen.models import Flow, VonMises
    >>> made = MADE((1,), 2, hidden=(4,), context_features=2, rngs=nnx.Rngs(0))
    >>> wind = Cylinder(VonMises((1,)), Flow(MaskedAutoregressive(made)), [0], [(-3.1416, 3.1416)])
    >>> wind.sample(jax.random.key(0), 5).shape
    (5, 2)
    """

    @checked_arguments
    def __init__(
        self,
        angles: Model,
        rest: Model,
        places: Sequence[int],
        turns: Sequence[tuple[float, float]],
    ):
        require_real(angles, "Cylinder", "angles")
        require_real(rest, "Cylinder", "rest")
        count = len(places)
        seen = 2 * count + math.prod(angles.context_shape or (0,))
        if angles.event_shape != (count,) or len(rest.event_shape) != 1:
            raise ShapeError(
                f"Cylinder: expected vectors, of {count} angles and of the rest, got models of "
                f"events {angles.event_shape} and {rest.event_shape}"
            )
        if rest.context_shape != (seen,):
            raise ShapeError(
                f"Cylinder: expected a model of the rest whose context is {seen} numbers, the "
                f"cosines and sines of {count} angles and their own context, got the "
                f"context_shape {rest.context_shape}"
            )
        size = count + rest.event_shape[0]
        if len(set(places)) < count or not all(0 <= place < size for place in places):
            raise ValueError(f"Cylinder: expected places from 0 to {size - 1}, got {places}")
        if len(turns) != count or not all(len(t) == 2 and t[0] < t[1] for t in turns):
            raise ValueError(
                f"Cylinder: expected a pair (low, high) for each of {count} angles, got {turns}"
            )
        self.angles = angles
        self.rest = rest
        self.places = tuple(places)
        self.turns = tuple((float(low), float(high)) for low, high in turns)
        self.event_shape = (size,)
        self.context_shape = angles.context_shape
        inexact = [part.exactness for part in (angles, rest) if part.exactness != "exact"]
        self.exactness = inexact[0] if inexact else "exact"
        self.reparametrized = angles.reparametrized and rest.reparametrized
        both = (angles.latent_shape, rest.latent_shape)
        self.latent_shape = self.event_shape if all(s and len(s) == 1 for s in both) else None

    @property
    def _others(self) -> list[int]:
        return [i for i in range(self.event_shape[0]) if i not in self.places]

    def _split(self, x: Any) -> tuple[Any, Any]:
        """The angles and the rest, of an array of JAX's or NumPy's."""
        return x[..., list(self.places)], x[..., self._others]

    def _joined(self, angles: Array, rest: Array) -> Array:
        order = np.argsort([*self.places, *self._others])
        return jnp.concatenate([angles, rest.astype(angles.dtype)], axis=-1)[..., order]

    def _context_of_rest(self, angles: Array, context: Any) -> Array:
        """What the model of the rest sees: points of circles, and the context."""
        low, high = np.array(self.turns).T
        angles = jnp.asarray(angles)
        angles = angles.astype(float_dtype(angles.dtype))
        turned = 2.0 * math.pi * (angles - low) / (high - low)
        seen = [jnp.cos(turned), jnp.sin(turned)]
        if context is not None:
            seen.append(jnp.broadcast_to(context, (*angles.shape[:-1], *context.shape[-1:])))
        return jnp.concatenate(seen, axis=-1).astype(angles.dtype)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, context = self._events(x, context, "log_prob")
        angles, rest = self._split(x)
        first, second = split_key(key, 2)
        seen = self._context_of_rest(angles, context)
        log_prob = self.angles.log_prob(angles, context, key=first)
        return support.flat(log_prob + self.rest.log_prob(rest, seen, key=second))

    def log_weight(
        self,
        x: Array,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
        draw: Draw = direct,
    ) -> Array:
        x, context = self._events(x, context, "log_weight")
        angles, rest = self._split(x)
        keys, drops = jax.random.split(key), split_key(dropout_key, 2)
        weight = self.angles.log_weight(angles, keys[0], context, dropout_key=drops[0], draw=draw)
        seen = self._context_of_rest(angles, context)
        rest = self.rest.log_weight(rest, keys[1], seen, dropout_key=drops[1], draw=draw)
        return support.flat(weight + rest)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        first, second = jax.random.split(key)
        method, temperature = how
        angles = one_each(
            lambda n, c: self.angles.sample(first, n, c, method=method, temperature=temperature),
            batch,
            context,
        )
        seen = self._context_of_rest(angles, context)
        rest = self.rest.sample(second, 1, seen, method=method, temperature=temperature)[0]
        return self._joined(angles, rest)

    def dream(self, key: Array, num_samples: int, context: Context = None) -> tuple[Array, Array]:
        batch = self._sample_batch(num_samples, context)
        context = self._context(context, batch, "Cylinder.dream")
        first, second = jax.random.split(key)
        angles, log_q = one_each(lambda n, c: self.angles.dream(first, n, c), batch, context)
        rest, log_r = self.rest.dream(second, 1, self._context_of_rest(angles, context))
        return self._joined(angles, rest[0]), log_q + log_r[0]

    def infer(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, context = self._events(x, context, "infer")
        self._require_latents("infer")
        angles, rest = self._split(x)
        seen, keys = self._context_of_rest(angles, context), split_key(key, 2)
        z = self.angles.infer(angles, context, key=keys[0])
        return self._joined(z, self.rest.infer(rest, seen, key=keys[1]))

    def decode(self, z: Array, context: Context = None) -> Array:
        self._require_latents("decode")
        z, context = self._events(z, context, "decode")
        first, second = self._split(z)
        angles = self.angles.decode(first, context)
        rest = self.rest.decode(second, self._context_of_rest(angles, context))
        return self._joined(angles, rest)

    def _require_latents(self, method: str) -> None:
        if self.latent_shape is None:
            raise self._lacks(method, "latent_shape")

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        if x is None:
            return replace(self, angles=self.angles.standardize(None, context))
        angles, rest = self._split(x)
        seen = self._context_of_rest(jnp.asarray(angles), context)
        return replace(
            self,
            angles=self.angles.standardize(angles, context),
            rest=self.rest.standardize(rest, seen),
        )

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        x, context = self._events(x, context, adapt.name)
        angles, rest = self._split(x)
        seen, keys = self._context_of_rest(angles, context), jax.random.split(key)
        return replace(
            self,
            angles=adapt.model(self.angles, angles, keys[0], context),
            rest=adapt.model(self.rest, rest, keys[1], seen),
        )

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        angles, rest = self._split(x)
        self.angles.check_data(angles)
        self.rest.check_data(rest)
