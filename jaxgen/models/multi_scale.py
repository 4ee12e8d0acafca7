"""Images from small to large: a model of a subsampled image, and one of the rest given it."""

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
    program,
    replace,
    split_key,
)
from jaxgen.functional import support
from jaxgen.models import completion
from jaxgen.models.adapting import Adapt
from jaxgen.models.autoregressive import Autoregressive
from jaxgen.models.base import Model, Sampling
from jaxgen.models.drawing import Tempering, drawing, tempering_of
from jaxgen.models.embedded import Embedded


class MultiScale(Model):
    r"""``p(x) = p(small) p(rest | small)``, the small image being every ``f``-th pixel of ``x``.

    .. math:: \log p(x) = \log p_\text{small}(x_S) + \sum_{t \notin S}
              \log p_\text{large}\left(x_t \mid x_{<t}, x_S\right),

    exact by the chain rule, because the small image's pixels ``S`` are pixels of the image: the
    large model, which is given all of them ahead of its order, neither scores nor draws them (van
    den Oord et al. 2016, section 3.6). The small model may be another of this class.

    Args:
        small: a model of images ``(height, width, channels)`` with an exact likelihood.
        large: a model of the image given the small one: an :class:`Autoregressive` model behind a
            network that reads it, :class:`~jaxgen.networks.Upsampling` as a rule.

    Raises:
        ShapeError: if the sides of the image are not ``f`` times those of the small one, or the
            contexts are not as said.
        TypeError: if the small model's likelihood is not exact, or the large model another.
        ValueError: if their levels differ.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE, RowLSTM
    >>> from jaxgen.likelihoods import Bernoulli
    >>> from jaxgen.networks import Upsampling
    >>> rngs = nnx.Rngs(0)
    >>> small = Autoregressive(MADE((2, 2, 1), 1, hidden=(8,), rngs=rngs), Bernoulli())
    >>> options = {"width": 4, "depth": 1, "context_features": 3, "context_grid": (4, 4)}
    >>> large = Autoregressive(RowLSTM((4, 4), (1,), 1, **options, rngs=rngs), Bernoulli())
    >>> model = MultiScale(small, Embedded(large, Upsampling((2, 2, 1), 2, 3, rngs=rngs)))
    >>> log_prob = jax.jit(MultiScale.log_prob)
    >>> round(float(log_prob(model, jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """

    @checked_arguments
    def __init__(self, small: Model, large: Embedded):
        if small.exactness != "exact":
            raise TypeError(
                f"MultiScale: expected a small model with an exact likelihood, got "
                f"{small.exactness}"
            )
        network = getattr(large, "model", None)
        if not isinstance(large, Embedded) or not isinstance(network, Autoregressive):
            raise TypeError(
                f"MultiScale: expected a large model Embedded(Autoregressive(...), network), got "
                f"{type(large).__name__}"
            )
        if small.context_shape is not None or large.context_shape != small.event_shape:
            raise ShapeError(
                f"MultiScale: expected an unconditional small model, whose images are the large "
                f"one's context; got contexts of shape {small.context_shape} and "
                f"{large.context_shape}, small images of shape {small.event_shape}"
            )
        if small.levels != large.levels:
            raise ValueError(
                f"MultiScale: expected models of the same levels, got {small.levels} and "
                f"{large.levels}"
            )
        self.factor = _factor(small.event_shape, large.event_shape)
        self.small = small
        self.large = large
        self.event_shape = large.event_shape
        self.levels = large.levels

    @property
    def _network(self) -> Autoregressive:
        """The large model behind what embeds the small images."""
        assert isinstance(self.large.model, Autoregressive)
        return self.large.model

    def subsample(self, x: Any) -> Any:
        """The small image of an image ``(*batch, *event_shape)``: every ``f``-th pixel."""
        return x[..., :: self.factor, :: self.factor, :]

    def _read(self, small: Array) -> Array:
        """Small images as what embeds them reads them: as numbers, in the large model's unit."""
        likelihood, border = self._network.likelihood, self._network.border
        return likelihood.numbers(likelihood.restricted(border.inwards(small))[0])

    def _rest(self, small: Array, key: Key = None) -> tuple[Autoregressive, Array, Array]:
        """The model of the image, its context from small images, and what they are of the image,
        a mask over its positions."""
        model = self._network
        context = self.large.embed(self._read(small), key=key)
        observed = np.zeros(model.conditional.grid_shape, bool)
        observed[:: self.factor, :: self.factor] = True
        return model, context, jnp.asarray(observed.reshape(-1))

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, _ = self._events(x, context, "log_prob")
        small_key, network_key, key = split_key(key, 3)
        small = self.subsample(x)
        log_prob = self.small.log_prob(small, key=small_key)
        self._network.likelihood.check(x)
        return support.flat(log_prob + self._score_rest(x, small, network_key, key))

    @program()
    def _score_rest(self, x: Array, small: Array, network_key: Key, key: Key) -> Array:
        model, context, observed = self._rest(small, network_key)
        u, volume = model.border.inwards(x), model.border.log_volume()
        parts = (model.network, model.likelihood, u, observed, context, None, volume)
        return completion.score_missing(*parts, key=key)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        small_key, key = jax.random.split(key)
        small = self.small.sample(
            small_key, batch[0], method=how.method, temperature=how.temperature
        )
        tempering = tempering_of(how.temperature, model=self)
        return self._draw_rest(key, small, batch, how.method, tempering)

    @program("batch", "method")
    def _draw_rest(
        self, key: Array, small: Array, batch: Shape, method: str, tempering: Tempering
    ) -> Array:
        model, context, observed = self._rest(small)
        known = jnp.zeros((*batch, *self.event_shape), small.dtype)
        known = known.at[..., :: self.factor, :: self.factor, :].set(small)
        network = model.network
        draw = drawing(network, model.likelihood, key, batch, tempering)
        u, order = model.border.inwards(known), network.resolve_order(None)
        emit, _ = completion.keep_observed(network, model.likelihood, draw, u, observed, order)
        drawn = model.border.outwards(network.generate(emit, batch, context, method=method))
        return jnp.where(completion.of_entries(self.event_shape, network, observed), known, drawn)

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        x, _ = self._events(x, context, adapt.name)
        images = self.subsample(x)
        read = self._read(images)
        small = adapt.model(self.small, images, key, None)
        large = adapt.model(self.large, x, jax.random.fold_in(key, 1), read)
        return replace(self, small=small, large=large)

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        if x is None:
            return self
        small = self.small.standardize(self.subsample(x), None)
        return replace(self, small=small, large=self.large.standardize(x, None))

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        self.large.check_data(x)


def _factor(small: Shape, large: Shape) -> int:
    """How many times the sides of the small image go into those of the large one."""
    if len(small) == len(large) == 3 and small[2] == large[2]:
        factor = large[0] // small[0]
        if factor > 0 and large[:2] == (factor * small[0], factor * small[1]):
            return factor
    raise ShapeError(
        f"MultiScale: expected an image (height, width, channels) whose sides are a multiple of "
        f"the small one's, got {large} and {small}"
    )
