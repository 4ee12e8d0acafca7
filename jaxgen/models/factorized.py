"""Independent entries given a context: the usual encoder, and the usual decoder."""

from collections.abc import Callable
from typing import Any

from jaxgen.conditionals.independent import Independent
from jaxgen.core import Shape, checked_arguments
from jaxgen.likelihoods import Likelihood
from jaxgen.models.autoregressive import Autoregressive


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
