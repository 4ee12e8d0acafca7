"""Floor 7: lossless coding with any discrete model."""

from jaxgen.compression.coding import decode, encode
from jaxgen.compression.errors import CompressionError
from jaxgen.compression.measure import Measurement, measure

__all__ = ["CompressionError", "Measurement", "decode", "encode", "measure"]
