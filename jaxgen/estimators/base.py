"""What all estimators share: parameters, what is done to what comes in, and the training."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import jax
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from jaxgen.bijectors.bounded import bounds_of_entries
from jaxgen.core import described, unknown
from jaxgen.estimators.chunks import ROWS, in_whole_chunks, seen
from jaxgen.estimators.units import Units, arranged, weights_of
from jaxgen.models import Model
from jaxgen.training import Batch, ColumnWarning, TrainSettings, fit
from jaxgen.training.columns import warn_of_columns, warn_of_contexts
from jaxgen.zoo import build, hyperparameters

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn 1.5 has it as a method; this goes with that version
    validate_data = None

RandomState = int | np.random.RandomState | None

_log_prob = jax.jit(lambda model, x, context: model.log_prob(x, context))

_sample = jax.jit(
    lambda model, key, num, context: model.sample(key, num, context), static_argnums=2
)


# What the estimators share, in their docstrings.
_SHARED = """model_args: hyperparameters of the model by name; none by default, for the model's own.
            A grid searches one of them as ``model_args__layers``.
        steps: optimizer steps, at most; 2000 by default.
        batch_size: rows in a batch, 128 by default; fewer rows make one batch.
        learning_rate: of Adam, at the peak of its schedule, in standardised units; 1e-3 by default.
        validation_fraction: the share of the rows, between 0 and 1, that is held out at random, and
            by which the best parameters are chosen, 0.1 by default; None trains on all rows, and
            keeps the last parameters.
        patience: validations without an improvement before training stops, 10 by default; None
            never stops early.
        eval_every: steps between validations, 50 by default, and rounded up to a multiple of 50.
        train_args: further settings by name, see :class:`jaxgen.training.TrainSettings`; none by
            default.
        random_state: of weights, batches and what is held out: an int for the same bits in every
            ``fit``, a ``numpy.random.RandomState``, or None, the default, for NumPy's global one.
        progress: shows a progress bar; not by default."""

_FITTED = """model_: the trained model, of standardised columns.
        units_: the ``mean`` and the ``scale`` of the columns, float64.
        history_: what training logged, a dictionary of ``step``, ``loss``, ``valid_loss`` (nats, in
            standardised units) and more at a time.
        best_step_: the step that the parameters are of.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn."""


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Estimator(BaseEstimator):
    """What all share: the parameters, what is done to what comes in, and the training."""

    model: str | Callable[..., Model] = "tabular"
    model_args: Mapping[str, Any] | None = None
    steps: int = 2000
    batch_size: int = 128
    learning_rate: float = 1e-3
    validation_fraction: float | None = 0.1
    patience: int | None = 10
    eval_every: int = 50
    train_args: Mapping[str, Any] | None = None
    random_state: RandomState = None
    progress: bool = False

    _expected: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__doc__ is not None:  # as it is under python -OO
            cls.__doc__ = cls.__doc__.replace("<shared>", _SHARED).replace("<fitted>", _FITTED)

    def set_params(self, **params: Any) -> Self:
        """As everywhere; and ``model_args__layers=2`` sets one of ``model_args``."""
        whole: dict[str, Any] = {}
        for name in sorted(params):  # model_args before its pieces
            parameter, _, piece = name.partition("__")
            if piece and parameter in ("model_args", "train_args"):
                others = whole.get(parameter, getattr(self, parameter))
                whole[parameter] = {**(others or {}), piece: params[name]}
            else:
                whole[name] = params[name]
        return super().set_params(**whole)

    def _validated(self, X: ArrayLike, **options: Any) -> Any:
        """Finite rows in float64, of the features of ``fit``; beside ``y``, if that is given."""
        options = {"reset": False, "dtype": np.float64, **options}
        try:
            if validate_data is None:
                return self._validate_data(X, **options)
            return validate_data(self, X, **options)
        except ValueError as error:
            said = str(error).partition("\n")[0]
            if not said.endswith("contains NaN."):
                raise
            # What scikit-learn goes on to say is of classifiers.
            raise ValueError(
                f"{said} Drop or fill in rows with missing values, or train on what is observed of "
                f"them: jaxgen.training.fit of jaxgen.zoo.tabular"
            ) from None

    def _train(
        self, rows: np.ndarray, context: np.ndarray | None, sample_weight: ArrayLike | None
    ) -> Self:
        """Fits the model to rows, given contexts, all in float64 and their own units."""
        self.__dict__.pop("model_", None)  # of an earlier fit, if this one fails
        weights = weights_of(sample_weight, len(rows))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        model, own = self._built(rows.shape[1], context, seed)
        settings = self._settings(seed)
        whole = rows if context is None else np.hstack([rows, context])
        chosen, left = arranged(whole, weights)
        self.units_, given = Units.of(rows[chosen], left, own), None
        if context is not None:
            self.context_units_ = Units.of(context[chosen], left)
            given = self.context_units_.inwards(context[chosen])
        names, used = getattr(self, "feature_names_in_", None), weights > 0
        if context is not None:
            warn_of_contexts(context[used], names)
        own_names = names if context is None else None
        warn_of_columns(model, seen(model, self.units_, rows[used]), own_names)
        x, valid = seen(model, self.units_, rows[chosen]), self.validation_fraction
        held_out = 0 if valid is None else max(1, round(valid * len(x)))  # as fit does
        size = min(settings.batch_size, max(1, len(x) - held_out))
        batch = Batch(x, given, weights=left)
        with warnings.catch_warnings():
            # It has been said above, of the rows as they came and by the columns' names.
            warnings.simplefilter("ignore", ColumnWarning)
            smaller = dataclasses.replace(settings, batch_size=size)
            result = fit(model, batch, valid, smaller, progress=self.progress)
        self.model_, self.history_ = result.model, result.history
        self.best_step_ = result.best_step
        return self

    def _settings(self, seed: int) -> TrainSettings:
        names = ("steps", "batch_size", "learning_rate", "patience", "eval_every")
        known = {each.name for each in dataclasses.fields(TrainSettings)} - {*names, "seed"}
        for name in self.train_args or {}:
            if name not in known:
                raise unknown("setting in train_args", name, sorted(known))
        own = {name: getattr(self, name) for name in names}
        share = self.validation_fraction
        if share is not None and not (isinstance(share, float | np.floating) and 0 < share < 1):
            raise ValueError(
                f"validation_fraction: expected a number between 0 and 1, or None, got {share!r}"
            )
        own["patience"] = None if share is None else self.patience
        return TrainSettings(**own, **(self.train_args or {}), seed=seed)

    def _built(
        self, entries: int, context: np.ndarray | None, seed: int
    ) -> tuple[Model, np.ndarray]:
        """The model of rows of so many entries, and which of these stay in their own units."""
        args, name = dict(self.model_args or {}), type(self).__name__
        if context is not None:
            args["context_features"] = context.shape[1]
        model, rngs = None, nnx.Rngs(seed)
        if isinstance(self.model, str):
            known = hyperparameters(self.model)
            if context is not None and "context_features" not in known:
                raise ValueError(f"{name}: expected {self._expected}, got {self.model!r}")
            model = build(self.model, (entries,), args, rngs=rngs)
            args = known | args
        elif callable(self.model):
            model = self.model((entries,), **args, rngs=rngs)
            defaults = inspect.signature(self.model).parameters.values()
            args = {p.name: p.default for p in defaults if p.default is not p.empty} | args
        if not isinstance(model, Model):
            raise TypeError(
                f"{name}: expected for model the name of one of jaxgen.zoo, or a function "
                f"(event_shape, *, rngs, **model_args) that gives a model, got "
                f"{described(self.model if model is None else model)}"
            )
        if model.exactness != "exact" or not self._fits(model):
            of = "real values" if model.levels is None else f"{model.levels} levels"
            raise ValueError(
                f"{name}: expected {self._expected}, of exact likelihood, got one of {of}: {model}"
            )
        own = [ends != (None, None) for ends in bounds_of_entries(args.get("bounds"), entries)]
        for column in (*args.get("angles", ()), *model.discrete):
            own[column] = True
        return model, np.array(own) | (model.levels is not None)

    def _fits(self, model: Model) -> bool:
        raise NotImplementedError

    def _log_density(self, rows: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        x = seen(self.model_, self.units_, rows)
        self.model_.check_data(x)
        scores = in_whole_chunks(lambda x, c, _: _log_prob(self.model_, x, c), x, context)
        return scores - np.log(self.units_.scale).sum()

    def _sampled(
        self, count: int, random_state: RandomState, context: np.ndarray | None = None
    ) -> np.ndarray:
        """So many draws, one for each context if there are any, in the units of the data."""

        def draw(_: Any, context: Array | None, key: Array) -> Array:
            each = ROWS if context is None else 1
            return _sample(self.model_, key, each, context).reshape(ROWS, -1)

        seed = check_random_state(random_state).randint(2**31 - 1)
        rows = self.units_.outwards(in_whole_chunks(draw, np.zeros(count), context, seed))
        return rows if self.model_.levels is None else rows.astype(np.int64)


def at_least_one(number: Any, name: str) -> int:
    """A number of things, of which there has to be one.

    Raises:
        ValueError: for anything else, by the argument's name.
    """
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{name}: expected a whole number of 1 or more, got {number!r}")
    return int(number)
