"""Floor 8: recipes, experiment files and run directories."""

from jaxgen.runs.cache import keep_programs
from jaxgen.runs.calibration import calibrate_run
from jaxgen.runs.compress import compress_run, decompress_run
from jaxgen.runs.directory import Run
from jaxgen.runs.draw import joined, sample, sample_text
from jaxgen.runs.export import export_run
from jaxgen.runs.files import ExperimentFile, load_recipe
from jaxgen.runs.hub import pretrained_names, push
from jaxgen.runs.latents import interpolate_run, reconstruct_run, traverse_run
from jaxgen.runs.ood import ood_run, score_run
from jaxgen.runs.recipe import Recipe
from jaxgen.runs.record import complete_run, evaluate_run
from jaxgen.runs.saving import load, pretrained, save
from jaxgen.runs.tables import complete_table
from jaxgen.runs.train import train
from jaxgen.training.saved import RunError

__all__ = [
    "ExperimentFile",
    "Recipe",
    "Run",
    "RunError",
    "calibrate_run",
    "complete_run",
    "complete_table",
    "compress_run",
    "decompress_run",
    "evaluate_run",
    "export_run",
    "interpolate_run",
    "joined",
    "keep_programs",
    "load",
    "load_recipe",
    "ood_run",
    "pretrained",
    "pretrained_names",
    "push",
    "reconstruct_run",
    "sample",
    "sample_text",
    "save",
    "score_run",
    "train",
    "traverse_run",
]
