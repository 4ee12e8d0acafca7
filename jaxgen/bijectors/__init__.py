"""Floor 4: bijectors, Flax modules over the pure functions of floor 0."""

from jaxgen.bijectors.autoregressive import MaskedAutoregressive
from jaxgen.bijectors.base import Bijector
from jaxgen.bijectors.bounded import Bounded
from jaxgen.bijectors.circle import Circle, Rotation
from jaxgen.bijectors.composition import Chain, Inverse, Scan
from jaxgen.bijectors.coupling import Alternating, Channels, Checkerboard, Coupling, Random, Tokens
from jaxgen.bijectors.distrax import as_distrax, from_distrax
from jaxgen.bijectors.elementwise import Elementwise, Logit, Tanh
from jaxgen.bijectors.linear import Conv1x1, DenseMatrix, HouseholderMatrix, LUMatrix, Matrix
from jaxgen.bijectors.normalisation import ActNorm, BatchNorm, Standardize
from jaxgen.bijectors.planar import Planar
from jaxgen.bijectors.rearrange import Flip, Permutation, Reshape, Split, Squeeze
from jaxgen.bijectors.sylvester import Sylvester

__all__ = [
    "ActNorm",
    "Alternating",
    "BatchNorm",
    "Bijector",
    "Bounded",
    "Chain",
    "Channels",
    "Checkerboard",
    "Circle",
    "Conv1x1",
    "Coupling",
    "DenseMatrix",
    "Elementwise",
    "Flip",
    "HouseholderMatrix",
    "Inverse",
    "LUMatrix",
    "Logit",
    "MaskedAutoregressive",
    "Matrix",
    "Permutation",
    "Planar",
    "Random",
    "Reshape",
    "Rotation",
    "Scan",
    "Split",
    "Squeeze",
    "Standardize",
    "Sylvester",
    "Tanh",
    "Tokens",
    "as_distrax",
    "from_distrax",
]
