"""Tables that are counted instead of trained."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from jaxgen.conditionals import Markov
from jaxgen.models import Autoregressive, Model
from jaxgen.models.scoring import score
from jaxgen.training.checks import check_data
from jaxgen.training.claims import kept_in
from jaxgen.training.descent import FitResult
from jaxgen.training.inputs import as_given, with_validation
from jaxgen.training.metrics import MetricsLog, read_metrics
from jaxgen.training.objectives import Batch
from jaxgen.training.saved import SavedModel
from jaxgen.training.settings import TrainSettings
from jaxgen.training.state import TrainState


def count(
    model: Model,
    train: Any,
    valid: Any = None,
    pseudo_counts: Sequence[float] = (1.0,),
    *,
    out: Path | str | None = None,
    seed: int = 0,
) -> FitResult:
    """A Markov model whose tables are counts: maximum likelihood, with a prior, in one pass.

    Every strength of the prior is tried, see :meth:`jaxgen.conditionals.Markov.estimate` (with
    ``backoff``), and that which scores best in validation is taken.

    Args:
        model: an :class:`~jaxgen.models.Autoregressive` model over a
            :class:`~jaxgen.conditionals.Markov` network with tables; it is left as it is.
        train: what is counted, integer levels, as :func:`~jaxgen.training.fit` takes them.
        valid: what chooses: the same, or a fraction of the training data that is held out; None
            for a single strength.
        pseudo_counts: strengths of the prior, in examples for each configuration of the parents.
        out: the run directory, whose ``metrics.jsonl`` gets a row for each strength, ``step``
            numbering them from 1, and where the best is kept: it is not counted again. None to
            keep nothing.
        seed: chooses what is held out.

    Returns:
        A :class:`~jaxgen.training.FitResult`.

    Raises:
        ValueError: if the model is another, there are several strengths and no validation data, or
            the data do not fit the model.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> chain = zoo.markov((4,), levels=3, parents=1, shared=True, rngs=nnx.Rngs(0))
    >>> x = np.array([[0, 1, 2, 0], [1, 2, 0, 1], [2, 0, 1, 2]] * 10)  # 0, 1, 2, 0, ...
    >>> chain = count(chain, x, x, [0.1, 1.0]).model
    >>> round(float(jax.numpy.exp(chain.log_prob(x[0]))), 2)  # the first is one of three
    0.33
    """
    network = counted_network(model)
    assert isinstance(model, Autoregressive)  # or it would have been refused
    given = as_given(train, model, "training")
    if given is None or given.batch.x is None:
        raise ValueError("count: expected training data, got None")
    train, valid = with_validation(given.batch, valid, model, TrainSettings(seed=seed))
    if not pseudo_counts:
        raise ValueError("count: expected at least one pseudo-count, got none")
    if valid is None and len(pseudo_counts) > 1:
        raise ValueError(
            f"count: expected validation data to choose among {len(pseudo_counts)} pseudo-counts"
        )
    check_data(model, train, valid)
    check_counted(train, valid)
    out = None if out is None else Path(out)

    def about() -> SavedModel:
        return SavedModel.of(model, pseudo_counts=pseudo_counts)

    with kept_in(out, about, {"training": train, "validation": valid}) as checkpoints:
        if checkpoints is not None and (found := checkpoints.restore_model(model)):
            step, counted = found
            return _result(counted, read_metrics(_metrics(out)), step)
        log, began = MetricsLog(_metrics(out)), time.perf_counter()
        judged = train if valid is None else valid
        best, best_step, least = model, 0, np.inf
        for step, strength in enumerate(pseudo_counts, 1):
            tables = network.estimate(train.x, strength, lengths=train.lengths, backoff=True)
            counted = Autoregressive(tables, model.likelihood)
            loss = -float(score(counted, judged.x, lengths=judged.lengths).mean())
            seconds = round(time.perf_counter() - began, 3)
            name = "loss" if valid is None else "valid_loss"
            log.write({"step": step, "pseudo_count": strength, name: loss, "seconds": seconds})
            if loss < least or best_step == 0:
                best, best_step, least = counted, step, loss
        if checkpoints is not None:
            checkpoints.save(best_step, model=best)
            checkpoints.wait()
    return _result(best, log.rows, best_step)


def check_counted(*splits: Batch | None) -> None:
    """Refuses data of which examples or their parts count for more than others.

    Raises:
        ValueError: for weights, or missing values.
    """
    for split in splits:
        for name in ("weights", "observed"):
            if split is not None and getattr(split, name) is not None:
                raise ValueError(
                    f"counting counts every value of every example once; it takes no {name}"
                )


def counted_network(model: Model) -> Markov:
    """The part of a model that is counted.

    Raises:
        ValueError: if it has none.
    """
    network = model.conditional if isinstance(model, Autoregressive) else model
    if not isinstance(network, Markov) or network.table is None:
        raise ValueError(
            f"counting: expected a Markov model of levels, which has tables, got "
            f"{type(network).__name__}"
        )
    return network


def _metrics(out: Path | None) -> Path | None:
    return None if out is None else out / "metrics.jsonl"


def _result(model: Model, rows: list[dict], best_step: int) -> FitResult:
    state = TrainState.create(model, optax.identity(), jax.random.key(0))
    return FitResult(model, state, rows, best_step)
