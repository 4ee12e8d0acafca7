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
from typing import Any

from flax import nnx

from jaxgen.bijectors.bounded import Bounds
from jaxgen.conditionals import MADE
from jaxgen.core import Shape
from jaxgen.likelihoods import GaussianMixture
from jaxgen.models import Autoregressive, Flow
from jaxgen.zoo.maf import maf
from jaxgen.zoo.registry import constructor


@constructor
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
    bounds: Bounds = None,
    alpha: float = 1e-6,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A masked autoregressive flow whose base is a MADE with mixtures of Gaussians.

    Args:
        layers: autoregressive layers of the flow.
        components: Gaussians for each entry of the base.

    >>> import jax.numpy as jnp
    >>> flow = maf_mog((2,), layers=2, hidden=(16,), components=3, rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((4, 2))).shape
    (4,)
    """
    network: dict[str, Any] = {
        "hidden": hidden,
        "activation": activation,
        "dropout": dropout,
        "context_features": context_features,
    }
    flow = maf(
        event_shape,
        layers=layers,
        bound=bound,
        norm=norm,
        bounds=bounds,
        alpha=alpha,
        **network,
        rngs=rngs,
    )
    head = GaussianMixture(components)
    made = MADE(event_shape, head.num_params(()), **network, rngs=rngs)
    return Flow(flow.bijector, Autoregressive(made, head))
