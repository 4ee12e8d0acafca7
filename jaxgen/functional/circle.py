r"""Angles: turns of a circle, and the von Mises distribution on it.

The von Mises distribution is the normal's kin on a circle of circumference :math:`2\pi`,

.. math:: \log p(x) = \kappa (\cos(x - \mu) - 1) - \log\left(2\pi e^{-\kappa} I_0(\kappa)\right),

uniform for :math:`\kappa = 0` and nearly ``N(mu, 1 / kappa)`` for a large one. Samples come from
wrapped Cauchy proposals (Best and Fisher, 1979), of which between 2/3 and all are accepted.

Deviations: the formulas are rearranged so that nothing cancels: single precision does for any
:math:`\kappa`.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

_TURN = 2.0 * math.pi


def wrap(x: Array) -> Array:
    """Angles as those in ``[-pi, pi]`` that are the same point of the circle, the derivative 1.

    >>> wrap(jnp.array([0.5, 4.0, -4.0])).round(4).tolist()
    [0.5, -2.2832000255584717, 2.2832000255584717]
    """
    inside = jnp.abs(x) <= math.pi  # which stay as they are, to the bit
    turned = x - _TURN * jnp.floor((x + math.pi) / _TURN)
    return jnp.where(inside, x, jnp.clip(turned, -math.pi, math.pi))


def von_mises_log_prob(value: Array, location: Array, concentration: Array) -> Array:
    """The log-density of angles, of period 2 pi; over a turn it integrates to 1.

    >>> round(float(von_mises_log_prob(jnp.array(9.0), 0.0, 0.0)), 4)  # log of 1 / (2 pi)
    -1.8379
    """
    away = jnp.sin((value - location) / 2.0)
    normaliser = jnp.log(jax.scipy.special.i0e(concentration)) + math.log(_TURN)
    return -2.0 * concentration * away**2 - normaliser


def von_mises_sample(key: Array, location: Array, concentration: Array) -> Array:
    """Angles in ``[-pi, pi]``, one for each location; their derivatives in it are 1.

    They have none in the concentration: which proposal is accepted depends on it.

    Args:
        key: random key.
        location, concentration: arrays of one shape.
    """
    # Less is a uniform angle, and more, of which the square is no number, one of no deviation.
    most = float(jnp.finfo(concentration.dtype).max) ** 0.5 / 4.0
    kappa = jax.lax.stop_gradient(jnp.clip(concentration, 1e-6, most))
    # r = (1 + rho^2) / (2 rho) of Best and Fisher, and what it is above 1.
    root = jnp.sqrt(1.0 + 4.0 * kappa**2)
    double = jnp.sqrt(2.0 * (1.0 + root))
    rho = 2.0 * kappa / (1.0 + root + double)
    one_less_rho = (1.0 + 1.0 / (root + 2.0 * kappa) + double) / (1.0 + root + double)
    excess = one_less_rho**2 / (2.0 * rho)

    def propose(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, angle, accepted = state
        key, one, two = jax.random.split(key, 3)
        # A half of the turn of a uniform angle; its sign is the sign of the sample.
        half = jax.random.uniform(one, kappa.shape, kappa.dtype, -math.pi / 2, math.pi / 2)
        uniform = jax.random.uniform(two, kappa.shape, kappa.dtype, jnp.finfo(kappa.dtype).tiny)
        sine, cosine = jnp.sin(half) ** 2, jnp.cos(half) ** 2
        share = excess * sine / (excess + 2.0 * cosine)  # (1 - cos angle) / 2
        new = 2.0 * jnp.sign(half) * jnp.arcsin(jnp.sqrt(jnp.minimum(share, 1.0)))
        c = kappa * (excess + 2.0 * share)
        bad = jnp.log(c / uniform) + 1.0 - c < 0.0  # which NaN is not, or it would go on for ever
        return key, jnp.where(accepted, angle, new), accepted | ~bad

    start = key, jnp.zeros_like(kappa), jnp.zeros(kappa.shape, bool)
    angle = jax.lax.while_loop(lambda state: ~jnp.all(state[2]), propose, start)[1]
    return wrap(location + jax.lax.stop_gradient(angle))
