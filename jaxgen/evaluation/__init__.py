"""Floor 7: likelihood records, importance sampling, paths through latent spaces, plots."""

from jaxgen.evaluation.interpolation import interpolate, interpolation_grid
from jaxgen.evaluation.logit_space import in_logit_space
from jaxgen.evaluation.plots import density_2d, loss_curve, sample_grid
from jaxgen.evaluation.records import Record, evaluate
from jaxgen.evaluation.variational import NormalizerEstimate, importance_log_normalizer

__all__ = [
    "NormalizerEstimate",
    "Record",
    "density_2d",
    "evaluate",
    "importance_log_normalizer",
    "in_logit_space",
    "interpolate",
    "interpolation_grid",
    "loss_curve",
    "sample_grid",
]
