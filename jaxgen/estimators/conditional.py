"""Densities of outputs given features."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from jaxgen.estimators.base import Estimator, RandomState, at_least_one
from jaxgen.estimators.chunks import in_whole_chunks
from jaxgen.models import Model

_DRAWS = 2**14  # in a chunk of so many rows as share them


@jax.jit(static_argnums=2)
def _sample_alike(model: Model, key: Array, num: int, contexts: Array) -> Array:
    """Draws ``(rows, num, *event_shape)`` by one noise for all rows."""
    return jax.vmap(lambda context: model.sample(key, num, context))(contexts)


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class ConditionalDensity(Estimator):
    r"""The density :math:`p(y \mid x)` of one or more outputs given features, exact in nats.

    It is no ``RegressorMixin``, whose ``score`` would be R2: here it is the log-density, which asks
    for more than the mean to be right. ``cross_val_score(..., scoring="r2")`` scores ``predict``.

    Args:
        model: a model of vectors that takes ``context_features``, of :mod:`jaxgen.zoo` by its name,
            or a function ``(event_shape, *, context_features, rngs, **model_args) -> Model``.
            ``"tabular"``, the default, has a mixture of three normals for each output, or what its
            ``columns`` say; flows of two outputs or more have any shape, but ``"maf"`` of one is a
            normal.
        num_draws: from the distribution of each row, for ``predict`` and ``predict_interval``; 1000
            by default.
        <shared>

    Attributes:
        <fitted>
        context_units_: as ``units_``, of the features.
        n_outputs_: the columns of ``y``.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, size=(500, 1))
    >>> y = 3 * X[:, 0] + rng.normal(size=500)
    >>> small = {"model_args": {"hidden": (8,)}, "steps": 300, "learning_rate": 1e-2}
    >>> density = ConditionalDensity(**small, random_state=0).fit(X, y)
    >>> density.predict([[-1.0], [1.0]]).round().tolist()
    [-3.0, 3.0]
    >>> low, high = density.predict_interval(X, coverage=0.9)
    >>> round(float(np.mean((low < y) & (y < high))), 1)
    0.9
    """

    num_draws: int = 1000

    _expected = "a model of vectors with a context"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = tags.target_tags.multi_output = True
        return tags

    def _fits(self, model: Model) -> bool:
        return model.context_shape == (self.n_features_in_,)

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Trains the model.

        Args:
            X: features ``(n, features)``, two rows or more: an array or a data frame.
            y: outputs ``(n,)`` or ``(n, outputs)``; what comes of the methods has this form, too.
            sample_weight: how much each row counts, ``(n,)``, of any scale; None for all the same.

        Raises:
            ValueError: as that of the other estimators.

        Warns:
            ColumnWarning: of outputs over which a density has no bound, as there.
        """
        context, outputs = self._both(X, y, reset=True, ensure_min_samples=2)
        self._flat = outputs.ndim == 1
        rows = outputs.reshape(len(context), -1)
        self.n_outputs_ = rows.shape[1]
        return self._train(rows, context, sample_weight)

    def score_samples(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """``log p(y | x)`` of every row, ``(n,)``, in nats, in the units of ``y``.

        Raises:
            ValueError: for outputs outside the model's support.
        """
        check_is_fitted(self, "model_")
        context, outputs = self._both(X, y)
        rows = outputs.reshape(len(context), -1)
        if rows.shape[1] != self.n_outputs_:
            raise ValueError(f"y: expected {self.n_outputs_} outputs, got {rows.shape[1]}")
        return self._log_density(rows, self.context_units_.inwards(context))

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """The mean of :meth:`score_samples`, in nats a row."""
        return float(np.mean(self.score_samples(X, y)))

    def sample(
        self, X: ArrayLike, n_samples: int = 1, random_state: RandomState = None
    ) -> np.ndarray:
        """Independent draws of outputs, ``(n_samples, *y.shape)``, in the units of ``y``."""
        context, count = self._context(X), at_least_one(n_samples, "n_samples")
        contexts = np.tile(context, (count, 1))
        rows = self._sampled(len(contexts), random_state, contexts)
        return self._formed(rows.reshape(count, len(context), -1))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """``E[y | x]``, of the form of ``y``: the mean of ``num_draws`` draws.

        They are made by the same noise for all rows and in all calls, so that what is predicted is
        the same each time and as smooth in ``x`` as the density. The error is one standard
        deviation of ``p(y | x)`` over the root of ``num_draws``: 3 % of it for 1000.
        """
        return self._formed(self._of_draws(X, lambda draws: draws.mean(axis=1)))

    def predict_interval(
        self, X: ArrayLike, coverage: float = 0.9
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the central interval that holds each output with this probability.

        They are quantiles of the draws of :meth:`predict`. With 1000 draws the probability of an
        interval of 0.9 is right to 0.01, one standard error.

        Raises:
            ValueError: for a coverage that is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage: expected a number between 0 and 1, got {coverage!r}")
        ends = ((1 - coverage) / 2, (1 + coverage) / 2)
        both = self._of_draws(X, lambda draws: np.quantile(draws, ends, axis=1).swapaxes(0, 1))
        return self._formed(both[:, 0]), self._formed(both[:, 1])

    def _both(self, X: ArrayLike, y: ArrayLike, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        if y is None:
            name = type(self).__name__
            raise ValueError(f"{name} requires y to be passed, but the target y is None")
        context, rows = self._validated(X, y=y, multi_output=True, y_numeric=True, **options)
        return context, np.asarray(rows, np.float64)

    def _context(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self, "model_")
        return self.context_units_.inwards(self._validated(X))

    def _formed(self, rows: np.ndarray) -> np.ndarray:
        return rows[..., 0] if self._flat else rows

    def _of_draws(self, X: ArrayLike, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """A function of draws ``(rows, num_draws, outputs)``, in the units of ``y``."""
        context, count = self._context(X), at_least_one(self.num_draws, "num_draws")

        def of_chunk(context: np.ndarray, *_: Any) -> np.ndarray:
            draws = _sample_alike(self.model_, jax.random.key(0), count, context)
            return self.units_.outwards(function(np.asarray(draws, np.float64)))

        return in_whole_chunks(of_chunk, context, size=max(1, _DRAWS // count))
