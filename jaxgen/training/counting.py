"""Tables that are counted instead of trained."""

import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import optax

from jaxgen.conditionals import Markov
from jaxgen.models import Autoregressive, Model
from jaxgen.models.scoring import score
from jaxgen.training.claims import kept_in
from jaxgen.training.descent import FitResult
from jaxgen.training.metrics import MetricsLog, read_metrics
from jaxgen.training.objectives import Batch
from jaxgen.training.saved import SavedModel
from jaxgen.training.state import TrainState


def count(
    model: Model, train: Batch, valid: Batch, pseudo_counts: Sequence[float], *, out: Path | str
) -> FitResult:
    """A Markov model whose tables are counts, with the prior that is best in validation.

    Every strength of the prior is tried, see :meth:`jaxgen.conditionals.Markov.estimate` (with
    ``backoff``). ``metrics.jsonl`` gets a row for each, whose ``step`` numbers them from 1; the
    checkpoint is of the best. A run that has one is not counted again.

    Args:
        model: an :class:`~jaxgen.models.Autoregressive` model over a
            :class:`~jaxgen.conditionals.Markov` network with tables.
        train: what is counted, integer levels.
        valid: what chooses.
        pseudo_counts: strengths of the prior, in examples for each configuration of the parents.
        out: the run directory.

    Returns:
        A :class:`~jaxgen.training.FitResult`.

    Raises:
        ValueError: if the model is another.
    """
    network = counted_network(model)
    assert isinstance(model, Autoregressive)  # or it would have been refused
    out = Path(out)

    def about() -> SavedModel:
        return SavedModel.of(model, pseudo_counts=pseudo_counts)

    with kept_in(out, about, {"training": train, "validation": valid}) as checkpoints:
        assert checkpoints is not None
        if found := checkpoints.restore_model(model):
            step, counted = found
            return _result(counted, read_metrics(out / "metrics.jsonl"), step)
        best_step = None
        log, began, best = MetricsLog(out / "metrics.jsonl"), time.perf_counter(), model
        x, lengths = np.asarray(train.x), train.lengths
        for step, strength in enumerate(pseudo_counts, 1):
            tables = network.estimate(
                x, strength, lengths=None if lengths is None else np.asarray(lengths), backoff=True
            )
            counted = Autoregressive(tables, model.likelihood)
            ends = None if valid.lengths is None else np.asarray(valid.lengths)
            loss = -float(score(counted, np.asarray(valid.x), lengths=ends).mean())
            seconds = round(time.perf_counter() - began, 3)
            row = {"step": step, "pseudo_count": strength, "valid_loss": loss, "seconds": seconds}
            if all(loss < earlier["valid_loss"] for earlier in log.rows):
                best, best_step = counted, step
            log.write(row)
        assert best_step is not None
        checkpoints.save(best_step, model=best)
        checkpoints.wait()
    return _result(best, log.rows, best_step)


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


def _result(model: Model, rows: list[dict], best_step: int) -> FitResult:
    state = TrainState.create(model, optax.identity(), jax.random.key(0))
    return FitResult(model, state, rows, best_step)
