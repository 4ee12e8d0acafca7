"""Floor 6: the models of the literature, one file per paper, each a composition of the parts.

A constructor takes the event's shape first and ``rngs`` last; its hyperparameters are named as in
the paper. Arguments that mean the same everywhere are explained in :mod:`jaxgen.zoo.arguments`
alone, and shown with the others by ``help``.
"""

from jaxgen.zoo.attention import attention
from jaxgen.zoo.cylinder import cylinder
from jaxgen.zoo.dequantizer import dequantizer
from jaxgen.zoo.eonade import eonade
from jaxgen.zoo.flowpp import flowpp
from jaxgen.zoo.fvae import fvae
from jaxgen.zoo.fvsbn import fvsbn
from jaxgen.zoo.gated_pixelcnn import gated_pixelcnn
from jaxgen.zoo.glow import glow
from jaxgen.zoo.growing import growing
from jaxgen.zoo.helmholtz import helmholtz
from jaxgen.zoo.iaf import iaf
from jaxgen.zoo.iwae import iwae
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
from jaxgen.zoo.pixelvae import pixelvae
from jaxgen.zoo.realnvp import realnvp
from jaxgen.zoo.recurrent import recurrent
from jaxgen.zoo.registry import build, hyperparameters, names
from jaxgen.zoo.sylvester import sylvester
from jaxgen.zoo.tabular import tabular
from jaxgen.zoo.tarflow import tarflow
from jaxgen.zoo.torus import torus
from jaxgen.zoo.vae import vae
from jaxgen.zoo.vae_iaf import vae_iaf
from jaxgen.zoo.vampprior import vampprior
from jaxgen.zoo.vdvae import vdvae
from jaxgen.zoo.vqvae import vqvae
from jaxgen.zoo.wavenet import wavenet

__all__ = [
    "attention",
    "build",
    "cylinder",
    "dequantizer",
    "eonade",
    "flowpp",
    "fvae",
    "fvsbn",
    "gated_pixelcnn",
    "glow",
    "growing",
    "helmholtz",
    "hyperparameters",
    "iaf",
    "iwae",
    "jet",
    "lmconv",
    "made",
    "maf",
    "maf_mog",
    "markov",
    "mixture",
    "multiscale_pixelrnn",
    "nade",
    "names",
    "nice",
    "nsf",
    "pixelcnn",
    "pixelcnnpp",
    "pixelrnn",
    "pixelvae",
    "realnvp",
    "recurrent",
    "sylvester",
    "tabular",
    "tarflow",
    "torus",
    "vae",
    "vae_iaf",
    "vampprior",
    "vdvae",
    "vqvae",
    "wavenet",
]
