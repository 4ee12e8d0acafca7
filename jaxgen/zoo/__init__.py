"""Floor 6: the models of the literature, one file per paper, each a composition of the parts.

A constructor takes the event's shape first and ``rngs`` last; its hyperparameters are named as in
the paper.
"""

from jaxgen.zoo.glow import glow
from jaxgen.zoo.made import made
from jaxgen.zoo.maf import maf
from jaxgen.zoo.realnvp import realnvp
from jaxgen.zoo.registry import build, hyperparameters, names

__all__ = ["build", "glow", "hyperparameters", "made", "maf", "names", "realnvp"]
