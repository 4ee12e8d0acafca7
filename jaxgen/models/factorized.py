"""Independent entries given a context: the usual encoder, and the usual decoder."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.conditionals.independent import Independent
from jaxgen.core import Context, Key, Shape, checked_arguments, float_dtype, program
from jaxgen.likelihoods import Likelihood
from jaxgen.models.autoregressive import Autoregressive
from jaxgen.models.drawing import drawing


class Factorized(Autoregressive):
    r"""``p(x | c) = prod_i p(x_i | theta_i(c))``: entries that are independent given a context.

    .. math:: \log p(x \mid c) = \sum_i \log p\left(x_i \mid \theta_i(c)\right),

    with the parameters :math:`\theta` from one pass of a network over the context. Of latents as
    contexts it is the usual decoder of a variational autoencoder; of data as contexts, with a
    normal likelihood, the usual encoder. It is an autoregressive model whose positions do not see
    each other, so everything that those can do, it does: real values and contexts are standardised
    by the data, parameters start from the data's own distribution at every position, and any part
    is completed given any other, exactly, from the context alone.

    Args:
        network: maps contexts ``(*batch, *context_shape)`` to the likelihood's parameters of every
            position, in raster order, as ``(*batch, *any shape)``; called with ``key=key`` if it
            takes a key (dropout).
        likelihood: the distribution at each position.
        grid_shape: the grid of positions.
        position_shape: what one position holds: ``()``, or ``(channels,)`` of a pixel, which some
            likelihoods couple.
        context_shape: of what the network reads.

    Raises:
        ShapeError: when it is called, if the network gives another number of parameters.

    >>> import jax
    >>> from flax import nnx
    >>> from jaxgen.likelihoods import Bernoulli
    >>> from jaxgen.networks import MLP
    >>> decoder = MLP(2, 784, hidden=(16,), rngs=nnx.Rngs(0))
    >>> model = Factorized(decoder, Bernoulli(), (28, 28, 1), context_shape=(2,))
    >>> model.sample(jax.random.key(0), 3, jax.numpy.zeros(2)).shape
    (3, 28, 28, 1)
    """

    grid_shape: Shape
    context_shape: Shape

    @checked_arguments
    def __init__(
        self,
        network: Callable[..., Any],
        likelihood: Likelihood,
        grid_shape: Shape,
        position_shape: Shape = (),
        *,
        context_shape: Shape,
    ):
        conditional = Independent(
            network,
            grid_shape,
            likelihood.num_params(position_shape),
            likelihood.input_shape(position_shape),
            context_shape=context_shape,
        )
        super().__init__(conditional, likelihood)

    def sample_and_log_prob(
        self, key: Array, num_samples: int, context: Context = None, *, method: str = "auto"
    ) -> tuple[Array, Array]:
        """As :meth:`Model.sample_and_log_prob`, with the network run once for each context."""
        batch = self._sample_batch(num_samples, context)
        where = "Factorized.sample_and_log_prob"
        return self._drawn(key, batch, self._context(context, batch[1:], where))

    @program("batch")
    def _drawn(self, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
        network, likelihood = self.network, self.likelihood
        params = self._params(context)
        params = jnp.broadcast_to(params, (*batch, *params.shape[len(batch) - 1 :]))
        positions = jnp.asarray(network.own_order())
        draw = drawing(self.conditional, likelihood, key, batch, {})
        drawn = jax.vmap(draw)(positions, network.to_sequence(params, positions, params=True))
        entries = len(likelihood.position_shape(network.position_shape))
        u = network.from_sequence(drawn, positions, entries=entries)
        each = self.border.each(likelihood, u, params)
        return self.border.outwards(u), self.border.total(each)

    def _params(self, context: Context, key: Key = None) -> Array:
        """The likelihood's parameters at every position, which no data decide."""
        assert context is not None  # checked before
        batch = context.shape[: context.ndim - len(self.context_shape)]
        unread = jnp.zeros((*batch, *self.conditional.event_shape))
        params = self.network(unread, context, key=key)
        return params.astype(float_dtype(params.dtype))

    def as_normal(self, context: Context = None, *, key: Key = None) -> tuple[Array, Array] | None:
        position = self.event_shape[len(self.grid_shape) :]
        params = self._params(self._checked_context(context, "as_normal"), key)
        normal = self.likelihood.as_normal(params, position)
        if normal is None:
            return None
        mean, log_scale = normal
        return self.border.outwards(mean), log_scale + self.border.log_scale()

    def centre(self, context: Context = None) -> Array:
        position = self.event_shape[len(self.grid_shape) :]
        params = self._params(self._checked_context(context, "centre"))
        mean = self.likelihood.mean(params, position)
        return super().centre(context) if mean is None else self.border.outwards(mean)
