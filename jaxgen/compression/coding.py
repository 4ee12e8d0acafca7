r"""Lossless coding: events to bytes and back, by any model of a known number of levels.

Entropy coding turns a model into a code whose length is what the model says,
:math:`-\log_2 p(x)` bits, to a small fraction (Shannon, 1948). A better likelihood is a shorter
file.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxgen.compression.choice import coder_of, require_codable
from jaxgen.compression.coder import Coder
from jaxgen.compression.errors import CompressionError
from jaxgen.compression.header import DTYPES, Header, checksum
from jaxgen.compression.stack import STATE, WORD, Stack, library
from jaxgen.core import Context, ShapeError, check_array, check_context, described
from jaxgen.models import Model

_OTHERWISE = (
    "decoding has come to other events than were encoded: this machine computes the model's "
    "numbers otherwise in the last bit"
)


class Encoded(NamedTuple):
    """Events as bytes, and what making them took.

    Args:
        data: header and bits.
        initial_bits: bits that are there to begin with and come back at the end, of a model with
            latents.
        coder_seconds: spent on the stack.
    """

    data: bytes
    initial_bits: int
    coder_seconds: float


def encode(model: Model, x: np.ndarray | Any, context: np.ndarray | Any = None) -> bytes:
    """Events as bytes, from which :func:`decode` gives them back as they were.

    Args:
        model: one of a known number of levels: an :class:`~jaxgen.models.Autoregressive` model or a
            :class:`~jaxgen.models.Factorized` one, an :class:`~jaxgen.models.Ensemble`, a
            :class:`~jaxgen.models.VAE` whose decoder is one, an :class:`~jaxgen.models.Embedded`
            one of these; or your own, which defines ``steps`` or ``latent_parts``
            (:class:`~jaxgen.models.Model`).
        x: integers ``(n, *event_shape)``; ``n`` may be 0.
        context: array ``(n, *context_shape)`` for a conditional model; the decoder needs the same.

    Returns:
        A header of 34 bytes and, behind it, about :math:`-\\log_2 p(x)` bits.

    Raises:
        TypeError: if the model is of real values, or cannot be coded.
        ShapeError: if the shapes do not fit.
        ValueError: for values that are no levels.

    >>> from flax import nnx
    >>> import jaxgen
    >>> model = jaxgen.zoo.made((6,), hidden=(8,), rngs=nnx.Rngs(0))
    >>> x = np.random.default_rng(0).integers(0, 2, (100, 6), np.uint8)
    >>> data = encode(model, x)  # 600 bits, of coins that are fair, are 75 bytes
    >>> len(data) - 34, bool((decode(model, data) == x).all())
    (78, True)
    """
    return encoded(model, x, context).data


def decode(model: Model, data: bytes, context: np.ndarray | Any = None) -> np.ndarray:
    """The events that were encoded, of the same dtype, in the order of bytes of this machine.

    The model, the contexts, the device and the versions of what computes must be those of
    :func:`encode`: the probabilities must be the same to the last bit. What differs is refused, and
    so is what is damaged, before any of it is decoded. A processor of another kind under the same
    name may yet compute other bits; that is found in the end, by the checksum of the events.

    Args:
        model: the model that encoded them.
        data: what :func:`encode` returned.
        context: the contexts, as there.

    Returns:
        Integers ``(n, *event_shape)``.

    Raises:
        CompressionError: if the data are damaged, or were made by another model, with other
            contexts, on another device or by other versions; it is a ValueError.
        TypeError: as there, and for data that are no bytes.
    """
    return popped(model, data, context)[0]


def popped(model: Model, data: bytes, context: Any = None) -> tuple[np.ndarray, float]:
    """As :func:`decode`, with the seconds that were spent on the stack."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"decode: expected bytes, got {described(data)}")
    require_codable(model)
    library()
    header, bits = Header.read(bytes(data))
    given = _context(model, context, header.number, "decode")
    header.check(model, given)
    x, seconds = np.zeros((header.number, *model.event_shape), header.dtype), 0.0
    if len(x):
        seconds = _pop_all(model, x, given, bits)
    if checksum(x) != header.events:
        raise CompressionError(_OTHERWISE)
    return x, seconds


def encoded(model: Model, x: Any, context: Any = None) -> Encoded:
    """As :func:`encode`, with what it took."""
    require_codable(model)
    x = _events(model, x)
    given = _context(model, context, len(x), "encode")
    coder = None
    if len(x):  # before the library is asked for, which a model that cannot be coded needs not
        coder = coder_of(model, None if given is None else jnp.asarray(given[:1]))
    library()
    header, bits, seconds, initial = Header.of(model, x, given), b"", 0.0, 0
    if coder is not None:
        # For one event; the top bit says where the stack ends.
        words = math.ceil((coder.pops + STATE + 1) / WORD) if coder.pops else 0
        stack, initial = pushed(coder, x, given, words)
        bits, seconds = _to_bytes(stack.words()), stack.seconds
    return Encoded(header.before(bits), initial, seconds)


def pushed(
    coder: Coder, x: np.ndarray, context: np.ndarray | None, words: int
) -> tuple[Stack, int]:
    """A stack with all events on it, and how many bits were there to begin with.

    Args:
        coder: of the model.
        x, context: events and contexts, checked.
        words: of the stack to begin with, doubled until they suffice.
    """
    while True:
        stack, size, done = Stack(_initial(words)), _batch_size(coder, len(x)), 0
        while done < len(x):
            rows = _rows(coder, stack, min(size, len(x) - done))
            if not rows:
                break
            given = _given(context, done, rows, size)
            coder.push(stack, _padded(x, done, rows, size), given, rows)
            if coder.pops and size > 1:
                stack.push_number(rows - 1, size)
            done += rows
        if done == len(x):
            return stack, WORD * words
        words = max(1, 2 * words)  # events before have left too little for the next one


def _pop_all(model: Model, x: np.ndarray, context: np.ndarray | None, bits: bytes) -> float:
    """Fills an array with the events that are in some bits, the last first.

    Returns the seconds that were spent on the stack.
    """
    coder = coder_of(model, None if context is None else jnp.asarray(context[:1]))
    stack, size, left = Stack(_from_bytes(bits)), _batch_size(coder, len(x)), len(x)
    while left:
        rows = (left - 1) % size + 1
        if coder.pops:
            rows = stack.pop_number(size) + 1 if size > 1 else 1
        if rows > left:
            break
        left -= rows
        x[left : left + rows] = coder.pop(stack, size, _given(context, left, rows, size), rows)[
            :rows
        ]
    rest = stack.words()
    if left or not np.array_equal(rest, _initial(len(rest) if coder.pops else 0)):
        raise CompressionError(_OTHERWISE)
    return stack.seconds


def _batch_size(coder: Coder, number: int) -> int:
    """How many events go through the programs at once."""
    return math.ceil(number / math.ceil(number / coder.most_rows))


def _rows(coder: Coder, stack: Stack, most: int) -> int:
    """How many events may be pushed together: there must be bits to pop for all of them."""
    return min(most, max(stack.bits - STATE, 0) // coder.pops) if coder.pops else most


def _initial(words: int) -> np.ndarray:
    """Bits to begin with, as good as random, and always the same."""
    found = np.random.default_rng(0).integers(0, 2**32, words, np.uint32)
    if words:
        found[-1] |= 1 << 31  # the top of a stack is not 0
    return found


def _padded(x: np.ndarray, begin: int, rows: int, size: int) -> np.ndarray:
    """Events of a batch of this size, filled up with zeros."""
    batch = np.zeros((size, *x.shape[1:]), x.dtype)
    batch[:rows] = x[begin : begin + rows]
    return batch


def _given(context: np.ndarray | None, begin: int, rows: int, size: int) -> Context:
    """The contexts of a batch, filled up with the last of them."""
    if context is None:
        return None
    return jnp.asarray(context[np.minimum(np.arange(begin, begin + size), begin + rows - 1)])


def _events(model: Model, x: Any) -> np.ndarray:
    """Integer events, checked."""
    where = f"{type(model).__name__}: encode"
    x = np.asarray(check_array(x, where, "x"))
    if x.dtype.name not in DTYPES:
        raise ValueError(f"{where}: expected integer levels, got {x.dtype}")
    if x.shape[1:] != model.event_shape or x.ndim != 1 + len(model.event_shape):
        expected = ", ".join(["n", *map(str, model.event_shape)])
        raise ShapeError(f"{where}: expected events of shape ({expected}), got {x.shape}")
    if len(x) >= 2**32:
        raise ValueError(f"{where}: expected less than 2**32 events, got {len(x)}")
    model.check_data(x)
    return x


def _context(model: Model, context: Any, number: int, name: str) -> np.ndarray | None:
    """Contexts for each of the events, checked."""
    where = f"{type(model).__name__}: {name}"
    if context is not None:
        context = np.asarray(check_array(context, where, "context"))
        model.check_context(context)
    given = check_context(context, model.context_shape, (number,), where)
    return None if given is None else np.asarray(given)


def _to_bytes(words: np.ndarray) -> bytes:
    """The words of a stack without the zeros at their end, which is the top."""
    return words.astype("<u4").tobytes().rstrip(b"\0")


def _from_bytes(bits: bytes) -> np.ndarray:
    words = np.frombuffer(bits + bytes(-len(bits) % 4), "<u4")
    return words.astype(np.uint32)
