"""Floor 7: likelihood records and plots."""

from jaxgen.evaluation.plots import density_2d, loss_curve, sample_grid
from jaxgen.evaluation.records import Record, evaluate

__all__ = ["Record", "density_2d", "evaluate", "loss_curve", "sample_grid"]
