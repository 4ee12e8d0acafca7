"""Encoders and decoders of the latent-variable models: the networks that all of them share."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flax import nnx

from jaxgen.bijectors import Bijector
from jaxgen.core import Shape, check_event, unknown
from jaxgen.likelihoods import Likelihood, Normal
from jaxgen.models import VAE, Embedded, Factorized, Flow, Model, StandardNormal
from jaxgen.networks import MLP, ConvDecoder, ConvEncoder, Flatten, Joint
from jaxgen.zoo.registry import build, hyperparameters, refuse_ignored

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
            return Flatten((size,) if context else shape, mlp)
        options = {**self._of_convolutions(), "context_features": context or None}
        net = ConvEncoder(shape, out_features, **options, rngs=rngs)
        return Joint(shape, context, net) if context else net

    def decoder(self, in_features: int, grid: Shape, features: int, *, rngs: nnx.Rngs) -> Any:
        """A network from vectors to so many features at every position of a grid."""
        if self.kind == "mlp":
            size = math.prod(grid) * features
            return self._mlp(in_features, size, tuple(reversed(self.hidden)), rngs)
        shape = (*grid, features)
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
    return factorized_posterior(networks, shape, latents, Normal(), context, rngs=rngs)


def factorized_posterior(
    networks: Networks,
    shape: Shape,
    latents: int,
    likelihood: Likelihood,
    context: int,
    *,
    rngs: nnx.Rngs,
) -> Factorized:
    """``q(z | x)`` with independent entries, from a network of the data."""
    network = networks.encoder(shape, latents * likelihood.num_params(()), context, rngs=rngs)
    seen = shape if not context else (math.prod(shape) + context,)
    return Factorized(network, likelihood, (latents,), context_shape=seen)


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
    return Embedded(Flow(layers, base), networks.encoder(shape, features, context, rngs=rngs))


def factorized_decoder(
    networks: Networks,
    latents: int,
    shape: Shape,
    likelihood: Likelihood,
    context: int,
    *,
    rngs: nnx.Rngs,
) -> Factorized:
    """``p(x | z)`` with independent positions, from a network of the latents.

    A position of an image is a pixel, whose channels the likelihood may couple.
    """
    grid, position = (shape[:-1], shape[-1:]) if len(shape) == 3 else (shape, ())
    seen, features = latents + context, likelihood.num_params(position)
    network = networks.decoder(seen, grid, features, rngs=rngs)
    return Factorized(network, likelihood, grid, position, context_shape=(seen,))


def autoencoder(
    networks: Networks,
    shape: Shape,
    likelihood: Likelihood,
    prior: Model,
    posterior: Model,
    context: int = 0,
    *,
    rngs: nnx.Rngs,
) -> VAE:
    """A VAE with the factorised decoder of these networks.

    Args:
        networks: of the decoder.
        shape, likelihood: of the data.
        prior, posterior: of latents that are a vector.
        context: features of a further context.
        rngs: where the decoder's initial weights come from.
    """
    (latents,) = prior.event_shape
    decoder = factorized_decoder(networks, latents, shape, likelihood, context, rngs=rngs)
    return VAE(prior, decoder, posterior, context_features=context or None)


def prior_of(
    latents: int, prior: str | None, prior_args: dict[str, Any] | None, *, rngs: nnx.Rngs
) -> Model:
    """A model of the zoo by name, or a standard normal."""
    if prior is None:
        return StandardNormal((latents,))
    real = {"levels": None} if "levels" in hyperparameters(prior) else {}
    return build(prior, (latents,), {**real, **(prior_args or {})}, rngs=rngs)


def layered(
    name: str,
    event_shape: Shape,
    head: Likelihood,
    layer_sizes: Sequence[int],
    latent: Likelihood,
    top: Callable[[int], Model],
    hidden: Sequence[Sequence[int]],
    activation: str,
    dropout: float,
    context_features: int | None,
    *,
    rngs: nnx.Rngs,
) -> VAE:
    """Layers of latents, each a VAE whose prior is the one above.

    Args:
        name: the constructor's.
        event_shape, head: of the data.
        layer_sizes: latents of each layer, listed from the data.
        latent: the distribution of one.
        top: makes the prior of the last layer, of its size.
        hidden: widths of the hidden layers of the networks below each layer.
        activation, dropout: of the networks.
        context_features: the size of a further context, which all of them see; None for none.
        rngs: where the initial weights come from.

    Raises:
        ValueError: if not every layer has its hidden widths, or there is none.
    """
    if not layer_sizes or len(hidden) != len(layer_sizes):
        raise ValueError(
            f"{name}: expected a layer or more, and hidden widths below each, got layer_sizes="
            f"{tuple(layer_sizes)} and hidden={tuple(map(tuple, hidden))}"
        )
    shapes = [event_shape, *((size,) for size in layer_sizes)]
    heads = [head, *[latent] * (len(layer_sizes) - 1)]
    prior, more = top(layer_sizes[-1]), context_features or 0
    for index in reversed(range(len(layer_sizes))):
        below, size = shapes[index], layer_sizes[index]
        networks = Networks("mlp", hidden[index], (), 0, activation, dropout)
        posterior = factorized_posterior(networks, below, size, latent, more, rngs=rngs)
        prior = autoencoder(networks, below, heads[index], prior, posterior, more, rngs=rngs)
    assert isinstance(prior, VAE)  # of one layer or more
    return prior
