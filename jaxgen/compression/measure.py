"""What coding costs beside what the model says: bits, and seconds."""

import dataclasses
import math
import time
from typing import Any

import jax
import numpy as np

from jaxgen.compression.coding import Encoded, encoded, popped
from jaxgen.compression.errors import CompressionError
from jaxgen.compression.header import SIZE
from jaxgen.models import Model
from jaxgen.models.scoring import score


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of encoded events.

    Args:
        examples: how many events.
        dimensions: of each.
        header_bytes: what stands before the bits.
        payload_bits: the bits, the initial ones among them.
        initial_bits: those that a model with latents needs to begin with, once for all events.
        stated_bits: ``-log2 p(x)`` of all events by the model, or its bound, one draw for each.
    """

    examples: int
    dimensions: int
    header_bytes: int
    payload_bits: int
    initial_bits: int
    stated_bits: float

    @property
    def bits_per_dim(self) -> float:
        """All bits, header and initial ones too, for each dimension."""
        return (8 * self.header_bytes + self.payload_bits) / max(1, self.examples * self.dimensions)

    @property
    def excess_bits(self) -> float:
        """Bits beyond those that the model states, without header and initial ones."""
        return self.payload_bits - self.initial_bits - self.stated_bits

    def __str__(self) -> str:
        size = self.header_bytes + math.ceil(self.payload_bits / 8)
        initial = f" + {self.initial_bits} initial bits" if self.initial_bits else ""
        share = f" ({self.excess_bits / self.stated_bits:+.3%})" if self.stated_bits else ""
        return (
            f"{size} bytes: header {self.header_bytes} bytes + payload "
            f"{self.payload_bits - self.initial_bits} bits{initial}; stated "
            f"{self.stated_bits:.1f} bits{share}; {self.bits_per_dim:.4f} bits/dim"
        )


@dataclasses.dataclass(frozen=True)
class Measurement(Size):
    """The size of encoded events, and the time that coding took.

    Args:
        encode_seconds, decode_seconds: with all programs compiled.
        coder_seconds: of both, those spent on the stack of bits; the rest is the model's.
    """

    encode_seconds: float
    decode_seconds: float
    coder_seconds: float

    @property
    def coder_share(self) -> float:
        """How much of the time is the coder's."""
        return self.coder_seconds / (self.encode_seconds + self.decode_seconds)

    def __str__(self) -> str:
        return (
            f"{super().__str__()}; encoded in {self.encode_seconds:.2f} s, decoded in "
            f"{self.decode_seconds:.2f} s, {self.coder_share:.1%} of it in the coder"
        )


def size_of(model: Model, x: Any, context: Any, coded: Encoded) -> Size:
    """The size of events that have been encoded, beside what the model says of them.

    Args:
        model, x, context: as in :func:`~jaxgen.compression.encode`.
        coded: what :func:`~jaxgen.compression.coding.encoded` made of them.
    """
    given = None if context is None else np.asarray(context)
    stated = 0.0
    if len(x):
        scores = score(model, np.asarray(x), given, key=jax.random.key(0))
        stated = float(-scores.sum() / math.log(2.0))
    return Size(
        len(x),
        math.prod(model.event_shape),
        SIZE,
        8 * (len(coded.data) - SIZE),
        coded.initial_bits,
        stated,
    )


def measure(model: Model, x: Any, context: Any = None) -> Measurement:
    """Encodes and decodes events, twice, so that nothing is compiled when the clock runs.

    Args:
        model, x, context: as in :func:`~jaxgen.compression.encode`.

    Raises:
        CompressionError: if what is decoded is not what was encoded.
        TypeError, ValueError: as there.

    >>> from flax import nnx
    >>> import jaxgen
    >>> model = jaxgen.zoo.made((6,), hidden=(8,), rngs=nnx.Rngs(0))
    >>> found = measure(model, np.random.default_rng(0).integers(0, 2, (100, 6)))
    >>> found.header_bytes, found.initial_bits, round(found.stated_bits)
    (34, 0, 600)
    >>> -1 < found.excess_bits < 64
    True
    """
    popped(model, encoded(model, x, context).data, context)
    begin = time.perf_counter()
    coded = encoded(model, x, context)
    middle = time.perf_counter()
    back, seconds = popped(model, coded.data, context)
    end = time.perf_counter()
    if not np.array_equal(back, np.asarray(x)):
        raise CompressionError("what was decoded is not what was encoded")
    size = dataclasses.asdict(size_of(model, x, context, coded))
    return Measurement(
        **size,
        encode_seconds=middle - begin,
        decode_seconds=end - middle,
        coder_seconds=coded.coder_seconds + seconds,
    )
