r"""From integer levels to real numbers and back.

For integers ``x`` and noise ``u ~ q(u | x)`` on ``[0, 1)`` a density ``p`` on the reals bounds the
mass of the integers below, by Jensen's inequality (Theis et al. 2016; Ho et al. 2019):

.. math:: \log P(x) = \log \int_0^1 p(x + u)\, du
          \ge \mathbb{E}_{q}\left[\log p(x + u) - \log q(u | x)\right].
"""

import jax
import jax.numpy as jnp
from jax import Array


def uniform_noise(key: Array, shape: tuple[int, ...], dtype: jnp.dtype | None = None) -> Array:
    """Noise on ``[0, 1)``, whose log-density is 0: uniform dequantization."""
    return jax.random.uniform(key, shape, dtype or jnp.result_type(float))


def quantize(value: Array, levels: int) -> Array:
    """Real values to the integer levels ``0 .. levels - 1`` they fall into, as int32.

    A model puts a little mass outside ``[0, levels)``; those values go to the nearest level.

    >>> quantize(jnp.array([-0.3, 1.9, 4.2]), levels=4).tolist()
    [0, 1, 3]
    """
    return jnp.clip(jnp.floor(value), 0, levels - 1).astype(jnp.int32)
