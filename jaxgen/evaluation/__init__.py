"""Floor 7: records, calibration, completions, strange examples, latents, plots, sound."""

from jaxgen.evaluation import ood
from jaxgen.evaluation.calibration import (
    Calibration,
    calibration_plot,
    coverage,
    highest_density_regions,
    integral_transform,
    simulation_based_calibration,
    tarp,
)
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
    "Calibration",
    "NormalizerEstimate",
    "Record",
    "attribute_vectors",
    "calibration_plot",
    "completion_grid",
    "coverage",
    "density_2d",
    "divergence_plot",
    "evaluate",
    "highest_density_regions",
    "importance_log_normalizer",
    "in_logit_space",
    "integral_transform",
    "interpolate",
    "interpolation_grid",
    "latent_map",
    "loss_curve",
    "observed_around",
    "ood",
    "reconstruction_grid",
    "sample_grid",
    "simulation_based_calibration",
    "tarp",
    "traversal_grid",
    "traverse",
    "waveforms",
    "write_wav",
]
