"""Likelihood records: a number with everything needed to believe or repeat it."""

import dataclasses
import importlib.metadata
import json
import math
import platform
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.core import ShapeError, described, naming_columns, num_parameters
from jaxgen.data import Dataset
from jaxgen.models import Model
from jaxgen.models.latent_use import latent_use
from jaxgen.models.scoring import score


@dataclasses.dataclass(frozen=True)
class Record:
    """A measured likelihood.

    ``value`` is the mean log-likelihood in nats (higher is better), or bits per dimension for data
    of more than two levels (lower is better), counted per level; ``standard_error`` is that of the
    mean over the examples of the split, in the same unit. ``estimator`` says whether the
    log-probability is exact, a bound or an estimate. The whole split counts.

    ``seconds`` are those of the evaluation, and ``training_seconds``, of a run, those of its steps.

    ``num_values`` is there for examples of different lengths, or with missing values: how many they
    have together. Their bits per dimension are those of all examples over all values, not a mean of
    ratios.

    Beside an importance-weighted estimate stands the evidence lower bound, ``elbo``, of one weight,
    in the same unit, with its standard error. Of a model with a posterior, ``divergence`` is its
    mean Kullback-Leibler divergence from the prior in nats, for each latent dimension or, without
    a closed form, of all together, and ``active_units`` says how many dimensions the data move
    (:mod:`jaxgen.models.latent_use`).
    """

    model: str
    value: float
    standard_error: float
    unit: str
    estimator: str
    data: str
    split: str
    num_examples: int
    data_sha256: str
    seed: int
    num_parameters: int
    versions: dict[str, str]
    device: str
    git_commit: str | None
    seconds: float
    num_values: int | None = None
    training_seconds: float | None = None
    elbo: float | None = None
    elbo_standard_error: float | None = None
    divergence: list[float] | None = None
    active_units: int | None = None

    def __str__(self) -> str:
        # Of a single example nothing says how far off its number is.
        error = "" if math.isnan(self.standard_error) else f" ± {self.standard_error:.4f}"
        values = "" if self.num_values is None else f", {self.num_values} values"
        beside = ""
        if self.elbo is not None:
            beside = f"; ELBO {self.elbo:.4f} ± {self.elbo_standard_error:.4f}"
        if self.active_units is not None:
            beside += f", {self.active_units} active units"
        return (
            f"{self.model} on {self.data} ({self.split}, {self.num_examples} examples{values}): "
            f"{self.value:.4f}{error} {self.unit}, {self.estimator}{beside}"
        )

    def save(self, path: Path | str) -> None:
        """Writes the record as JSON, what may be missing only where it is not.

        A number that is not finite, which JSON has not, becomes null.
        """
        values = dataclasses.asdict(self)
        for name in _OPTIONAL:
            if values[name] is None:
                del values[name]
        values = {name: _finite(value) for name, value in values.items()}
        Path(path).write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")


_OPTIONAL = (
    "num_values",
    "training_seconds",
    "elbo",
    "elbo_standard_error",
    "divergence",
    "active_units",
)


def _finite(value: Any) -> Any:
    """A value of a record in JSON's terms, which knows no other numbers than finite ones."""
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evaluate(
    model: Model,
    data: Dataset,
    *,
    context: np.ndarray | None = None,
    name: str | None = None,
    num_samples: int = 1,
    batch_size: int = 500,
    seed: int = 0,
    train_seed: int | None = None,
    observed: np.ndarray | None = None,
    missing: str = "missing part",
) -> Record:
    r"""Scores every example of a data set.

    Of :math:`n` examples with :math:`-\log_2 p = b_i` and :math:`d_i` values, the bits per
    dimension and their standard error (that of a ratio, over the examples) are

    .. math:: v = \frac{\sum_i b_i}{\sum_i d_i}, \qquad
              s = \frac{1}{\sqrt{n}\, \bar d} \sqrt{\frac{1}{n - 1} \sum_i (b_i - v d_i)^2},

    with one :math:`d_i` for all unless the data have ``lengths``: padding is neither scored nor
    counted.

    Args:
        model: any model; one for data with lengths is autoregressive.
        data: the split to score.
        context: array ``(n, *context_shape)`` for a conditional model.
        name: the model's name in the record; its class's name if None.
        num_samples: importance samples for a model without an exact likelihood; 1 for the ELBO.
            Of a VQ-VAE every sample is the same, and the record is its bound.
        batch_size: examples in a chunk; does not change the result of an exact model.
        seed: of the evaluation's noise.
        train_seed: the seed that the record states; that of training, ``seed`` if None.
        observed: boolean array of an autoregressive model's ``grid_shape``: scores what is not
            observed of every example, given the rest, see
            :meth:`jaxgen.models.Autoregressive.conditional_log_prob`.
        missing: what that part is called in the record.

    Returns:
        A :class:`Record`.

    Raises:
        TypeError: if the data are no :class:`~jaxgen.data.Dataset`, or the model is none.
        ValueError: if the data do not fit the model, or it conditions on no part of an event.

    Warns:
        UserWarning: of examples to which the model gives no density, or an infinite one: the mean
            is infinite then, and has no standard error.

    >>> from jaxgen.models import StandardNormal
    >>> x = np.zeros((4, 2), np.float32)
    >>> print(evaluate(StandardNormal((2,)), Dataset("zeros", "test", x)))
    StandardNormal on zeros (test, 4 examples): -1.8379 ± 0.0000 nats, exact
    """
    if not isinstance(model, Model):
        raise TypeError(f"evaluate: expected a model, got {described(model)}")
    if not isinstance(data, Dataset):
        raise TypeError(
            f"evaluate: expected a Dataset, got {described(data)}; give an array a name and a "
            f"split: Dataset(name, 'test', x), with the number of levels of integers"
        )
    if data.event_shape != model.event_shape:
        raise ShapeError(
            f"{type(model).__name__}: expected events of shape {model.event_shape}, got "
            f"{data.event_shape} from {data.name}"
        )
    if context is None and model.context_shape is not None:
        labels = "" if data.y is None else "; the labels of the data are context=data.y"
        raise ShapeError(
            f"evaluate: expected a context {model.context_shape} for each example of a conditional "
            f"model, got None{labels}"
        )
    if model.vector_shape is not None:  # all weights are one: a bound that no more of them tighten
        num_samples = 1
    if data.observed is not None and (model.grid_shape is None or observed is not None):
        what = "no part of an event" if observed is None else "whole examples to complete"
        raise ValueError(
            f"evaluate: {data.name} lacks values, and {type(model).__name__} knows the density of "
            f"{what}; leave those rows out"
        )
    estimator = _estimator(model, num_samples, observed, missing)
    began = time.perf_counter()
    with naming_columns(data.columns):
        scores = score(
            model,
            data.x,
            context,
            lengths=data.lengths,
            observed=observed,
            known=data.observed,
            key=jax.random.key(seed),
            num_samples=num_samples,
            batch_size=batch_size,
        )
    seconds = time.perf_counter() - began
    differ = data.lengths is not None or data.observed is not None
    in_bits = data.levels is not None and data.levels > 2
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        warnings.warn(
            f"evaluate: {bad.size} of {len(scores)} examples of {data.name} ({data.split}), the "
            f"first of them {bad[0]}, have log-density {scores[bad[0]]}, so the mean is no finite "
            f"number and has no standard error",
            stacklevel=2,
        )
    with np.errstate(invalid="ignore"):  # of infinities, whose differences are NaN
        sizes = _sizes(data, observed) if in_bits else None
        value, spread = _mean(scores, sizes)
        beside: dict[str, Any] = {}
        if model.exactness != "exact" and num_samples > 1:
            beside = _bound(model, data, context, sizes, batch_size, seed)
    if model.has_posterior:
        use = latent_use(model, data.x, context, key=jax.random.key(seed), batch_size=batch_size)
        beside["divergence"] = [round(float(nats), 6) for nats in use.divergence]
        beside["active_units"] = use.active_units
    return Record(
        model=name if name is not None else type(model).__name__,
        value=value,
        standard_error=spread / math.sqrt(len(scores)),
        unit="bits/dim" if in_bits else "nats",
        estimator=estimator,
        data=data.name,
        split=data.split,
        num_examples=len(scores),
        data_sha256=data.sha256,
        seed=seed if train_seed is None else train_seed,
        num_parameters=num_parameters(model),
        versions=versions(),
        device=device(),
        git_commit=git_commit(),
        seconds=round(seconds, 3),
        num_values=data.num_values if differ else None,
        **beside,
    )


def _bound(
    model: Model,
    data: Dataset,
    context: np.ndarray | None,
    sizes: np.ndarray | float | None,
    batch_size: int,
    seed: int,
) -> dict[str, float]:
    """The evidence lower bound of one weight, beside an estimate of many."""
    scores = score(model, data.x, context, key=jax.random.key(seed), batch_size=batch_size)
    value, spread = _mean(scores, sizes)
    return {"elbo": value, "elbo_standard_error": spread / math.sqrt(len(scores))}


def _mean(scores: np.ndarray, sizes: np.ndarray | float | None) -> tuple[float, float]:
    """The value of a record and the deviation of what each example adds to it: nats, or, of
    examples of so many values, bits per value."""
    value = float(scores.mean())
    if sizes is not None:
        mean_size = float(np.mean(sizes))
        value = -value / (mean_size * math.log(2.0))
        # Their deviations are what each example adds to that of the ratio.
        scores = (-scores / math.log(2.0) - value * sizes) / mean_size
    return value, float(scores.std(ddof=1)) if len(scores) > 1 else math.nan


def _sizes(data: Dataset, observed: np.ndarray | None) -> np.ndarray:
    """How many values of each example are scored; one number where that is the same of all."""
    scored = np.ones(data.event_shape[:1]) if observed is None else ~observed
    # Up to and with each position, in the order in which the lengths count.
    counted = np.concatenate([[0.0], np.cumsum(scored)])
    counted *= math.prod(data.event_shape) / scored.size
    return counted[-1] if data.lengths is None else counted[data.lengths]


def _estimator(model: Model, num_samples: int, observed: np.ndarray | None, missing: str) -> str:
    if observed is not None:
        if model.grid_shape is None:
            raise ValueError(
                f"evaluate: observed is for autoregressive models, got {type(model).__name__}"
            )
        how = "exact" if model.conditions_exactly(observed) else "approximate"
        return f"{missing} given the rest, {how}"
    if model.exactness == "exact":
        return "exact"
    if num_samples == 1:
        return "ELBO, one sample"
    return f"importance-weighted, {num_samples} samples"


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a number depends on."""
    packages = ("jaxgen", "jax", "jaxlib", "flax", "optax", "numpy")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run straight from a checkout
            continue
    return found


def device() -> str:
    """The kind and the number of the devices in use."""
    devices = jax.devices()
    kind = devices[0].device_kind
    if devices[0].platform == "cpu":
        kind = f"cpu ({platform.machine()})"
    return f"{len(devices)} x {kind}"


def git_commit() -> str | None:
    """The commit that this code was checked out from, ``-dirty`` if changed; None if installed."""
    root = Path(__file__).resolve().parents[2]
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None if (root / ".git").exists() else None
