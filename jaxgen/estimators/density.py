"""Densities without a context."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from jaxgen.estimators.base import Estimator, RandomState, at_least_one
from jaxgen.estimators.chunks import in_whole_chunks
from jaxgen.models import Model

_infer = jax.jit(lambda model, x: model.infer(x))

_decode = jax.jit(lambda model, z: model.decode(z))


class Density(DensityMixin, Estimator):
    """The methods of densities without a context."""

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Trains the model.

        Args:
            X: rows ``(n, columns)``, two or more: an array of any real dtype, or a data frame.
            y: ignored.
            sample_weight: how much each row counts, ``(n,)``, of any scale; None for all the same.

        Raises:
            ValueError: for rows that are not finite numbers; weights that are negative, or less
                than two that are not zero; a model of another kind, or of no such name.

        Warns:
            ColumnWarning: of columns over which a density has no bound, constant ones above all:
                their scale is 1, and their peak as high as the training is long. Leave them out.
        """
        rows = self._validated(X, reset=True, ensure_min_samples=2)
        return self._train(rows, None, sample_weight)

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """``log p(x)`` of every row, ``(n,)``, in nats, in the units of ``X``.

        Raises:
            ValueError: for rows outside the model's support: its bounds, or its levels.
        """
        check_is_fitted(self, "model_")
        return self._log_density(self._validated(X))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """The mean of :meth:`score_samples`, in nats a row, as that of ``GaussianMixture``.

        That of ``KernelDensity`` is the total over the rows.
        """
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> np.ndarray:
        """Draws, ``(n_samples, columns)``, in the units of ``X``, as those of ``KernelDensity``.

        By the same ``random_state``, fewer draws are the first of more.
        """
        check_is_fitted(self, "model_")
        return self._sampled(at_least_one(n_samples, "n_samples"), random_state)


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class FlowDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Density):
    r"""The density of rows of real numbers by a normalizing flow, exact in nats.

    .. math:: \log p(x) = \log p_z(f^{-1}(x)) +
              \log\left|\det \frac{\partial f^{-1}(x)}{\partial x}\right|,

    with ``transform`` for :math:`f^{-1}`, whose latents are independent standard normals where the
    model is right, and ``inverse_transform`` for ``f``.

    Args:
        model: a flow of vectors of :mod:`jaxgen.zoo` by its name (``"maf"``, the default,
            ``"nsf"``, ``"realnvp"`` ...), or a function ``(event_shape, *, rngs, **model_args) ->
            Model``. It sees standardised columns; those that ``model_args`` give ``bounds``, in the
            unit of the data, or name as ``angles`` it sees as they come.
        <shared>

    Attributes:
        <fitted>

    >>> X = np.random.default_rng(0).normal(5.0, 2.0, size=(500, 2))
    >>> density = FlowDensity(model_args={"layers": 1, "hidden": (8,)}, steps=200, random_state=0)
    >>> round(density.fit(X).score(X), 1)  # that of the normal: -log(2 pi e 2^2)
    -4.2
    >>> density.sample(3, random_state=0).shape
    (3, 2)
    >>> density.transform(X).std(axis=0).round(1).tolist()
    [1.0, 1.0]
    """

    model: str | Callable[..., Model] = "maf"

    _expected = "a flow of real vectors without a context"

    def _fits(self, model: Model) -> bool:
        real = model.levels is None and not model.discrete and model.context_shape is None
        return real and model.latent_shape == model.event_shape

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The latents of rows, ``(n, columns)``; a data frame after ``set_output``."""
        check_is_fitted(self, "model_")
        x = self.units_.inwards(self._validated(X))
        self.model_.check_data(x)
        return in_whole_chunks(lambda x, *_: _infer(self.model_, x), x)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """The rows of latents, ``(n, columns)``, in the units of the data."""
        check_is_fitted(self, "model_")
        z = check_array(X, dtype=np.float64, input_name="X").astype(jnp.result_type(float))
        if z.shape[1] != self.n_features_in_:
            raise ValueError(f"expected latents of {self.n_features_in_} columns, got {z.shape[1]}")
        return self.units_.outwards(in_whole_chunks(lambda z, *_: _decode(self.model_, z), z))

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_


class AutoregressiveDensity(Density):
    r"""The density, or the probability, of rows by the chain rule, exact in nats.

    .. math:: \log p(x) = \sum_t \log p\left(x_{o_t} \mid x_{o_{<t}}\right).

    Args:
        model: an autoregressive model of vectors of :mod:`jaxgen.zoo` by its name, or a function
            ``(event_shape, *, rngs, **model_args) -> Model``. ``"tabular"``, the default, has a
            mixture of three normals for each column, and averages eight orders of them; its
            ``columns`` say which are whole numbers (``"count"``, ``"categorical:5"`` ...), of which
            the probability counts. ``"made"`` is of real columns with ``levels=None`` and
            ``components``, else of integers from 0 to ``levels - 1``.
        <shared>

    Attributes:
        <fitted>

    >>> X = np.random.default_rng(0).poisson(3.0, size=(500, 1))
    >>> counts = {"columns": ["poisson"], "hidden": (8,)}
    >>> density = AutoregressiveDensity(model_args=counts, steps=100, random_state=0).fit(X)
    >>> np.exp(density.score_samples([[3]])).round(1)  # exp(-3) 3^3 / 3!
    array([0.2])
    """

    _expected = "an autoregressive model of vectors without a context"

    def _fits(self, model: Model) -> bool:
        return model.grid_shape is not None and model.context_shape is None
