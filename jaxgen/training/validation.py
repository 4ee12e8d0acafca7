"""The loss on the validation data."""

import warnings

import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxgen.models import Model
from jaxgen.models.latent_use import latent_use
from jaxgen.models.scoring import score
from jaxgen.training.objectives import Batch


class Validation:
    """The mean negative log-likelihood of validation data, in nats.

    Args:
        data: the examples, with what belongs to them.
        key: of the noise, the same in every validation.
        mesh: the devices over which examples are cut.
    """

    def __init__(self, data: Batch, key: Array, mesh: Mesh):
        self._data, self._key, self._mesh = data, key, mesh
        self._warned = False

    def latents(self, model: Model) -> dict[str, float]:
        """What a model's latents are used for, by name; nothing of one without a posterior.

        ``divergence`` is the mean of all its nats, see :mod:`jaxgen.models.latent_use`.
        """
        if not model.has_posterior:
            return {}
        data = self._data
        assert data.x is not None  # or it would have been refused
        use = latent_use(model, data.x, data.context, key=self._key, mesh=self._mesh)
        return {"divergence": float(use.divergence.sum()), "active_units": use.active_units}

    def loss(self, model: Model) -> float:
        """The loss of a model; the first one that is not finite comes with a warning.

        Infinite is that of a model which gives an example no density at all.
        """
        data = self._data
        assert data.x is not None  # or it would have been refused
        scores = score(
            model,
            data.x,
            data.context,
            lengths=None if data.lengths is None else np.asarray(data.lengths),
            known=None if data.observed is None else np.asarray(data.observed),
            key=self._key,
            mesh=self._mesh,
        )
        # An example without weight has no part in it, be its density what it may.
        counted = np.ones(len(scores), bool) if data.weights is None else data.weights > 0
        weights = None if data.weights is None else data.weights[counted]
        with np.errstate(invalid="ignore"):  # of both infinities, which becomes NaN
            loss = -float(np.average(scores[counted], weights=weights))
        bad = np.flatnonzero(~np.isfinite(scores) & counted)
        if bad.size and not self._warned:
            self._warned = True
            warnings.warn(
                f"fit: the validation loss is {loss}: {bad.size} of {len(scores)} validation "
                f"examples, the first of them {bad[0]}, have log-density {scores[bad[0]]}. No "
                f"parameters are the best by such a loss, and it counts as a miss for patience; "
                f"look for outliers among these examples, or for support that the model lacks",
                stacklevel=4,
            )
        return loss
