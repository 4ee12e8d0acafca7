"""Encoders and decoders of the latent-variable models: the networks that all of them share."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from flax import nnx

from jaxgen.bijectors import Bijector
from jaxgen.core import Shape, check_event, unknown
from jaxgen.likelihoods import Likelihood, Normal
from jaxgen.models import VAE, Embedded, Factorized, Flow, Model, StandardNormal
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


def flow_posterior(
    networks: Networks,
    shape: Shape,
    latents: int,
    features: int,
    context: int,
    layers: Bijector,
    *,
    rngs: nnx.Rngs,
) -> Embedded:
    """``q(z | x)``: layers on a normal, both of which see features that a network has of the data.

    Args:
        networks, shape, latents, context: as of :func:`normal_posterior`.
        features: of the network.
        layers: a bijector of contexts ``(features,)``.
        rngs: where the initial weights come from.
    """
    # Not a zero layer: the features of a new encoder are zero, and two of them would stay so.
    linear = nnx.Linear(features, 2 * latents, rngs=rngs)
    base = Factorized(linear, Normal(), (latents,), context_shape=(features,))
    encoder = networks.encoder(shape, features, context, rngs=rngs)
    if not hasattr(encoder, "input_shape"):
        encoder = Flatten((math.prod(shape) + context,), encoder)
    return Embedded(Flow(layers, base), encoder)


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


def layered(
    name: str,
    event_shape: Shape,
    head: Likelihood,
    layer_sizes: Sequence[int],
    latent: Likelihood,
    top: Model | None,
    hidden: Sequence[Sequence[int]],
    activation: str,
    dropout: float,
    *,
    rngs: nnx.Rngs,
) -> VAE:
    """Layers of latents, each a VAE whose prior is the one above.

    Args:
        name: the constructor's.
        event_shape, head: of the data.
        layer_sizes: latents of each layer, listed from the data.
        latent: the distribution of one.
        top: the prior of the last layer.
        hidden: widths of the hidden layers of the networks below each layer.
        activation, dropout: of the networks.
        rngs: where the initial weights come from.

    Raises:
        ValueError: if not every layer has its hidden widths, or there is none.
    """
    if top is None or len(hidden) != len(layer_sizes):
        raise ValueError(
            f"{name}: expected a layer or more, and hidden widths below each, got layer_sizes="
            f"{tuple(layer_sizes)} and hidden={tuple(map(tuple, hidden))}"
        )
    shapes = [event_shape, *((size,) for size in layer_sizes)]
    heads = [head, *[latent] * (len(layer_sizes) - 1)]
    prior = top
    for index in reversed(range(len(layer_sizes))):
        below, size = shapes[index], layer_sizes[index]
        networks = Networks("mlp", hidden[index], (), 0, activation, dropout)
        encoder = networks.encoder(below, size * latent.num_params(()), 0, rngs=rngs)
        prior = VAE(
            prior,
            factorized_decoder(networks, size, below, heads[index], 0, rngs=rngs),
            Factorized(encoder, latent, (size,), context_shape=below),
        )
    assert isinstance(prior, VAE)  # of one layer or more
    return prior
