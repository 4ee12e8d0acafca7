"""Floor 4: bijectors, Flax modules over the pure functions of floor 0."""

from jaxgen.bijectors.actnorm import ActNorm
from jaxgen.bijectors.autoregressive import MaskedAutoregressive
from jaxgen.bijectors.base import Bijector
from jaxgen.bijectors.chain import Chain
from jaxgen.bijectors.coupling import Channels, Checkerboard, Coupling
from jaxgen.bijectors.elementwise import Logit, Tanh
from jaxgen.bijectors.inverse import Inverse
from jaxgen.bijectors.linear import Conv1x1, DenseMatrix, LUMatrix
from jaxgen.bijectors.rearrange import Flip, Permutation, Split, Squeeze
from jaxgen.bijectors.scan import Scan
from jaxgen.bijectors.standardize import Standardize

__all__ = [
    "ActNorm",
    "Bijector",
    "Chain",
    "Channels",
    "Checkerboard",
    "Conv1x1",
    "Coupling",
    "DenseMatrix",
    "Flip",
    "Inverse",
    "LUMatrix",
    "Logit",
    "MaskedAutoregressive",
    "Permutation",
    "Scan",
    "Split",
    "Squeeze",
    "Standardize",
    "Tanh",
]
