r"""Floor 3: the elementwise families that a flow's network parametrises.

A transform acts on the values at the positions of a grid, ``(*batch, *grid, *position)``, with
parameters ``(*batch, *grid, num_params)``. A position is a scalar, or a vector of channels, each of
which has its own parameters.
"""

import math

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Shape, unpack_params
from jaxgen.functional import elementwise


class Transform(nnx.Pytree):
    """An elementwise bijection with parameters from outside; holds no arrays itself.

    A subclass sets ``params_per_value`` and defines ``forward`` and ``inverse``. All-zero
    parameters must give the identity, so that a flow whose networks end in a zero layer starts as
    the identity.
    """

    params_per_value: int

    def num_params(self, position_shape: Shape) -> int:
        """How many numbers a network has to give for one position."""
        return self.params_per_value * math.prod(position_shape)

    def unpack(self, value: Array, params: Array) -> Array:
        """The parameters of each entry of ``value``: ``(params_per_value, *value.shape)``."""
        params = unpack_params(params, value.shape[params.ndim - 1 :], self.params_per_value)
        return jnp.moveaxis(params, -1, 0)

    def forward(self, z: Array, params: Array) -> tuple[Array, Array]:
        """``x = T(z; params)`` and ``log|dx/dz|``, both of the shape of ``z``."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def inverse(self, x: Array, params: Array) -> tuple[Array, Array]:
        """``z = T^{-1}(x; params)`` and ``log|dz/dx|``, both of the shape of ``x``."""
        raise NotImplementedError(f"{type(self).__name__} defines no inverse")


class Affine(Transform):
    """``x = z exp(s) + t`` (RealNVP, MAF, Glow), with ``s`` bounded or free.

    Args:
        bound: ``s = bound tanh(raw / bound)``, so that no scale leaves ``exp(±bound)``; None takes
            ``s = raw``. Bounded scales cost little and keep deep flows from overflowing.

    >>> x, log_det = Affine().forward(jnp.ones(3), jnp.zeros((3, 2)))
    >>> x.tolist(), log_det.tolist()
    ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """

    params_per_value = 2

    def __init__(self, bound: float | None = 3.0):
        self.bound = bound

    def _shift_and_log_scale(self, value: Array, params: Array) -> tuple[Array, Array]:
        shift, raw = self.unpack(value, params)
        return shift, raw if self.bound is None else elementwise.soft_clamp(raw, self.bound)

    def forward(self, z: Array, params: Array) -> tuple[Array, Array]:
        return elementwise.affine_forward(z, *self._shift_and_log_scale(z, params))

    def inverse(self, x: Array, params: Array) -> tuple[Array, Array]:
        return elementwise.affine_inverse(x, *self._shift_and_log_scale(x, params))


class Additive(Transform):
    """``x = z + t`` (NICE): volume preserving.

    >>> Additive().forward(jnp.ones(2), jnp.ones((2, 1)))[0].tolist()
    [2.0, 2.0]
    """

    params_per_value = 1

    def forward(self, z: Array, params: Array) -> tuple[Array, Array]:
        return elementwise.additive_forward(z, self.unpack(z, params)[0])

    def inverse(self, x: Array, params: Array) -> tuple[Array, Array]:
        return elementwise.additive_inverse(x, self.unpack(x, params)[0])
