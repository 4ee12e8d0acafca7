r"""Lossless coding: events to bytes and back, by any model of a known number of levels.

Entropy coding turns a model into a code whose length is what the model says,
:math:`-\log_2 p(x)` bits, to a small fraction (Shannon, 1948). A better likelihood is a shorter
file.
"""

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from jaxgen.compression.chain import Chain
from jaxgen.compression.errors import CompressionError
from jaxgen.compression.header import DTYPES, Header, checksum
from jaxgen.compression.stack import Stack
from jaxgen.core import Context, ShapeError, check_array, check_context, described
from jaxgen.models import Model

# Events in a batch, at most: enough to be quick, and few enough for any network's cache.
_BATCH = 256


class Coder(Protocol):
    """How events of a model are pushed on a stack and popped from it, see :class:`Chain`."""

    pops: int

    @property
    def most_rows(self) -> int:
        """Events in a batch, at most."""

    def push(self, stack: Stack, x: np.ndarray, context: Context, rows: int) -> None:
        """Puts the first ``rows`` of events ``(batch, *event_shape)`` on the stack."""

    def pop(self, stack: Stack, batch: int, context: Context, rows: int) -> np.ndarray:
        """Takes ``rows`` events off the stack, as an array of ``batch``, the others of zeros."""


class Encoded(NamedTuple):
    """Events as bytes, and what making them took.

    Args:
        data: header and bits.
        initial_bits: bits that are there to begin with and come back at the end, of a model with
            latents.
        coder_seconds: spent on the stack.
        seconds: spent in all.
    """

    data: bytes
    initial_bits: int
    coder_seconds: float
    seconds: float


def encode(model: Model, x: np.ndarray | Any, context: np.ndarray | Any = None) -> bytes:
    """Events as bytes, from which :func:`decode` gives them back as they were.

    Args:
        model: one of a known number of levels: an :class:`~jaxgen.models.Autoregressive` model or a
            :class:`~jaxgen.models.Factorized` one, a :class:`~jaxgen.models.VAE` whose decoder is
            one, an :class:`~jaxgen.models.Embedded` one of these; or your own, which defines
            ``steps`` or ``latent_parts`` (:class:`~jaxgen.models.Model`).
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
    return encode_and_measure(model, x, context).data


def decode(model: Model, data: bytes, context: np.ndarray | Any = None) -> np.ndarray:
    """The events that were encoded, of the same dtype.

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
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"decode: expected bytes, got {described(data)}")
    require_codable(model)
    header, bits = Header.read(bytes(data))
    given = _context(model, context, header.number, "decode")
    header.check(model, given)
    x = np.zeros((header.number, *model.event_shape), header.dtype)
    if header.number:
        _pop_all(model, x, given, bits)
    if checksum(x) != header.events:
        raise CompressionError(
            "decoding has come to other events than were encoded: this machine computes the "
            "model's numbers otherwise in the last bit"
        )
    return x


def encode_and_measure(model: Model, x: Any, context: Any = None) -> Encoded:
    """As :func:`encode`, with what it took."""
    begin = time.perf_counter()
    require_codable(model)
    x = _events(model, x)
    given = _context(model, context, len(x), "encode")
    header, bits, seconds, initial = Header.of(model, x, given), b"", 0.0, 0
    if len(x):
        stack, initial = _push_all(model, x, given)
        bits, seconds = _to_bytes(stack.words()), stack.seconds
    return Encoded(header.before(bits), initial, seconds, time.perf_counter() - begin)


def require_codable(model: Model) -> None:
    """Refuses a model that has no distributions over a known number of levels.

    Raises:
        TypeError: naming the models that have.
    """
    if not isinstance(model, Model):
        raise TypeError(f"expected a model, got {described(model)}")
    if model.levels is None or not math.isfinite(model.levels):
        what = "counts without an end" if model.levels else "real values"
        raise TypeError(
            f"{type(model).__name__}: a model of {what} cannot be coded, only one of a known "
            f"number of levels; quantize the data, and train an autoregressive model or a VAE"
        )


def coder_of(model: Model, context: Any) -> Coder:
    """How a model codes, by what it can do.

    Args:
        model: the model.
        context: some contexts, or None, to ask it by.

    Raises:
        TypeError: if it cannot.
    """
    require_codable(model)
    return Chain(model, context)


def _batches(coder: Coder, number: int) -> Iterator[tuple[int, int]]:
    """Where batches begin, and how many events are in each; all of them are of one size but for
    what fills them up."""
    size = min(_BATCH, coder.most_rows)
    size = math.ceil(number / math.ceil(number / size))
    for begin in range(0, number, size):
        yield begin, min(size, number - begin)


def _push_all(model: Model, x: np.ndarray, context: np.ndarray | None) -> tuple[Stack, int]:
    coder = coder_of(model, None if context is None else context[:1])
    stack = Stack()
    parts = list(_batches(coder, len(x)))
    size = parts[0][1]
    for begin, rows in parts:
        coder.push(stack, _padded(x, begin, rows, size), _given(context, begin, rows, size), rows)
    return stack, 0


def _pop_all(model: Model, x: np.ndarray, context: np.ndarray | None, bits: bytes) -> None:
    """Fills an array with the events that are in some bits."""
    coder = coder_of(model, None if context is None else context[:1])
    stack = Stack(_from_bytes(bits))
    parts = list(_batches(coder, len(x)))
    size = parts[0][1]
    for begin, rows in reversed(parts):  # a stack gives back the last first
        found = coder.pop(stack, size, _given(context, begin, rows, size), rows)
        x[begin : begin + rows] = found[:rows]
    if not stack.is_empty:
        raise CompressionError("the compressed data hold more than the events that they should")


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
