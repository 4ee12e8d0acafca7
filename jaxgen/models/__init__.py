"""Floor 5: the model classes, one contract for all of them."""

from jaxgen.models.autoregressive import Autoregressive
from jaxgen.models.base import Model
from jaxgen.models.densities import StandardNormal
from jaxgen.models.dequantized import Dequantized
from jaxgen.models.ensemble import Ensemble
from jaxgen.models.flow import Flow

__all__ = ["Autoregressive", "Dequantized", "Ensemble", "Flow", "Model", "StandardNormal"]
