"""Floor 0: pure functions of arrays.

Nothing here keeps a parameter, imports Flax or jits itself; everything is safe under
``jax.jit``, ``jax.vmap`` and ``jax.grad``.
"""

from jaxgen.functional import (
    autoregressive,
    circle,
    companding,
    counts,
    coupling,
    dequantization,
    elementwise,
    half_line,
    likelihoods,
    linear,
    masks,
    mixture_cdf,
    ordinal,
    rearrange,
    roots,
    splines,
    statistics,
    support,
    sylvester,
)

__all__ = [
    "autoregressive",
    "circle",
    "companding",
    "counts",
    "coupling",
    "dequantization",
    "elementwise",
    "half_line",
    "likelihoods",
    "linear",
    "masks",
    "mixture_cdf",
    "ordinal",
    "rearrange",
    "roots",
    "splines",
    "statistics",
    "support",
    "sylvester",
]
