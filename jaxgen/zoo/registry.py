"""The zoo by name, for configurations and the command line."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx

from jaxgen.core import Shape, unknown
from jaxgen.models import Model
from jaxgen.zoo.attention import attention
from jaxgen.zoo.dequantizer import dequantizer
from jaxgen.zoo.eonade import eonade
from jaxgen.zoo.flowpp import flowpp
from jaxgen.zoo.fvsbn import fvsbn
from jaxgen.zoo.gated_pixelcnn import gated_pixelcnn
from jaxgen.zoo.glow import glow
from jaxgen.zoo.growing import growing
from jaxgen.zoo.iaf import iaf
from jaxgen.zoo.jet import jet
from jaxgen.zoo.lmconv import lmconv
from jaxgen.zoo.made import made
from jaxgen.zoo.maf import maf
from jaxgen.zoo.maf_mog import maf_mog
from jaxgen.zoo.markov import markov
from jaxgen.zoo.mixture import mixture
from jaxgen.zoo.nade import nade
from jaxgen.zoo.nice import nice
from jaxgen.zoo.nsf import nsf
from jaxgen.zoo.pixelcnn import pixelcnn
from jaxgen.zoo.pixelcnnpp import pixelcnnpp
from jaxgen.zoo.pixelrnn import multiscale_pixelrnn, pixelrnn
from jaxgen.zoo.realnvp import realnvp
from jaxgen.zoo.recurrent import recurrent
from jaxgen.zoo.tarflow import tarflow
from jaxgen.zoo.wavenet import wavenet

_CONSTRUCTORS: dict[str, Callable[..., Model]] = {
    constructor.__name__: constructor
    for constructor in (
        attention,
        dequantizer,
        eonade,
        flowpp,
        fvsbn,
        gated_pixelcnn,
        glow,
        growing,
        iaf,
        jet,
        lmconv,
        made,
        maf,
        maf_mog,
        markov,
        mixture,
        multiscale_pixelrnn,
        nade,
        nice,
        nsf,
        pixelcnn,
        pixelrnn,
        pixelcnnpp,
        realnvp,
        recurrent,
        tarflow,
        wavenet,
    )
}


def names() -> list[tuple[str, str]]:
    """The constructors' names and what each of them builds, alphabetically."""
    return [
        (name, (inspect.getdoc(constructor) or "").splitlines()[0])
        for name, constructor in sorted(_CONSTRUCTORS.items())
    ]


def hyperparameters(name: str) -> dict[str, Any]:
    """The hyperparameters of a model and their defaults.

    Raises:
        ValueError: for an unknown model, naming the nearest one.
    """
    if name not in _CONSTRUCTORS:
        raise unknown("model", name, _CONSTRUCTORS)
    parameters = inspect.signature(_CONSTRUCTORS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY and p.name != "rngs"}


def build(name: str, event_shape: Shape, arguments: Mapping[str, Any], *, rngs: nnx.Rngs) -> Model:
    """The model of this name with these hyperparameters.

    Raises:
        ValueError: for an unknown model or hyperparameter, naming the nearest one.

    >>> type(build("maf", (2,), {"layers": 2, "hidden": [8]}, rngs=nnx.Rngs(0))).__name__
    'Flow'
    """
    known = hyperparameters(name)
    for argument in arguments:
        if argument not in known:
            raise unknown(f"{name} hyperparameter", argument, known)
    return _CONSTRUCTORS[name](tuple(event_shape), **arguments, rngs=rngs)
