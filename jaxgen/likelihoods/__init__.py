"""Floor 3: the distributions that an autoregressive network parametrises.

A likelihood scores the values at the positions of a grid, ``(*batch, *grid, *position)``, with
parameters ``(*batch, *grid, num_params)``; the entries of one position are independent given its
parameters, unless it says otherwise; :class:`jaxgen.models.Frame` couples those of any of these. A
sample is a function of the parameters and of noise, so that samplers which visit positions in
different ways return the same array for the same key.
"""

from jaxgen.likelihoods.base import Likelihood
from jaxgen.likelihoods.columns import Columns
from jaxgen.likelihoods.continuous import GaussianMixture, Normal
from jaxgen.likelihoods.counts import NegativeBinomial, Poisson
from jaxgen.likelihoods.discrete import Bernoulli, Categorical, for_levels
from jaxgen.likelihoods.discretized import DiscretizedLogisticMixture
from jaxgen.likelihoods.ordinal import Ordinal

__all__ = [
    "Bernoulli",
    "Categorical",
    "Columns",
    "DiscretizedLogisticMixture",
    "GaussianMixture",
    "Likelihood",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Poisson",
    "for_levels",
]
