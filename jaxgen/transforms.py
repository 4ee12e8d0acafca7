r"""Floor 3: the elementwise families that a flow's network parametrises.

A transform acts on the values at the positions of a grid, ``(*batch, *grid, *position)``, with
parameters ``(*batch, *grid, num_params)``. A position is a scalar, or a vector of channels, each of
which has its own parameters.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Shape, ShapeError, check_params, checked_arguments, unknown, unpack_params
from jaxgen.functional import elementwise, mixture_cdf, splines
from jaxgen.functional.logistic import softplus


class Transform(nnx.Pytree):
    """An elementwise bijection with parameters from outside; holds no arrays itself.

    A subclass sets ``params_per_value`` and defines ``forward`` and ``inverse``. All-zero
    parameters must give the identity, so that a flow whose networks end in a zero layer starts as
    the identity.
    """

    params_per_value: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in (("forward", "z"), ("inverse", "x")):
            if name in cls.__dict__:
                setattr(cls, name, _checked(cls.__dict__[name], value))

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


def _checked(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Wraps a direction of a subclass with the checks that all share."""

    @functools.wraps(method)
    def checked(self: Transform, value: Array, params: Array) -> tuple[Array, Array]:
        where = f"{type(self).__name__}.{method.__name__}"
        value, params = check_params(value, params, self.num_params, where, name)
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise ShapeError(f"{where}: expected real values for {name}, got {value.dtype}")
        return method(self, jnp.asarray(value), jnp.asarray(params))

    return checked


class Affine(Transform):
    """``x = z exp(s) + t`` (RealNVP, MAF, Glow), with ``s`` bounded or free.

    Args:
        bound: ``s = bound tanh(raw / bound)``, so that no scale leaves ``exp(±bound)``; None takes
            ``s = raw``. Bounded scales cost little and keep deep flows from overflowing.
        scale: ``"exp"`` as above; ``"sigmoid"`` (Jet) takes ``z = (x - t) 2 sigmoid(raw)``, that is
            ``s = -log(2 sigmoid(raw))``, with ``raw`` bounded as ``s`` is above: seen from the
            data, nothing is stretched to more than twice its size.

    Raises:
        ValueError: for an unknown ``scale``.

    >>> x, log_det = Affine().forward(jnp.ones(3), jnp.zeros((3, 2)))
    >>> x.tolist(), log_det.tolist()
    ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """

    params_per_value = 2

    @checked_arguments
    def __init__(self, bound: float | None = 3.0, scale: str = "exp"):
        if scale not in ("exp", "sigmoid"):
            raise unknown("scale", scale, ("exp", "sigmoid"))
        self.bound = bound
        self.scale = scale

    def _shift_and_log_scale(self, value: Array, params: Array) -> tuple[Array, Array]:
        shift, raw = self.unpack(value, params)
        raw = raw if self.bound is None else elementwise.soft_clamp(raw, self.bound)
        return shift, raw if self.scale == "exp" else softplus(-raw) - math.log(2.0)

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


class MixtureCDF(Transform):
    r"""``z = exp(a) logit F(x) + b`` with ``F`` the CDF of a mixture of logistics (Flow++).

    The density is the cheap direction; sampling solves for ``x`` numerically, to a residual of
    about 1e-14 in float64 and 1e-5 in float32, with gradients by implicit differentiation
    (:func:`~jaxgen.functional.mixture_cdf.logistic_mixture_quantile`). ``Inverse`` of a coupling
    exchanges the two.

    All-zero parameters are ``K`` equal standard logistics, whose ``logit F(x)`` is ``x``: the
    identity, to rounding. Equal components get equal gradients, and would stay equal for ever; so
    the means and log-scales of component ``k`` are the network's numbers times a fixed gain of its
    own, ``2^{(2k + 1)/K - 1}``, in ascending order for the means and in descending order for the
    log-scales. So the first update tells the components apart, even one of Adam's, whose size does
    not depend on the gradient's: unequal fixed weights would not do. Flow++ starts from small
    random numbers instead, which is no identity and separates them no faster.

    Args:
        components: ``K``, 32 in the paper.
        bound: the log-scales and ``a`` are bounded softly, as in :class:`Affine`; None for free.

    Raises:
        ValueError: if there is no component.

    >>> z, _ = MixtureCDF(3).inverse(jnp.array([0.5, -2.0]), jnp.zeros((2, 11)))
    >>> z.round(5).tolist()
    [0.5, -2.0]
    """

    @checked_arguments
    def __init__(self, components: int = 8, bound: float | None = 5.0):
        self.components = components
        self.bound = bound
        self.params_per_value = 3 * components + 2

    def _unpack(self, value: Array, params: Array) -> tuple[Array, Array, Array, Array, Array]:
        params = self.unpack(value, params)
        shift, log_scale = params[0], params[1]
        logits, means, log_scales = jnp.split(params[2:], 3)
        exponents = (2.0 * np.arange(self.components) + 1.0) / self.components - 1.0
        gains = jnp.asarray(2.0**exponents, params.dtype)
        gains = gains.reshape(-1, *(1,) * (params.ndim - 1))
        means, log_scales = means * gains, log_scales * gains[::-1]
        if self.bound is not None:
            log_scale = elementwise.soft_clamp(log_scale, self.bound)
            log_scales = elementwise.soft_clamp(log_scales, self.bound)
        return shift, log_scale, logits, means, log_scales

    def forward(self, z: Array, params: Array) -> tuple[Array, Array]:
        return mixture_cdf.mixture_cdf_forward(z, *self._unpack(z, params))

    def inverse(self, x: Array, params: Array) -> tuple[Array, Array]:
        return mixture_cdf.mixture_cdf_inverse(x, *self._unpack(x, params))


class RationalQuadraticSpline(Transform):
    """``x = f(z)`` with ``f`` a monotonic rational-quadratic spline (neural spline flows).

    Both directions are exact and cost the same; see :mod:`jaxgen.functional.splines` for the
    equations. A value has ``3 bins - 1`` parameters: the bins' widths and heights, and the slopes
    at the knots between them. Outside ``[-bound, bound]`` the map is the identity, so data should
    be scaled into it, by an :class:`~jaxgen.bijectors.ActNorm` say. A circular spline has
    ``3 bins`` parameters, one slope more for the point where the interval closes, and repeats with
    the period ``2 bound``: for angles, which come out inside the interval if they went in there.

    Args:
        bins: how many pieces the spline has.
        bound: it lives on ``[-bound, bound]``.
        circular: whether the ends of the interval are one point.
        min_bin_width, min_bin_height: the least size of a bin, as a fraction of the interval.
        min_derivative: the least slope at a knot.

    Raises:
        ValueError: if a number is out of its range.

    >>> spline = RationalQuadraticSpline(bins=4)
    >>> x, log_derivative = spline.forward(jnp.array([0.5, 7.0]), jnp.zeros((2, 11)))
    >>> x.tolist(), log_derivative.tolist()
    ([0.5, 7.0], [0.0, 0.0])
    """

    @checked_arguments
    def __init__(
        self,
        bins: int = 8,
        bound: float = 3.0,
        circular: bool = False,
        min_bin_width: float = 1e-3,
        min_bin_height: float = 1e-3,
        min_derivative: float = 1e-3,
    ):
        if bins < 2:
            raise ValueError(f"RationalQuadraticSpline: expected at least 2 bins, got {bins}")
        for name, size in (("min_bin_width", min_bin_width), ("min_bin_height", min_bin_height)):
            # In float32 the ends of a smaller bin could be one number.
            if not 1e-5 <= size < 1 / bins:
                raise ValueError(
                    f"RationalQuadraticSpline: expected {name} from 1e-5 to less than 1 / bins = "
                    f"{1 / bins:g}, got {size}"
                )
        if not 0 < min_derivative < 1:
            raise ValueError(
                f"RationalQuadraticSpline: expected min_derivative between 0 and 1, got "
                f"{min_derivative}"
            )
        self.bins = bins
        self.params_per_value = splines.num_params(bins, circular)
        self.options = splines.Options(
            bound, circular, min_bin_width, min_bin_height, min_derivative
        )

    def forward(self, z: Array, params: Array) -> tuple[Array, Array]:
        return self._apply(splines.rational_quadratic, z, params)

    def inverse(self, x: Array, params: Array) -> tuple[Array, Array]:
        return self._apply(splines.rational_quadratic_inverse, x, params)

    def _apply(
        self,
        direction: Callable[[Array, Array, splines.Options], tuple[Array, Array]],
        value: Array,
        params: Array,
    ) -> tuple[Array, Array]:
        # Left on the last axis, where the network puts them: see the module of the spline.
        params = unpack_params(params, value.shape[params.ndim - 1 :], self.params_per_value)
        return direction(value, params, self.options)
