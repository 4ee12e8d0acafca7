r"""Coding with latents: bits back (Townsend, Bird and Barber, 2019).

An event alone has no code under :math:`p(x) = \int p(x | z)\, p(z)\, dz`, but together with latents
it has, of :math:`-\log_2 p(x | z)\, p(z)` bits; and *which* latents is worth something. They are
popped from the bits that are on the stack already, by :math:`q(z | x)`, and whoever decodes knows
``x`` in the end and can push them again: so :math:`-\log_2 q(z | x)` bits come back. What is paid,

.. math:: \mathbb{E}_q\left[-\log_2 \frac{p(x | z)\, p(z)}{q(z | x)}\right],

is the model's own bound. To begin with there must be some bits on the stack, once for all events.

Real latents are multiples of ``2^-8``; prior and posterior then give masses, not densities, and
what the masses of one are smaller those of the other are, too. It is a loss where a posterior is
much narrower than that, or is further than 32 from 0.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.compression.coder import Coder
from jaxgen.compression.errors import CompressionError
from jaxgen.compression.parts import PRECISION
from jaxgen.compression.programs import exact_program
from jaxgen.compression.stack import Stack
from jaxgen.core import Context
from jaxgen.models import Model

_STEP = 2.0**-8
_END = 2**13  # in steps from 0
# The first batches are small, as there are few bits yet to draw latents from.
_BATCH = 64
# Where numbers that a network may give are cut, in steps.
_FAR, _NARROW = 2.0**40, 2.0**-20


class Grid:
    """How independent normals are pushed and popped, as multiples of a step.

    Args:
        model: for which ``as_normal`` is not None.
    """

    pops = 0

    def __init__(self, model: Model):
        self.model = model
        self.most_bits = PRECISION * int(np.prod(model.event_shape))
        self.most_rows = 2**20

    def push(self, stack: Stack, x: np.ndarray, context: Context, rows: int) -> None:
        """Puts the first ``rows`` of events on the stack, which are on the grid."""
        mean, scale = self._normals(len(x), context, rows)
        stack.push_normal(np.rint(x[:rows] / _STEP).reshape(-1), mean, scale, _END)

    def pop(self, stack: Stack, batch: int, context: Context, rows: int) -> np.ndarray:
        """Takes ``rows`` events off the stack, as an array of ``batch``, the others of zeros."""
        x = np.zeros((batch, *self.model.event_shape), np.float32)
        index = stack.pop_normal(*self._normals(batch, context, rows), _END)
        x[:rows] = (index * _STEP).reshape(rows, *self.model.event_shape)
        return x

    def _normals(self, batch: int, context: Context, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of all entries, in steps."""
        mean, log_scale = (np.asarray(each) for each in _normal(self.model, context, batch))
        if not (np.isfinite(mean).all() and np.isfinite(log_scale).all()):
            raise CompressionError(
                f"{type(self.model).__name__}: the latents of some event have a normal whose mean "
                f"or scale is NaN or infinite, which no code is for"
            )
        mean = np.clip(mean[:rows].reshape(-1).astype(np.float64) / _STEP, -_FAR, _FAR)
        scale = np.exp(np.clip(log_scale[:rows].reshape(-1).astype(np.float64), -50.0, 50.0))
        return mean, np.clip(scale / _STEP, _NARROW, _FAR)


class BitsBack:
    """How events of a model with latents are pushed and popped.

    Args:
        model: defines ``latent_parts``.
        prior, posterior, decoder: how each of these parts codes.
    """

    def __init__(self, model: Model, prior: Coder, posterior: Coder, decoder: Coder):
        self.model = model
        self.prior, self.posterior, self.decoder = prior, posterior, decoder
        self.pops = posterior.most_bits + decoder.pops + prior.pops
        self.most_bits = prior.most_bits + decoder.most_bits
        self.most_rows = min(_BATCH, *(part.most_rows for part in (prior, posterior, decoder)))

    def push(self, stack: Stack, x: np.ndarray, context: Context, rows: int) -> None:
        """Puts the first ``rows`` of events on the stack, on which some bits must be."""
        given = _posterior_context(self.model, context, x)
        z = self.posterior.pop(stack, len(x), given, rows)
        self.decoder.push(stack, x, _decoder_context(self.model, context, z), rows)
        self.prior.push(stack, z, _prior_context(self.model, context), rows)

    def pop(self, stack: Stack, batch: int, context: Context, rows: int) -> np.ndarray:
        """Takes ``rows`` events off the stack, and puts back the bits that latents were made of."""
        z = self.prior.pop(stack, batch, _prior_context(self.model, context), rows)
        x = self.decoder.pop(stack, batch, _decoder_context(self.model, context, z), rows)
        self.posterior.push(stack, z, _posterior_context(self.model, context, x), rows)
        return x


@exact_program("batch")
def _normal(model: Model, context: Context, batch: int) -> tuple[Array, Array]:
    normal = model.as_normal(context)
    assert normal is not None  # asked before
    mean, log_scale = (jnp.broadcast_to(each, (batch, *model.event_shape)) for each in normal)
    return mean, log_scale


@exact_program()
def _prior_context(model: Model, context: Context) -> Context:
    return model.latent_parts(context).prior[1]


@exact_program()
def _posterior_context(model: Model, context: Context, x: Array) -> Context:
    return model.latent_parts(context).posterior(x)[1]


@exact_program()
def _decoder_context(model: Model, context: Context, z: Array) -> Context:
    return model.latent_parts(context).decoder(z)[1]
