"""Floor 5: the model classes, one contract for all of them."""

from jaxgen.models.autoregressive import Autoregressive
from jaxgen.models.base import Model
from jaxgen.models.cylinder import Cylinder
from jaxgen.models.densities import (
    ClassConditionalNormal,
    DiagonalNormal,
    Logistic,
    StandardNormal,
    StudentT,
    Uniform,
    VonMises,
)
from jaxgen.models.dequantized import Dequantized
from jaxgen.models.embedded import Embedded
from jaxgen.models.ensemble import Ensemble
from jaxgen.models.factorized import Factorized
from jaxgen.models.flow import Flow
from jaxgen.models.frame import Frame
from jaxgen.models.mixture import Mixture
from jaxgen.models.multi_scale import MultiScale
from jaxgen.models.multivariate import MultivariateNormal
from jaxgen.models.nearest import Nearest
from jaxgen.models.top_down import TopDown
from jaxgen.models.vae import VAE
from jaxgen.models.vampprior import VampPrior

__all__ = [
    "VAE",
    "Autoregressive",
    "ClassConditionalNormal",
    "Cylinder",
    "Dequantized",
    "DiagonalNormal",
    "Embedded",
    "Ensemble",
    "Factorized",
    "Flow",
    "Frame",
    "Logistic",
    "Mixture",
    "Model",
    "MultiScale",
    "MultivariateNormal",
    "Nearest",
    "StandardNormal",
    "StudentT",
    "TopDown",
    "Uniform",
    "VampPrior",
    "VonMises",
]
