"""Is it strange? Scores of examples that are out of distribution, and what can be said of them.

>>> import numpy as np
>>> from jaxgen.evaluation import ood
>>> from jaxgen.models import StandardNormal
>>> rng = np.random.default_rng(0)
>>> model, data = StandardNormal((2,)), rng.normal(size=(300, 2)).astype(np.float32)
>>> strange = ood.detector(model, data[:100])  # by the typicality of the likelihood
>>> threshold = ood.calibrate(strange(data[100:200]), alpha=0.05)
>>> others = rng.uniform(5.0, 6.0, (100, 2)).astype(np.float32)
>>> int(threshold.alarms(strange(others)).sum())
100
>>> print(ood.detection(strange(data[200:]), strange(others)).auroc)
1.000 [1.000, 1.000]
"""

from jaxgen.evaluation.ood.conformal import Threshold, calibrate
from jaxgen.evaluation.ood.detection import Detection, Interval, detection, roc
from jaxgen.evaluation.ood.detector import Detector, detector
from jaxgen.evaluation.ood.figures import extremes, roc_curves, score_histogram
from jaxgen.evaluation.ood.goodness import goodness_of_fit
from jaxgen.evaluation.ood.gradients import gradient_norms
from jaxgen.evaluation.ood.path import latent_path
from jaxgen.evaluation.ood.presets import named_score, scores_of
from jaxgen.evaluation.ood.regret import likelihood_regret
from jaxgen.evaluation.ood.statistics import (
    Statistic,
    code_length,
    input_complexity,
    likelihood_ratio,
    negative_log_likelihood,
    waic,
)

__all__ = [
    "Detection",
    "Detector",
    "Interval",
    "Statistic",
    "Threshold",
    "calibrate",
    "code_length",
    "detection",
    "detector",
    "extremes",
    "goodness_of_fit",
    "gradient_norms",
    "input_complexity",
    "latent_path",
    "likelihood_ratio",
    "likelihood_regret",
    "named_score",
    "negative_log_likelihood",
    "roc",
    "roc_curves",
    "score_histogram",
    "scores_of",
    "waic",
]
