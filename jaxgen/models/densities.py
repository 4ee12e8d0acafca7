r"""Base densities for flows, fixed and learned.

Any model of real values can be a base, a :class:`~jaxgen.models.Mixture` of normals for one, or a
:class:`~jaxgen.models.VAE`; these are the usual simple ones. With entries ``i`` of the event:

===========================  =======================================================================
:class:`Uniform`             the same density everywhere in a box; nothing is learned
:class:`StandardNormal`      ``N(0, 1)`` for every entry; nothing is learned
:class:`Logistic`            the standard logistic (NICE, Dinh et al. 2014); nothing is learned
:class:`DiagonalNormal`      ``N(mu_i, sigma_i^2)``
:class:`MultivariateNormal`  ``N(mu, Sigma)`` over all entries together
:class:`VonMises`            angles, around ``mu_i`` with concentration ``kappa_i``
:class:`StudentT`            heavy tails, with ``nu_i`` degrees of freedom (Jaini et al. 2020)
:class:`ClassConditionalNormal`  ``N(mu_yi, sigma_yi^2)`` given a label ``y`` (Izmailov et al. 2020)
===========================  =======================================================================
"""

from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import (
    Buffer,
    Context,
    Key,
    Shape,
    adapt_once,
    check_labels,
    checked_arguments,
    is_concrete,
    program,
    spread,
    take_class,
)
from jaxgen.functional import circle, likelihoods
from jaxgen.functional.logistic import softplus
from jaxgen.functional.statistics import location_and_scale
from jaxgen.models.base import Sampling
from jaxgen.models.density import Density


class Uniform(Density):
    """The same density everywhere in a box, and none outside: ``-inf``, with gradient 0.

    It is the same at every temperature: a uniform entry has no place that it deviates from.

    Args:
        event_shape: the event's shape.
        low, high: arrays that broadcast to it; the ends belong to the box.

    Raises:
        ValueError: if an entry's ends are not finite, or not in order.

    >>> Uniform((2,), -1.0, 3.0).log_prob(jnp.array([[0.0, 3.0], [0.0, 4.0]])).round(4).tolist()
    [-2.772599935531616, -inf]
    """

    has_cdf = True

    @partial(checked_arguments, least_axes=0)
    def __init__(self, event_shape: Shape, low: Array | float = 0.0, high: Array | float = 1.0):
        super().__init__(event_shape)
        low = spread(low, self.event_shape, "Uniform", "low")
        high = spread(high, self.event_shape, "Uniform", "high")
        if is_concrete(low) and not bool(jnp.all((low < high) & jnp.isfinite(high - low))):
            raise ValueError(f"Uniform: expected finite low < high, got {low} and {high}")
        self.low, self.high = Buffer(low), Buffer(high)

    def _score(self, x: Array, context: Context) -> Array:
        low, high = self.low[...], self.high[...]
        inside = jnp.all((x >= low) & (x <= high), tuple(range(-len(self.event_shape), 0)))
        density = -jnp.sum(jnp.log(high - low)).astype(x.dtype)
        return jnp.where(inside, density, -jnp.inf)

    def _cdf(self, x: Array, context: Context) -> Array:
        low, high = self.low[...], self.high[...]
        return jnp.clip((x - low) / (high - low), 0.0, 1.0)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        low, high = self.low[...], self.high[...]
        share = jax.random.uniform(key, (*batch, *self.event_shape), low.dtype)
        return jnp.minimum(low + share * (high - low), high)  # which rounding may cross

    def centre(self, context: Context = None) -> Array:
        return (self.low[...] + self.high[...]) / 2.0

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        if is_concrete(x):
            low, high = np.asarray(self.low[...]), np.asarray(self.high[...])
            outside = (np.asarray(x) < low) | (np.asarray(x) > high)
            if outside.any():
                raise ValueError(
                    f"Uniform: expected values from {low.min():g} to {high.max():g}, got "
                    f"{np.asarray(x)[outside][0]:g}"
                )


class StandardNormal(Density):
    """Independent standard normal entries.

    >>> StandardNormal((2,)).log_prob(jnp.zeros((3, 2))).shape
    (3,)
    """

    has_cdf = True

    def _score(self, x: Array, context: Context) -> Array:
        return self._sum_event(jax.scipy.stats.norm.logpdf(x))

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        return how.temperature * jax.random.normal(key, (*batch, *self.event_shape))

    def as_normal(self, context: Context = None, *, key: Key = None) -> tuple[Array, Array] | None:
        return jnp.zeros(self.event_shape), jnp.zeros(self.event_shape)


class Logistic(Density):
    r"""Independent standard logistic entries: ``log p(x) = -softplus(x) - softplus(-x)`` for each.

    The base of NICE: its tails are heavier than the normal's.

    >>> round(float(Logistic((1,)).log_prob(jnp.zeros(1))), 4)  # log of 1 / 4
    -1.3863
    """

    has_cdf = True

    def _score(self, x: Array, context: Context) -> Array:
        return self._sum_event(-softplus(x) - softplus(-x))

    def _cdf(self, x: Array, context: Context) -> Array:
        return jax.nn.sigmoid(x)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        return how.temperature * jax.random.logistic(key, (*batch, *self.event_shape))


class DiagonalNormal(Density):
    """Independent normal entries with a learned mean and log standard deviation each.

    They start from those of the data that :meth:`standardize` or :meth:`initialize` is given first.

    >>> DiagonalNormal((2,)).log_prob(jnp.zeros((3, 2))).shape
    (3,)
    """

    has_cdf = True

    @partial(checked_arguments, least_axes=0)
    def __init__(self, event_shape: Shape):
        super().__init__(event_shape)
        self.mean = nnx.Param(jnp.zeros(event_shape))
        self.log_scale = nnx.Param(jnp.zeros(event_shape))
        self.adapted = Buffer(jnp.zeros(()))

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        if x is None:
            return self
        mean, scale = location_and_scale(x, len(self.event_shape))
        return adapt_once(self, mean=mean, log_scale=jnp.log(scale))

    def _score(self, x: Array, context: Context) -> Array:
        return self._sum_event(likelihoods.normal_log_prob(x, self.mean[...], self.log_scale[...]))

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        mean = self.mean[...]
        noise = jax.random.normal(key, (*batch, *self.event_shape), mean.dtype)
        return likelihoods.normal_sample(mean, self.log_scale[...], how.temperature * noise)

    def as_normal(self, context: Context = None, *, key: Key = None) -> tuple[Array, Array] | None:
        return self.mean[...], self.log_scale[...]


class VonMises(Density):
    r"""Independent angles, each around a learned mean: ``log p(x) = kappa cos(x - mu) + const``.

    The density has the period :math:`2\pi`, and integrates to 1 over a turn; samples are in
    ``[-pi, pi]``. At a temperature ``T`` the concentration is ``kappa / T^2``, by which the
    deviation of a narrow density is multiplied by ``T``. It is the base of flows on circles, as is
    :class:`Uniform` (Rezende et al. 2020).

    Args:
        event_shape: the event's shape.
        location: ``mu``, array that broadcasts to it.
        concentration: ``kappa``, likewise: 0 is no value, but as small as one likes is, for an
            angle that is nearly uniform.

    Raises:
        ValueError: for a concentration that is not positive and finite.

    >>> round(float(VonMises((1,), concentration=1e-9).log_prob(jnp.zeros(1))), 4)
    -1.8379
    """

    reparametrized = False  # which proposal is accepted has no gradient

    @partial(checked_arguments, least_axes=0)
    def __init__(
        self,
        event_shape: Shape,
        location: Array | float = 0.0,
        concentration: Array | float = 1.0,
    ):
        super().__init__(event_shape)
        concentration = spread(concentration, self.event_shape, "VonMises", "concentration")
        if is_concrete(concentration) and not bool(jnp.all(concentration > 0)):
            raise ValueError(f"VonMises: expected a positive concentration, got {concentration}")
        self.location = nnx.Param(spread(location, self.event_shape, "VonMises", "location"))
        self.log_concentration = nnx.Param(jnp.log(concentration))

    def _score(self, x: Array, context: Context) -> Array:
        concentration = jnp.exp(self.log_concentration[...])
        return self._sum_event(circle.von_mises_log_prob(x, self.location[...], concentration))

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        shape = (*batch, *self.event_shape)
        concentration = jnp.exp(self.log_concentration[...]) / how.temperature**2
        location = jnp.broadcast_to(self.location[...], shape)
        return _angles(key, location, jnp.broadcast_to(concentration, shape))

    def centre(self, context: Context = None) -> Array:
        return self.location[...]


# Which proposes until all are accepted.
_angles = program()(circle.von_mises_sample)


class StudentT(Density):
    r"""Independent entries with Student's t-distribution: tails like ``|x|^{-nu - 1}``.

    A flow of Lipschitz layers on a normal base has light tails whatever it learns; on this one it
    has heavy ones (Jaini et al. 2020). The degrees of freedom ``nu`` of every entry are learned;
    to fix them, :func:`jaxgen.freeze` the parameter ``log_df``.

    Args:
        event_shape: the event's shape.
        df: where the degrees of freedom start.

    Raises:
        ValueError: if they are not positive.

    >>> round(float(StudentT((1,), df=1.0).log_prob(jnp.zeros(1))), 4)  # Cauchy: log of 1 / pi
    -1.1447
    """

    has_cdf = True

    @partial(checked_arguments, least_axes=0)
    def __init__(self, event_shape: Shape, df: float = 5.0):
        super().__init__(event_shape)
        self.log_df = nnx.Param(jnp.full(event_shape, jnp.log(df)))

    def _score(self, x: Array, context: Context) -> Array:
        return self._sum_event(likelihoods.student_t_log_prob(x, jnp.exp(self.log_df[...])))

    def _cdf(self, x: Array, context: Context) -> Array:
        df = jnp.exp(self.log_df[...])
        beyond = jax.scipy.special.betainc(df / 2.0, 0.5, df / (df + x**2))  # on both sides
        return jnp.where(x < 0, beyond / 2.0, 1.0 - beyond / 2.0)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        df = jnp.exp(self.log_df[...])
        x = how.temperature * jax.random.t(key, df, (*batch, *self.event_shape), df.dtype)
        # Few degrees of freedom draw numbers beyond the floats, which no layer could take on.
        limit = float(jnp.finfo(df.dtype).max) ** 0.75
        return jnp.clip(x, -limit, limit)


class ClassConditionalNormal(Density):
    """Given a class label, independent normal entries with that class's mean and deviation.

    The context is an integer label. As the base of a flow it makes one flow a class-conditional
    density, in which every class has its place in the latent space (FlowGMM, Izmailov et al. 2020).
    All classes start from the mean and deviation of the first data, as in :class:`DiagonalNormal`.

    Args:
        event_shape: the event's shape.
        num_classes: how many classes there are; labels are ``0 .. num_classes - 1``.

    Raises:
        ValueError: if there is no class.

    >>> density = ClassConditionalNormal((2,), 10)
    >>> density.log_prob(jnp.zeros((3, 2)), jnp.array([0, 9, 4])).shape
    (3,)
    """

    context_shape: Shape = ()
    has_cdf = True

    @partial(checked_arguments, least_axes=0)
    def __init__(self, event_shape: Shape, num_classes: int):
        super().__init__(event_shape)
        self.num_classes = num_classes
        self.means = nnx.Param(jnp.zeros((num_classes, *event_shape)))
        self.log_scales = nnx.Param(jnp.zeros((num_classes, *event_shape)))
        self.adapted = Buffer(jnp.zeros(()))

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        if x is None:
            return self
        mean, scale = location_and_scale(x, len(self.event_shape))
        means = jnp.broadcast_to(mean, self.means[...].shape)
        log_scales = jnp.broadcast_to(jnp.log(scale), means.shape)
        return adapt_once(self, means=means, log_scales=log_scales)

    def _of_class(self, labels: Array | None) -> tuple[Array, Array]:
        assert labels is not None  # checked, as every context of a conditional model
        where = "ClassConditionalNormal"
        means, log_scales = self.means[...], self.log_scales[...]
        return take_class(means, labels, where), take_class(log_scales, labels, where)

    def _score(self, x: Array, context: Context) -> Array:
        return self._sum_event(likelihoods.normal_log_prob(x, *self._of_class(context)))

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        means, log_scales = self._of_class(context)
        noise = jax.random.normal(key, means.shape, means.dtype)
        return likelihoods.normal_sample(means, log_scales, how.temperature * noise)

    def as_normal(self, context: Context = None, *, key: Key = None) -> tuple[Array, Array] | None:
        return self._of_class(context)

    def check_context(self, context: Array | np.ndarray) -> None:
        super().check_context(context)
        check_labels(context, self.num_classes, "ClassConditionalNormal")
