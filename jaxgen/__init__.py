"""jaxgen: likelihood-based deep generative models for JAX and Flax.

Autoregressive models, normalizing flows and variational autoencoders behind one contract. Start
with :mod:`jaxgen.zoo` for the models of the literature, or compose :mod:`jaxgen.bijectors` and
:mod:`jaxgen.conditionals` into your own.
"""

import importlib
from typing import Any

from jaxgen.core import (
    Buffer,
    ShapeError,
    compute_in,
    freeze,
    num_parameters,
    rematerialize,
    summary,
)

__version__ = "0.2.0"

# Loaded when first used, so that `import jaxgen` stays as light as JAX and Flax themselves.
_SUBMODULES = (
    "bijectors",
    "compression",
    "conditionals",
    "data",
    "estimators",
    "evaluation",
    "functional",
    "likelihoods",
    "models",
    "networks",
    "runs",
    "testing",
    "training",
    "transforms",
    "zoo",
)

__all__ = [
    "Buffer",
    "ShapeError",
    "compute_in",
    "freeze",
    "load",
    "num_parameters",
    "pretrained",
    "rematerialize",
    "save",
    "summary",
    *_SUBMODULES,
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"jaxgen.{name}")
    if name in ("load", "pretrained", "save"):
        return vars(importlib.import_module("jaxgen.runs"))[name]
    raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
