"""A model whose context first passes through a network."""

import inspect
from collections.abc import Callable
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import (
    Buffer,
    Context,
    Key,
    Mask,
    Shape,
    ShapeError,
    batch_shape,
    check_context,
    checked_arguments,
    map_modules,
    replace,
    split_key,
)
from jaxgen.models.adapting import Adapt
from jaxgen.models.base import Model
from jaxgen.models.coding import LatentParts, Steps
from jaxgen.models.posterior import Draw, direct


class Embedded(Model):
    r"""``p(x | c) = p_model(x | network(c))``: the context is embedded, and the network trained.

    Every conditional model of the zoo takes a context *vector*. With an
    :class:`~jaxgen.networks.Embedding` it becomes a model of ``x`` given a class label; with an
    encoder of your own, given an image, a sequence, or whatever the encoder reads.

    Args:
        model: a conditional model.
        network: called as ``network(context)``, and with ``key=key`` if it takes a key (dropout).
            Its attribute ``input_shape`` is the event shape of the raw context, ``()`` for a label.
            It maps ``(*batch, *input_shape)`` to ``(*batch, *model.context_shape)``. A method
            ``check(context)``, if it has one, refuses contexts that it cannot read.

    Raises:
        ShapeError: if the model takes no context.
        TypeError: if the network does not state its ``input_shape``.

    >>> from flax import nnx
    >>> from jaxgen.bijectors import MaskedAutoregressive
    >>> from jaxgen.conditionals import MADE
    >>> from jaxgen.models import Flow
    >>> from jaxgen.networks import Embedding
    >>> made = MADE((2,), 2, hidden=(8,), context_features=4, rngs=nnx.Rngs(0))
    >>> labels = Embedding(10, 4, rngs=nnx.Rngs(1))
    >>> model = Embedded(Flow(MaskedAutoregressive(made)), labels)
    >>> model.log_prob(jnp.zeros((3, 2)), jnp.array([0, 9, 4])).shape
    (3,)
    """

    context_shape: Shape

    @checked_arguments
    def __init__(self, model: Model, network: Callable[..., Any]):
        if model.context_shape is None:
            raise ShapeError(
                f"Embedded: expected a conditional model, got an unconditional "
                f"{type(model).__name__}; give it a context, e.g. context_features=16"
            )
        if not hasattr(network, "input_shape"):
            raise TypeError(
                f"Embedded: expected a network with an attribute input_shape, the event shape of "
                f"the contexts it reads (() for a label), got a {type(network).__name__} without"
            )
        # What a network makes is in no unit, and changes while the network is trained.
        self.model = map_modules(model, keep_context)
        self.network: Any = network
        self.event_shape = model.event_shape
        self.context_shape = tuple(network.input_shape)
        self.exactness = model.exactness
        self.latent_levels = model.latent_levels
        self.latent_shape = model.latent_shape
        self.grid_shape, self.has_posterior = model.grid_shape, model.has_posterior
        # Of a posterior it would promise vectors of codes, of a whole model a codebook to train.
        self.vector_shape = model.vector_shape if model.has_posterior else None
        self.levels, self.discrete = model.levels, model.discrete
        self.has_cdf = model.has_cdf
        self.num_members = model.num_members

    def embed(self, context: Context, *, key: Key = None) -> Array:
        """The context that the model sees, ``(*batch, *model.context_shape)``.

        Args:
            context: array ``(*batch, *context_shape)``.
            key: turns the network's dropout on; None means evaluation.

        Raises:
            ShapeError: if there is no context, or it or its embedding has another shape.
        """
        where = "Embedded"
        # Embedded as it comes: a context that serves a whole batch goes through the network once.
        batch: Shape = ()
        if context is not None:
            context = jnp.asarray(context)
            batch = batch_shape(context, self.context_shape, f"{where}, context")
        context = check_context(context, self.context_shape, batch, where)
        takes_key = "key" in inspect.signature(self.network.__call__).parameters
        embedded = self.network(context, **({"key": key} if takes_key else {}))
        shape = self.model.context_shape
        assert shape is not None  # checked when this was built
        expected = (*batch, *shape)
        if embedded.shape != expected:
            raise ShapeError(
                f"{where}: expected {type(self.network).__name__} to map contexts of shape "
                f"{(*batch, *self.context_shape)} to {expected}, got {embedded.shape}"
            )
        return embedded

    def _embedded(self, context: Context, key: Key) -> tuple[Array, Key]:
        """The embedded context, and a dropout key for the model."""
        network_key, model_key = split_key(key, 2)
        return self.embed(context, key=network_key), model_key

    def log_prob(
        self, x: Array, context: Context = None, *, key: Key = None, **options: Any
    ) -> Array:
        """As :meth:`Model.log_prob`; further options are the model's own."""
        embedded, key = self._embedded(context, key)
        return self.model.log_prob(x, embedded, key=key, **options)

    def log_weight(
        self,
        x: Array,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
        draw: Draw = direct,
    ) -> Array:
        embedded, dropout_key = self._embedded(context, dropout_key)
        return self.model.log_weight(x, key, embedded, dropout_key=dropout_key, draw=draw)

    def elbo(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> Array:
        embedded, dropout_key = self._embedded(context, dropout_key)
        return self.model.elbo(x, key, embedded, dropout_key=dropout_key)

    def elbo_terms(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> tuple[Array, Array]:
        embedded, dropout_key = self._embedded(context, dropout_key)
        return self.model.elbo_terms(x, key, embedded, dropout_key=dropout_key)

    def quantization_error(self, x: Array, commitment: float, context: Context = None) -> Array:
        return self.model.quantization_error(x, commitment, self.embed(context))

    def dream(self, key: Array, num_samples: int, context: Context = None) -> tuple[Array, Array]:
        return self.model.dream(key, num_samples, self.embed(context))

    def as_normal(self, context: Context = None, *, key: Key = None) -> tuple[Array, Array] | None:
        embedded, key = self._embedded(context, key)
        return self.model.as_normal(embedded, key=key)

    def centre(self, context: Context = None) -> Array:
        return self.model.centre(self.embed(context))

    def importance_log_prob(
        self, x: Array, key: Array, num_samples: int, context: Context = None
    ) -> Array:
        return self.model.importance_log_prob(x, key, num_samples, self.embed(context))

    def sample(
        self, key: Array, num_samples: int, context: Context = None, **options: Any
    ) -> Array:
        """As :meth:`Model.sample`; further options are the model's own."""
        return self.model.sample(key, num_samples, self.embed(context), **options)

    def sample_and_log_prob(
        self, key: Array, num_samples: int, context: Context = None, *, method: str = "auto"
    ) -> tuple[Array, Array]:
        embedded = self.embed(context)
        return self.model.sample_and_log_prob(key, num_samples, embedded, method=method)

    def complete(
        self,
        key: Array,
        x: Array,
        observed: Mask,
        num_samples: int,
        context: Context = None,
        **options: Any,
    ) -> Array:
        """As :meth:`Autoregressive.complete`; further options are the model's own."""
        return self.model.complete(key, x, observed, num_samples, self.embed(context), **options)

    def conditional_log_prob(
        self, x: Array, observed: Mask, context: Context = None, **options: Any
    ) -> Array:
        """As :meth:`Autoregressive.conditional_log_prob`; further options are the model's own."""
        return self.model.conditional_log_prob(x, observed, self.embed(context), **options)

    def observed_log_prob(
        self, x: Array, observed: Mask, context: Context = None, **options: Any
    ) -> Array:
        """As :meth:`Model.observed_log_prob`; further options are the model's own."""
        return self.model.observed_log_prob(x, observed, self.embed(context), **options)

    def observed_elbo(
        self,
        x: Array,
        observed: Mask,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
    ) -> Array:
        embedded, dropout_key = self._embedded(context, dropout_key)
        return self.model.observed_elbo(x, observed, key, embedded, dropout_key=dropout_key)

    def conditions_exactly(self, observed: Mask, **options: Any) -> bool:
        return self.model.conditions_exactly(observed, **options)

    def conditional_cdf(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return self.model.conditional_cdf(x, self.embed(context))

    def position_log_probs(self, x: Array, context: Context = None) -> Array:
        return self.model.position_log_probs(x, self.embed(context))

    def steps(self, context: Context = None, member: Array | None = None) -> Steps:
        which = {} if member is None else {"member": member}
        return self.model.steps(self.embed(context), **which)

    def member_log_probs(self, x: Array, context: Context = None, key: Key = None) -> Array:
        embedded, key = self._embedded(context, key)
        return self.model.member_log_probs(x, embedded, key)

    def latent_parts(self, context: Context = None) -> LatentParts:
        return self.model.latent_parts(self.embed(context))

    def infer(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        return self.model.infer(x, self.embed(context), key=key)

    def decode(self, z: Array, context: Context = None) -> Array:
        return self.model.decode(z, self.embed(context))

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        return replace(self, model=self.model.standardize(x, None))

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        return replace(self, model=adapt.model(self.model, x, key, self.embed(context)))

    def with_length(self, length: int) -> Self:
        model = self.model.with_length(length)
        return replace(
            self, model=model, event_shape=model.event_shape, grid_shape=model.grid_shape
        )

    def check_data(self, x: Array | np.ndarray) -> None:
        self.model.check_data(x)

    def check_lengths(self, lengths: np.ndarray) -> None:
        self.model.check_lengths(lengths)

    def check_context(self, context: Array | np.ndarray) -> None:
        super().check_context(context)
        if hasattr(self.network, "check"):
            self.network.check(context)


def keep_context(module: nnx.Module) -> None:
    """Lets a model's parts take their contexts as they come, now and after an initialisation."""
    units = vars(module).get("context_units")
    if units is not None:
        units.adapted = Buffer(jnp.ones_like(units.adapted[...]))
