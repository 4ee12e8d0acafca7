"""Floor 7: objectives, the training state, jitted and pmapped steps, the loop, procedures."""

from jaxgen.training.columns import ColumnWarning
from jaxgen.training.counting import count
from jaxgen.training.descent import FitResult, NonFiniteLossError
from jaxgen.training.loop import fit
from jaxgen.training.objectives import (
    Batch,
    elbo,
    importance_weighted,
    negative_log_likelihood,
    reverse_kl,
    reweighted_wake_sleep,
    wake_sleep,
)
from jaxgen.training.optimizers import make_optimizer
from jaxgen.training.profile import Trace
from jaxgen.training.settings import TrainSettings
from jaxgen.training.state import TrainState
from jaxgen.training.steps import make_pmap_step, make_step, make_steps
from jaxgen.training.tensorboard import TensorBoard

__all__ = [
    "Batch",
    "ColumnWarning",
    "FitResult",
    "NonFiniteLossError",
    "TensorBoard",
    "Trace",
    "TrainSettings",
    "TrainState",
    "count",
    "elbo",
    "fit",
    "importance_weighted",
    "make_optimizer",
    "make_pmap_step",
    "make_step",
    "make_steps",
    "negative_log_likelihood",
    "reverse_kl",
    "reweighted_wake_sleep",
    "wake_sleep",
]
