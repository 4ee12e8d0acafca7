"""Data sets and batches, as numpy arrays.

``load`` turns a short spec (``"digits"``, ``"toy:two_moons"``, ``"npz:PATH"``, ``"npy:PATH"``,
``"images:DIR"``, ``"csv:PATH"``, ``"parquet:PATH"``, ``"tfds:NAME"``, ``"audio:PATH"``,
``"text:PATH"``) and a split into a validated ``Dataset``; ``names`` lists the specs.
``batch_indices`` says which rows form which batch. Importing this package imports nothing that
``import jaxgen`` does not, numpy and jax: what a data set needs besides is imported when it is
loaded.
"""

from jaxgen.data.batching import batch_indices
from jaxgen.data.dataset import Dataset
from jaxgen.data.specs import load, names
from jaxgen.data.text import Vocabulary

__all__ = ["Dataset", "Vocabulary", "batch_indices", "load", "names"]
