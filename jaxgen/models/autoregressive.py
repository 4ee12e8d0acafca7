"""Autoregressive models: the chain rule over a conditional and a likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import ShapeError, float_dtype
from jaxgen.likelihoods import Likelihood
from jaxgen.models.base import Model


class Autoregressive(Model):
    r"""``p(x) = prod_t p(x_{o_t} | x_{o_1}, ..., x_{o_{t-1}})``, exact by the chain rule.

    .. math:: \log p(x) = \sum_{t} \log p\left(x_{o_t} \mid \theta_{o_t}(x_{o_{<t}})\right)

    with the parameters :math:`\theta` from a conditional and the distribution from a likelihood,
    chosen independently.

    Args:
        conditional: the network; it must give ``likelihood.num_params`` numbers for a position.
        likelihood: the distribution at each position.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> from jaxgen.likelihoods import Bernoulli
    >>> model = Autoregressive(MADE((3,), 1, hidden=(8,), rngs=nnx.Rngs(0)), Bernoulli())
    >>> round(float(model.log_prob(jnp.array([0, 1, 1]))), 4)  # three fair coins at first
    -2.0794
    """

    def __init__(self, conditional: Conditional, likelihood: Likelihood):
        expected = likelihood.num_params(conditional.position_shape)
        if conditional.num_params != expected:
            raise ShapeError(
                f"Autoregressive: {type(likelihood).__name__} needs {expected} parameters for a "
                f"position of shape {conditional.position_shape}, {type(conditional).__name__} "
                f"gives {conditional.num_params}"
            )
        self.conditional = conditional
        self.likelihood = likelihood
        self.event_shape = conditional.event_shape
        self.context_shape = conditional.context_shape
        self.levels = likelihood.levels

    def log_prob(
        self,
        x: Array,
        context: Array | None = None,
        *,
        order: Array | None = None,
        key: Array | None = None,
    ) -> Array:
        """As :meth:`Model.log_prob`; ``order`` is the generation order, raster if None."""
        x, context = self._events(x, context, "log_prob")
        self.likelihood.check(x)
        params = self.conditional(self.likelihood.encode(x), context, order, key=key)
        log_prob = self.likelihood.log_prob(x, params.astype(float_dtype(params.dtype)))
        grid = len(self.conditional.grid_shape)
        return jnp.sum(log_prob, tuple(range(log_prob.ndim - grid, log_prob.ndim)))

    def sample(
        self,
        key: Array,
        num_samples: int,
        context: Array | None = None,
        *,
        order: Array | None = None,
        method: str = "auto",
        temperature: float | Array = 1.0,
        top_p: float | Array = 1.0,
    ) -> Array:
        """As :meth:`Model.sample`. The noise of a position depends on the key and the position
        alone, so every ``method`` returns the same samples.

        ``top_p`` keeps, at every position, the most likely levels that together have this
        probability or more (nucleus sampling), after the temperature; 1 keeps all.
        """
        batch = self._sample_batch(num_samples, context, method)
        temperature, top_p = self._temperature(temperature), self._top_p(top_p)
        context = self._context(context, batch, "Autoregressive.sample")
        network = self.conditional
        positions = network.resolve_order(order)
        shape = (*batch, *network.position_shape)
        tempered = not all(isinstance(t, float) and t == 1.0 for t in (temperature, top_p))

        def emit(t: Array, params: Array) -> tuple[Array, Array]:
            noise = self.likelihood.noise(
                jax.random.fold_in(key, positions[t]), shape, float_dtype(params.dtype)
            )
            if tempered:
                params = self.likelihood.temper(params, network.position_shape, temperature, top_p)
            value = self.likelihood.sample(params, noise, network.position_shape)
            return self.likelihood.encode(value), value

        return network.generate(emit, batch, context, order, method=method)

    def _top_p(self, top_p: float | Array) -> float | Array:
        """The checked probability of the nucleus, as a Python number where it is known."""
        if isinstance(top_p, jax.core.Tracer):
            return top_p
        if not 0.0 < float(top_p) <= 1.0:
            raise ValueError(
                f"{type(self).__name__}.sample: expected 0 < top_p <= 1, got {top_p!r}"
            )
        return float(top_p)

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        self.likelihood.check(x)
