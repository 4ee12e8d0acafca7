"""Training by stochastic gradient descent: what is given, checked and prepared."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from jaxgen.core.stored import in_memory
from jaxgen.models import Model
from jaxgen.training.augment import as_seen
from jaxgen.training.checks import check_arguments, check_inputs
from jaxgen.training.columns import warn_of_columns, warn_of_contexts
from jaxgen.training.descent import FitResult, descend
from jaxgen.training.inputs import Given, as_given, check_alike, with_validation
from jaxgen.training.objectives import Batch, Objective, named_objective, negative_log_likelihood
from jaxgen.training.objectives.names import has_name
from jaxgen.training.optimizers import Optimizer
from jaxgen.training.settings import TrainSettings
from jaxgen.training.sharding import as_in_context, automatic, mesh_for, within
from jaxgen.training.stopping import Callback


def fit(
    model: Model,
    train: Any = None,
    valid: Any = None,
    settings: TrainSettings | None = None,
    *,
    out: Path | str | None = None,
    objective: Objective | str = negative_log_likelihood,
    optimizer: Optimizer | None = None,
    callbacks: Sequence[Callback] = (),
    mesh: Mesh | None = None,
    progress: bool = True,
) -> FitResult:
    """Trains a model by stochastic gradient descent.

    With ``out``, checkpoints and metrics are written there, and calling it again with the same
    arguments goes on from the last checkpoint to exactly the parameters of an uninterrupted run:
    a batch is a function of the seed and the step, and so is the noise of a step. Other data or
    settings, be it the number of steps, would be another training, and are refused; to train a
    model further, train ``result.model``.

    A model with batch normalisation is calibrated before every validation, and before it is saved
    or returned, on ``CALIBRATION_EXAMPLES`` of the training data.

    A second training of the same kind (the same settings and shapes) takes the compiled steps of
    the first; with an objective or an optimizer of one's own they are compiled again.

    Args:
        model: what to train; it is left as it is.
        train: examples ``(n, *event_shape)``: an array, or a table with ``columns`` (a data frame);
            with more to each, a tuple ``(x, context)``, a dictionary of ``x``, ``context`` or
            ``labels``, ``lengths``, ``weights`` and ``observed``, a :class:`Batch`, or a
            :class:`~jaxgen.data.Dataset`. Integer labels ``(n,)`` become their one-hot where that
            is what the model takes. Weights, of any scale, say how much each example counts: in
            the likelihood, in validation, and in what layers are initialised from. Booleans
            ``observed``, such as ``~np.isnan(x)``, say what is known of rows with missing values,
            for a model that knows the density of any part of an event. An objective
            that looks at no data (:func:`reverse_kl`) takes None, or the contexts alone as
            ``Batch(context=contexts)``; nothing is initialised from data then.
        valid: the same for validation; a fraction between 0 and 1 of the training data, which
            is held out, chosen by the seed; or None.
        settings: see :class:`TrainSettings`.
        out: the run directory, from which :func:`jaxgen.load` gives the model back; or None to
            keep nothing. One that another training writes to, or has written, is refused: of other
            data, settings, or structure. Of other parameters to begin with a warning tells; an
            optimizer of your own is not compared.
        objective: ``(model, batch, key) -> loss``, or the name of one of
            :mod:`jaxgen.training.objectives`; with arguments of its own it is a
            ``functools.partial(elbo, beta=4.0, warmup_steps=1000)``.
        optimizer: any optax optimizer, complete with its learning rate, or an
            ``optax.MultiSteps`` of one, which accumulates gradients over batches. It takes the
            place of the one that the settings name: their ``learning_rate``, ``schedule``,
            ``clip_norm`` and ``weight_decay`` play no role then. None for theirs.
        callbacks: functions, each called with every row that is logged. If one returns True,
            training ends there, as it does when patience runs out.
        mesh: devices to use, with an axis ``"data"`` and perhaps one ``"model"``, see
            :mod:`jaxgen.training.sharding`; what the setting ``sharding`` says if None.
        progress: shows a progress bar.

    Returns:
        A :class:`FitResult`.

    Raises:
        ValueError: if the data are missing, empty, not numbers, not finite, outside the model's
            support, fewer than a batch, or float64 whose content float32 would lose; or the
            validation data number other characters or classes, or are missing where there is
            patience; or the optimizer asks for more than gradients (``optax.lbfgs``).
        NonFiniteLossError: if the loss stops being finite; the last good checkpoint stays.
        RunError: if ``out`` cannot be written, or holds a training of another model, of other
            settings, or on other data.
        InUseError: if another process trains in ``out``.
        CheckpointError: if the checkpoints there are of another model or optimizer, or all damaged.

    Warns:
        ColumnWarning: of columns of real values over which a density has no bound, because they
            are constant (in 2 rows or more) or repeat values, or which have outliers (in 16); and
            of contexts whose outliers leave nothing of the others.
        UserWarning: once, of a validation loss that is not finite.

    >>> import numpy as np
    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> flow = zoo.maf((2,), layers=1, hidden=(8,), rngs=nnx.Rngs(0))
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    >>> result = fit(flow, x, settings=TrainSettings(steps=2, batch_size=32), progress=False)
    >>> result.history[-1]["step"]
    2
    """
    settings = settings if settings is not None else TrainSettings()
    objective = named_objective(objective, {}) if isinstance(objective, str) else objective
    check_arguments(model, settings, objective, mesh, callbacks)
    own = mesh_for(settings) if mesh is None else automatic(mesh, settings)
    given = as_given(train, model, "training") or Given(Batch())
    check_alike(train, valid)
    train, valid = with_validation(given.batch, valid, model, settings)
    if train.x is None and objective is negative_log_likelihood:
        raise ValueError(
            "fit: expected training data, got None; maximum likelihood needs them, an objective "
            "like reverse_kl does not"
        )
    if valid is None and settings.patience is not None:
        raise ValueError(
            f"fit: expected validation data, or a fraction of the training data to hold out, for "
            f"patience={settings.patience} to count their losses, got valid=None"
        )
    # Before anything is written.
    seen = as_seen(objective, train)
    check_inputs(model, seen, valid, settings, optimizer, given.columns)
    del seen  # which may be a second copy of all examples
    if train.x is not None and has_name(objective):  # one's own may add noise
        warn_of_columns(model, in_memory(train.x), given.columns, train.observed)
    if train.context is not None:
        warn_of_contexts(in_memory(train.context))
    with within(own):
        result = descend(
            model,
            train,
            valid,
            settings,
            out=None if out is None else Path(out),
            objective=objective,
            optimizer=optimizer,
            callbacks=callbacks,
            mesh=own,
            progress=progress,
        )
    return dataclasses.replace(
        result, model=as_in_context(result.model, whole=True), state=as_in_context(result.state)
    )
