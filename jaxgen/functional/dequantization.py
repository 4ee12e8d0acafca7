r"""From integer levels to real numbers and back.

For integers ``x`` and noise ``u ~ q(u | x)`` on ``(0, 1)`` a density ``p`` on the reals bounds the
mass of the integers below, by Jensen's inequality (Theis et al. 2016; Ho et al. 2019):

.. math:: \log P(x) = \log \int_0^1 p(x + u)\, du
          \ge \mathbb{E}_{q}\left[\log p(x + u) - \log q(u | x)\right].
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def uniform_noise(key: Array, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
    """Noise on ``(0, 1)``, whose log-density is 0: uniform dequantization."""
    dtype = dtype or jnp.result_type(float)
    return jax.random.uniform(key, shape, dtype, minval=float(jnp.finfo(dtype).tiny))


def dequantize(x: Array, noise: Array) -> Array:
    """``x + noise`` inside the cell of ``x``, whatever rounding does: ``quantize`` undoes it.

    In float32 ``255 + u`` rounds to 256 for one ``u`` in 100,000, and 0 plus a noise that
    underflows stays 0; at these ends a logit is infinite.

    >>> value = dequantize(jnp.array([255, 0]), jnp.array([1.0, 0.0]))
    >>> quantize(value, 256).tolist(), bool(value[1] > 0)
    ([255, 0], True)
    """
    x = x.astype(noise.dtype)
    value = x + noise
    inside = jnp.clip(value, x + jnp.finfo(x.dtype).tiny, jnp.nextafter(x + 1.0, x))
    # The derivative with respect to the noise is 1, at the ends as well.
    return value + jax.lax.stop_gradient(inside - value)


def quantize(value: Array, levels: int) -> Array:
    """Real values to the integer levels ``0 .. levels - 1`` they fall into, as int32.

    A model puts a little mass outside ``[0, levels)``; those values go to the nearest level.

    >>> quantize(jnp.array([-0.3, 1.9, 4.2]), levels=4).tolist()
    [0, 1, 3]
    """
    return jnp.clip(jnp.floor(value), 0, levels - 1).astype(jnp.int32)
