"""Floor 7: lossless coding with any discrete model."""

from jaxgen.compression.coding import decode, encode
from jaxgen.compression.errors import CompressionError

__all__ = ["CompressionError", "decode", "encode"]
