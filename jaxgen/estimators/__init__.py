r"""Densities with scikit-learn's interface: pipelines, searches, data frames.

An estimator standardises its columns itself, in float64, and trains a model of the zoo on what
comes of them in float32. With the mean :math:`m` and the scale :math:`s` of the training rows,

.. math:: \log p(x) = \log q\left(\frac{x - m}{s}\right) - \sum_i \log s_i,

so that no unit and no offset costs digits. Columns that mean something as they stand stay so
(:math:`m = 0`, :math:`s = 1`): levels, counts, angles, and those with bounds.

Rows are trained on in an order of their own, not the one they come in, and one of a whole weight as
often as that says: weight 2 is the row twice and weight 0 is none, to the bit. Other weights, and
whole ones that would make more than ten times as many rows, multiply what a row adds to the loss.

Rows are scored, drawn and transformed in chunks of one size, the last one filled up. So one program
does for any number of rows, and what comes of a row does not depend on the others.
"""

from jaxgen.estimators.conditional import ConditionalDensity
from jaxgen.estimators.density import AutoregressiveDensity, FlowDensity

__all__ = ["AutoregressiveDensity", "ConditionalDensity", "FlowDensity"]
