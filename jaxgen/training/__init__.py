"""Floor 7: objectives, the training state, jitted and pmapped steps, the loop, procedures."""

from jaxgen.training.columns import ColumnWarning
from jaxgen.training.loop import FitResult, NonFiniteLossError, fit
from jaxgen.training.objectives import Batch, negative_log_likelihood, reverse_kl
from jaxgen.training.optimizers import make_optimizer
from jaxgen.training.settings import TrainSettings
from jaxgen.training.state import TrainState
from jaxgen.training.steps import make_pmap_step, make_step, make_steps

__all__ = [
    "Batch",
    "ColumnWarning",
    "FitResult",
    "NonFiniteLossError",
    "TrainSettings",
    "TrainState",
    "fit",
    "make_optimizer",
    "make_pmap_step",
    "make_step",
    "make_steps",
    "negative_log_likelihood",
    "reverse_kl",
]
