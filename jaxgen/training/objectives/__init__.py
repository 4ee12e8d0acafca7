"""What training minimises, each a function ``(model, batch, key, **arguments) -> loss``."""

from jaxgen.training.objectives.likelihood import (
    Batch,
    Objective,
    economical,
    negative_log_likelihood,
    reverse_kl,
)
from jaxgen.training.objectives.names import named_objective
from jaxgen.training.objectives.variational import (
    elbo,
    importance_weighted,
    reweighted_wake_sleep,
    vector_quantized,
    wake_sleep,
)

__all__ = [
    "Batch",
    "Objective",
    "economical",
    "elbo",
    "importance_weighted",
    "named_objective",
    "negative_log_likelihood",
    "reverse_kl",
    "reweighted_wake_sleep",
    "vector_quantized",
    "wake_sleep",
]
