"""A flow as a model of integer levels."""

import math
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import check_levels, replace
from jaxgen.functional import dequantization
from jaxgen.models.base import Model


class Dequantized(Model):
    r"""Integers ``x`` in ``0 .. levels - 1``, modelled by a density on ``[0, levels)``.

    The mass of ``x`` is the density's integral over ``x + [0, 1)``, which uniform noise bounds:

    .. math:: \log P(x) = \log \int p(x + u)\, du \ge \mathbb{E}_u[\log p(x + u)].

    It is many-to-one, hence a model and not a bijector. Scaling and logit belong into the flow as
    bijectors, so that bits per dimension are always counted per level.

    Args:
        flow: a density over real events on the scale of the levels, with an exact likelihood.
        levels: how many levels there are: 256 for 8-bit images.

    >>> from jaxgen.bijectors import Standardize
    >>> from jaxgen.models import Flow
    >>> model = Dequantized(Flow(Standardize((2,), mean=2.0)), levels=4)
    >>> model.elbo(jnp.array([[0, 3]]), jax.random.key(0)).shape
    (1,)
    """

    exactness = "lower_bound"
    levels: int

    def __init__(self, flow: Model, levels: int):
        if flow.exactness != "exact":
            raise TypeError(
                f"Dequantized: expected a model with an exact likelihood, got {flow.exactness}"
            )
        self.flow = flow
        self.levels = levels
        self.event_shape = flow.event_shape
        self.context_shape = flow.context_shape

    def log_prob(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> Array:
        raise TypeError(
            "Dequantized has no exact log_prob: the mass of a level is an integral. Use "
            "elbo(x, key), a lower bound, or importance_log_prob(x, key, num_samples)"
        )

    def elbo(
        self,
        x: Array,
        key: Array,
        context: Array | None = None,
        *,
        dropout_key: Array | None = None,
    ) -> Array:
        """``log p(x + u)`` with one draw of noise: a lower bound in expectation, in nats."""
        x, context = self._events(x, context, "elbo")
        check_levels(x, self.levels, "Dequantized.elbo")
        noise = dequantization.uniform_noise(key, x.shape)
        return self.flow.log_prob(x + noise, context, key=dropout_key)

    def importance_log_prob(
        self, x: Array, key: Array, num_samples: int, context: Array | None = None
    ) -> Array:
        r"""``log (1/K) sum_k p(x + u_k)``: a bound that tightens to ``log P(x)`` as K grows.

        The samples are streamed: memory does not grow with ``num_samples``. Returns ``(*batch,)``.
        """
        if num_samples < 1:
            raise ValueError(f"importance_log_prob: expected num_samples >= 1, got {num_samples}")
        x, context = self._events(x, context, "importance_log_prob")

        def body(total: Array, sample_key: Array) -> tuple[Array, None]:
            return jnp.logaddexp(total, self.elbo(x, sample_key, context)), None

        keys = jax.random.split(key, num_samples)
        first = self.elbo(x, keys[0], context)
        total, _ = jax.lax.scan(body, first, keys[1:])
        return total - math.log(num_samples)

    def sample(
        self,
        key: Array,
        num_samples: int,
        context: Array | None = None,
        *,
        method: str = "auto",
    ) -> Array:
        value = self.flow.sample(key, num_samples, context, method=method)
        return dequantization.quantize(value, self.levels)

    def initialize(self, x: Array, key: Array, context: Array | None = None) -> Self:
        x, context = self._events(x, context, "initialize")
        noise_key, flow_key = jax.random.split(key)
        noise = dequantization.uniform_noise(noise_key, x.shape)
        return replace(self, flow=self.flow.initialize(x + noise, flow_key, context))

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        check_levels(x, self.levels, "Dequantized")
