"""Floor 7: likelihood records, completions, scores of strange examples, latents, plots, sound."""

from jaxgen.evaluation import ood
from jaxgen.evaluation.completion import HOLES, completion_grid, observed_around
from jaxgen.evaluation.interpolation import interpolate, interpolation_grid
from jaxgen.evaluation.latents import (
    attribute_vectors,
    divergence_plot,
    latent_map,
    reconstruction_grid,
    traversal_grid,
    traverse,
)
from jaxgen.evaluation.logit_space import in_logit_space
from jaxgen.evaluation.plots import density_2d, loss_curve, sample_grid, waveforms
from jaxgen.evaluation.records import Record, evaluate
from jaxgen.evaluation.sound import write_wav
from jaxgen.evaluation.variational import NormalizerEstimate, importance_log_normalizer

__all__ = [
    "HOLES",
    "NormalizerEstimate",
    "Record",
    "attribute_vectors",
    "completion_grid",
    "density_2d",
    "divergence_plot",
    "evaluate",
    "importance_log_normalizer",
    "in_logit_space",
    "interpolate",
    "interpolation_grid",
    "latent_map",
    "loss_curve",
    "observed_around",
    "ood",
    "reconstruction_grid",
    "sample_grid",
    "traversal_grid",
    "traverse",
    "waveforms",
    "write_wav",
]
