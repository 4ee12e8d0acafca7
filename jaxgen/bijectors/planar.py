r"""Planar flows (Rezende and Mohamed, 2015, *Variational Inference with Normalizing Flows*).

.. math:: x = z + \hat u \tanh(w^\top z + b), \qquad
          \log\left|\det \frac{\partial x}{\partial z}\right| =
          \log\left(1 + w^\top \hat u \left(1 - \tanh^2(w^\top z + b)\right)\right).

It is invertible where :math:`w^\top \hat u > -1`, which the appendix of the paper gets from a free
:math:`u` by changing its part along :math:`w`, for which :math:`w^\top \hat u =
\log(1 + e^{w^\top u}) - 1`.

Deviations: :math:`u` is counted from where :math:`\hat u = 0`, so that a small one is a map near
the identity: the paper's is :math:`u + \log(e - 1)\, w / \|w\|^2`. The paper has no use for the
inverse, which is numerical here, and exact to rounding.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.bijectors.amortized import Amortized
from jaxgen.bijectors.base import Bijector
from jaxgen.core import Context, Shape, check_event, checked_arguments, program
from jaxgen.functional.sylvester import planar_forward, planar_inverse


class Planar(Bijector):
    r"""``x = z + u_hat tanh(w.z + b)``: moves every point along one direction.

    :math:`\log|\det \partial x/\partial z| = \log(1 + w^\top \hat u \tanh'(w^\top z + b))`. Forward
    is closed form, inverse solves for the one number :math:`w^\top z`.

    With ``context_features`` each context has a flow of its own, as the posterior of a variational
    autoencoder needs it: what is added to ``w``, ``u`` and ``b`` is linear in the context. Many in
    a row, by :class:`~jaxgen.bijectors.Scan`, are the paper's flow. It starts near the identity.

    Args:
        event_shape: the event's shape, ``(D,)``.
        context_features: the size of a context vector; None for none.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if events are no vectors.

    >>> planar = Planar((3,), context_features=2, rngs=nnx.Rngs(0))
    >>> x = planar.forward(jnp.ones((5, 3)), jnp.zeros((5, 2)))
    >>> bool(jnp.allclose(planar.inverse(x, jnp.zeros((5, 2))), 1.0, atol=1e-5))
    True
    """

    @checked_arguments
    def __init__(self, event_shape: Shape, *, context_features: int | None = None, rngs: nnx.Rngs):
        self.event_shape = check_event(event_shape, (1,), "Planar")
        self.context_shape = None if context_features is None else (context_features,)
        w = jax.random.normal(rngs.params(), self.event_shape) / math.sqrt(self.event_shape[0])
        # Not zero, where w and b had no gradient.
        u = 0.01 * jax.random.normal(rngs.params(), self.event_shape)
        self.w = Amortized(w, context_features, rngs=rngs)
        self.u = Amortized(u, context_features, rngs=rngs)
        self.b = Amortized(jnp.zeros(()), context_features, rngs=rngs)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return planar_forward(z, self.w(context), self.u(context), self.b(context))

    @program()
    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return planar_inverse(x, self.w(context), self.u(context), self.b(context))
