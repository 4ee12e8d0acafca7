"""What lossless coding needs to know of a discrete model: the choices that an event is made of.

A model of levels says it by one method, out of two. :meth:`Model.steps` of an autoregressive model,
or of each member of a mixture of them, says whose distributions of levels the chain rule
multiplies, one position after another;
:meth:`Model.latent_parts` of a model with latents says which three models it is made of. How bits
are made of them is no business of a model's: see :mod:`jaxgen.compression`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Order
from jaxgen.likelihoods import Likelihood


class Steps(NamedTuple):
    """An event as one position after another.

    Args:
        network: gives the parameters of a position from those before it, in its own order.
        likelihood: of levels, at every position.
        context: what the network reads, ``(*batch, *network.context_shape)``, or None.
        order: the generation order; None for the network's own.
    """

    network: Conditional
    likelihood: Likelihood
    context: Context
    order: Order = None


class LatentParts(NamedTuple):
    """An event as latents, and the event given them: three models, each with its context.

    Args:
        prior: the model of the latents, and what it reads.
        posterior: of events, to the model of their latents and what it reads.
        decoder: of latents, to the model of the event and what it reads.
    """

    prior: tuple[Any, Context]
    posterior: Callable[[Array], tuple[Any, Context]]
    decoder: Callable[[Array], tuple[Any, Context]]
