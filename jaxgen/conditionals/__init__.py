"""Floor 3: networks with the autoregressive property, one file per paper."""

from jaxgen.conditionals.attention import CausalTransformer
from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.made import MADE

__all__ = ["MADE", "CausalTransformer", "Conditional"]
