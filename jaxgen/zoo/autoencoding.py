"""Encoders and decoders of the latent-variable models: the networks that all of them share."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from flax import nnx

from jaxgen.core import Shape, check_event, unknown
from jaxgen.likelihoods import Likelihood, Normal
from jaxgen.models import Factorized, Model, StandardNormal
from jaxgen.networks import MLP, ConvDecoder, ConvEncoder, Flatten, Joint, Spread
from jaxgen.zoo.registry import build, refuse_ignored

_KINDS = ("mlp", "conv")


class Networks(NamedTuple):
    """How the networks of an autoencoder are built, from the arguments of its constructor.

    Attributes:
        kind: ``"mlp"`` or ``"conv"``.
        hidden: widths of the hidden layers of a multilayer perceptron, of the encoder; those of the
            decoder are the other way round.
        widths, blocks: of a convolutional pyramid, see :class:`~jaxgen.networks.ConvEncoder`.
        activation: of the hidden layers; None for tanh of perceptrons and elu of convolutions.
        dropout: rate.
    """

    kind: str
    hidden: Sequence[int]
    widths: Sequence[int]
    blocks: int
    activation: str | None
    dropout: float

    def encoder(self, shape: Shape, out_features: int, context: int, *, rngs: nnx.Rngs) -> Any:
        """A network from events, and ``context`` features more, to vectors."""
        if self.kind == "mlp":
            size = math.prod(shape) + context
            mlp = self._mlp(size, out_features, self.hidden, rngs)
            return mlp if context or len(shape) == 1 else Flatten(shape, mlp)
        height, width, channels = shape
        options = self._of_convolutions()
        net = ConvEncoder((height, width, channels + context), out_features, **options, rngs=rngs)
        return net if not context else Joint(shape, context, Spread(net))

    def decoder(self, in_features: int, shape: Shape, per_entry: int, *, rngs: nnx.Rngs) -> Any:
        """A network from vectors to ``per_entry`` numbers for every entry of an event."""
        if self.kind == "mlp":
            size = math.prod(shape) * per_entry
            return self._mlp(in_features, size, tuple(reversed(self.hidden)), rngs)
        shape = (*shape[:2], shape[2] * per_entry)
        return ConvDecoder(in_features, shape, **self._of_convolutions(), rngs=rngs)

    def _mlp(self, size: int, out: int, hidden: Sequence[int], rngs: nnx.Rngs) -> MLP:
        activation, dropout = self.activation or "tanh", self.dropout
        return MLP(size, out, hidden=hidden, activation=activation, dropout=dropout, rngs=rngs)

    def _of_convolutions(self) -> dict[str, Any]:
        activation = self.activation or "elu"
        own = {"widths": self.widths, "blocks": self.blocks}
        return {**own, "activation": activation, "dropout": self.dropout}


def networks_of(
    name: str,
    event_shape: Shape,
    network: str,
    hidden: Sequence[int],
    widths: Sequence[int],
    blocks: int,
    activation: str | None,
    dropout: float,
) -> Networks:
    """The arguments of a constructor as :class:`Networks`, refused where they mean nothing.

    Raises:
        ValueError: for an unknown kind of network, or arguments of the other kind.
        ShapeError: if a convolutional network is asked for events that are no images.
    """
    if network not in _KINDS:
        raise unknown("network", network, _KINDS)
    if network == "conv":
        check_event(event_shape, (3,), name)
        refuse_ignored(name, "for network='conv'", hidden=hidden)
    else:
        refuse_ignored(name, "for network='mlp'", widths=widths, blocks=blocks)
    return Networks(network, hidden, widths, blocks, activation, dropout)


def normal_posterior(
    networks: Networks, shape: Shape, latents: int, context: int, *, rngs: nnx.Rngs
) -> Factorized:
    """``q(z | x)`` with independent normal entries, from a network of the data."""
    network = networks.encoder(shape, 2 * latents, context, rngs=rngs)
    seen = shape if not context else (math.prod(shape) + context,)
    return Factorized(network, Normal(), (latents,), context_shape=seen)


def factorized_decoder(
    networks: Networks,
    latents: int,
    shape: Shape,
    likelihood: Likelihood,
    context: int,
    *,
    rngs: nnx.Rngs,
) -> Factorized:
    """``p(x | z)`` with independent positions, from a network of the latents."""
    coupled = len(shape) == 3 and likelihood.num_params((2,)) != 2 * likelihood.num_params(())
    grid, position = (shape[:2], shape[2:]) if coupled else (shape, ())
    per_entry = likelihood.num_params(position) // math.prod(position)
    network = networks.decoder(latents + context, shape, per_entry, rngs=rngs)
    seen = (latents + context,)
    return Factorized(network, likelihood, grid, position, context_shape=seen)


def prior_of(
    latents: int, prior: str | None, prior_args: dict[str, Any] | None, *, rngs: nnx.Rngs
) -> Model:
    """A model of the zoo by name, or a standard normal."""
    if prior is None:
        return StandardNormal((latents,))
    return build(prior, (latents,), prior_args or {}, rngs=rngs)
