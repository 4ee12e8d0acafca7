r"""The stack of bits under all coding: asymmetric numeral systems (Duda, 2009).

A stack holds a number. To push a symbol of probability :math:`f / 2^{24}` multiplies it by about
:math:`2^{24} / f`, which makes it :math:`-\log_2` of the probability bits longer; to pop one takes
the same number of bits off again, and what is popped from random bits is a draw of the
distribution. So an encoder is a decoder backwards, which bits-back coding (Townsend, Bird and
Barber, 2019) lives on. The arithmetic is that of the library ``constriction`` (Bamler, 2022).

Probabilities are whole numbers of :math:`2^{-24}`, none of them 0, by additions and products of
float64 alone, which are the same everywhere.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from jaxgen.compression.errors import CompressionError

F = TypeVar("F", bound=Callable[..., Any])

PRECISION = 24  # bits of a probability, those of constriction
_WHOLE = 1 << PRECISION
_LEAST, _SPARE = 1, 2  # of a level; and of what is never used, at both ends

# More levels than this would share too few of the 2^24 parts.
MOST_LEVELS = 1 << 20
# A word of the stack has 32 bits; its state is two of them.
WORD, STATE = 32, 64


def _timed(method: F) -> F:
    """Adds the time that a method takes to the stack's ``seconds``."""

    @wraps(method)
    def timed(self: "Stack", *args: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(self, *args)
        finally:
            self.seconds += time.perf_counter() - start

    return timed  # type: ignore[return-value]


def frequencies(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities of levels in parts of ``2^24``, at least 1 each, that add up to all but two.

    Two are kept for what stands below the first level and above the last, so that no interval of a
    level touches an end.

    Args:
        probabilities: array ``(n, levels)``, not negative, of any positive sums.

    Returns:
        int64 array ``(n, levels)``.

    Raises:
        CompressionError: if there are NaN or infinite ones, or a sum of 0.

    >>> frequencies(np.array([[0.25, 0.75], [0.0, 1.0]])).tolist()
    [[4194304, 12582910], [1, 16777213]]
    """
    values = probabilities.astype(np.float64)
    total = values.sum(axis=-1, keepdims=True)
    if not (np.isfinite(total).all() and (total > 0).all()):
        raise CompressionError(
            "the model's probabilities are NaN, infinite or all 0 for some event, which no code is "
            "for"
        )
    whole = _WHOLE - _SPARE
    found = _LEAST + np.floor(values * ((whole - _LEAST * values.shape[-1]) / total))
    found = found.astype(np.int64)
    # What rounding down has left goes to the likeliest, where it matters least.
    likeliest = values.argmax(axis=-1)[:, None]
    rest = whole - found.sum(axis=-1, keepdims=True)
    np.put_along_axis(found, likeliest, np.take_along_axis(found, likeliest, -1) + rest, -1)
    return found


class Stack:
    """A stack of symbols, each pushed and popped with its own distribution.

    Args:
        words: what is on it, uint32, the last of them not 0; None for nothing.

    >>> stack = Stack()
    >>> table = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    >>> stack.push(*stack.intervals(np.array([2, 1]), table))
    >>> stack.pop(table).tolist(), stack.is_empty
    ([2, 1], True)
    """

    def __init__(self, words: np.ndarray | None = None):
        coders = library()
        self._coder = coders.stack.AnsCoder(*([] if words is None or not len(words) else [words]))
        self._categorical = coders.model.Categorical(perfect=False)
        self._gaussian = coders.model.QuantizedGaussian
        self._uniform = coders.model.Uniform
        self.seconds = 0.0  # spent here

    @property
    def bits(self) -> int:
        """How long it is."""
        return int(self._coder.num_valid_bits())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on it."""
        return bool(self._coder.is_empty())

    def words(self) -> np.ndarray:
        """What is on it, uint32."""
        return np.asarray(self._coder.get_compressed())

    @_timed
    def intervals(self, levels: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where levels lie in the whole of ``2^24``: their beginnings, and their lengths.

        Args:
            levels: integers ``(n,)``.
            table: probabilities ``(n, levels)``.
        """
        parts = frequencies(table)
        rows = np.arange(len(parts))
        ends = np.cumsum(parts, axis=-1)[rows, levels]
        length = parts[rows, levels]
        return _LEAST + ends - length, length

    @_timed
    def push(self, begin: np.ndarray, length: np.ndarray) -> None:
        """Puts intervals ``(n,)`` on the stack, the last first: they are popped from the first on.

        It needs nothing of the other levels, whose parts below and above count together.
        """
        parts = np.stack([begin, length, _WHOLE - begin - length], axis=-1)
        # The library gives each symbol one part beforehand.
        weights = (parts - 1).astype(np.float64)
        self._coder.encode_reverse(np.ones(len(parts), np.int32), self._categorical, weights)

    @_timed
    def pop(self, table: np.ndarray) -> np.ndarray:
        """Takes the levels of as many intervals off it, given their probabilities ``(n, levels)``.

        Raises:
            CompressionError: if there lies something that is no level.
        """
        weights = np.zeros((len(table), table.shape[-1] + _SPARE))
        weights[:, 1:-1] = frequencies(table) - 1
        levels = np.asarray(self._coder.decode(self._categorical, weights)) - 1
        if ((levels < 0) | (levels >= table.shape[-1])).any():
            raise CompressionError("the data are damaged: they hold a level that there is not")
        return levels

    @_timed
    def push_normal(self, index: np.ndarray, mean: np.ndarray, scale: np.ndarray, end: int) -> None:
        """Puts integers from ``-end`` to ``end`` on it, with the masses of normals around them."""
        self._coder.encode_reverse(index.astype(np.int32), self._gaussian(-end, end), mean, scale)

    @_timed
    def pop_normal(self, mean: np.ndarray, scale: np.ndarray, end: int) -> np.ndarray:
        """Takes such integers off it."""
        return np.asarray(self._coder.decode(self._gaussian(-end, end), mean, scale))

    @_timed
    def push_number(self, number: int, count: int) -> None:
        """Puts a number from 0 to ``count - 1`` on it, all equally likely."""
        self._coder.encode_reverse(number, self._uniform(count))

    @_timed
    def pop_number(self, count: int) -> int:
        """Takes such a number off it."""
        return int(self._coder.decode(self._uniform(count)))


def library() -> Any:
    """The library of stacks, ``constriction.stream``.

    Raises:
        ImportError: if it is not installed; it says how.
    """
    try:
        import constriction
    except ImportError as error:
        raise ImportError(
            'jaxgen.compression needs the library constriction: pip install "jaxgen[compression]"'
        ) from error
    return constriction.stream
