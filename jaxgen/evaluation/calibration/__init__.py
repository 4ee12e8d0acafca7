"""Whether a density is calibrated: numbers that are uniform if data come from the model."""

from jaxgen.evaluation.calibration.plots import calibration_plot
from jaxgen.evaluation.calibration.posterior import simulation_based_calibration, tarp
from jaxgen.evaluation.calibration.regions import highest_density_regions
from jaxgen.evaluation.calibration.result import Calibration, coverage
from jaxgen.evaluation.calibration.transform import integral_transform

__all__ = [
    "Calibration",
    "calibration_plot",
    "coverage",
    "highest_density_regions",
    "integral_transform",
    "simulation_based_calibration",
    "tarp",
]
