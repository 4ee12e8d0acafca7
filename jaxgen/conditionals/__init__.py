"""Floor 3: networks with the autoregressive property, one file per paper."""

from jaxgen.conditionals.attention import CausalTransformer
from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.eonade import EoNADE
from jaxgen.conditionals.fvsbn import FVSBN
from jaxgen.conditionals.gated_pixelcnn import GatedPixelCNN
from jaxgen.conditionals.growing import Growing
from jaxgen.conditionals.independent import Independent
from jaxgen.conditionals.lmconv import LMConv
from jaxgen.conditionals.made import MADE
from jaxgen.conditionals.markov import Markov
from jaxgen.conditionals.nade import NADE
from jaxgen.conditionals.periodic import PeriodicConditional
from jaxgen.conditionals.pixelcnn import PixelCNN
from jaxgen.conditionals.pixelcnnpp import PixelCNNPP
from jaxgen.conditionals.pixelrnn import DiagonalBiLSTM, RowLSTM
from jaxgen.conditionals.recurrent import Recurrent
from jaxgen.conditionals.wavenet import WaveNet

__all__ = [
    "FVSBN",
    "MADE",
    "NADE",
    "CausalTransformer",
    "Conditional",
    "DiagonalBiLSTM",
    "EoNADE",
    "GatedPixelCNN",
    "Growing",
    "Independent",
    "LMConv",
    "Markov",
    "PeriodicConditional",
    "PixelCNN",
    "PixelCNNPP",
    "Recurrent",
    "RowLSTM",
    "WaveNet",
]
