r"""MAF-MoG: a masked autoregressive flow on an autoregressive base (Papamakarios et al., 2017).

The latent of MAF is not a standard normal but a MADE with mixtures of Gaussians as conditionals
(section 3.3 of the paper): with the flow's inverse ``z = f^{-1}(x)``,

.. math:: \log p(x) = \sum_i \log \sum_k w_{ik}\, N\left(z_i; \mu_{ik}, \sigma_{ik}^2\right) +
          \log\left|\det \frac{\partial z}{\partial x}\right|,

with all of ``w, mu, sigma`` functions of ``z_{<i}``.

Deviations: those of :func:`~jaxgen.zoo.maf`; the means of the components start spread out
(:class:`~jaxgen.likelihoods.GaussianMixture`).
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.core import Shape
from jaxgen.models import Flow
from jaxgen.zoo.made import made
from jaxgen.zoo.maf import autoregressive_layers
from jaxgen.zoo.preprocessing import flow_on


def maf_mog(
    event_shape: Shape,
    *,
    layers: int = 5,
    hidden: Sequence[int] = (512, 512),
    components: int = 10,
    activation: str = "relu",
    bound: float | None = 3.0,
    norm: str | None = "actnorm",
    dropout: float = 0.0,
    bounds: tuple[float, float] | None = None,
    alpha: float = 1e-6,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A masked autoregressive flow whose base is a MADE with mixtures of Gaussians.

    Args:
        event_shape: the event's shape; every entry is a position of the chain.
        layers: autoregressive layers of the flow.
        hidden: widths of the hidden layers of each MADE, the base's included.
        components: Gaussians for each entry of the base.
        activation: of the hidden layers.
        bound: soft bound of the flow's log-scales; None for none.
        norm: between the layers: ``"actnorm"``, ``"batchnorm"``, or None for none.
        dropout: rate in the hidden layers while training.
        bounds: the interval of bounded data, mapped to the real line by a logit; None for none.
        alpha: the logit's margin.
        context_features: the size of a context vector; None for an unconditional model.
        rngs: where the initial weights come from.

    >>> import jax.numpy as jnp
    >>> flow = maf_mog((2,), layers=2, hidden=(16,), components=3, rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((4, 2))).shape
    (4,)
    """
    scan = autoregressive_layers(
        event_shape,
        layers=layers,
        hidden=hidden,
        activation=activation,
        bound=bound,
        norm=norm,
        dropout=dropout,
        context_features=context_features,
        rngs=rngs,
    )
    base = made(
        event_shape,
        levels=None,
        components=components,
        hidden=hidden,
        activation=activation,
        direct=False,
        dropout=dropout,
        context_features=context_features,
        rngs=rngs,
    )
    return flow_on(event_shape, [scan], bounds, alpha, base)
