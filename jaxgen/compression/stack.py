r"""The stack of bits under all coding: asymmetric numeral systems (Duda, 2009).

A stack holds a number. To push a symbol of probability :math:`f / 2^{24}` multiplies it by about
:math:`2^{24} / f`, which makes it :math:`-\log_2` of the probability bits longer; to pop one takes
the same number of bits off again, and what is popped from random bits is a draw of the
distribution. So an encoder is a decoder backwards, which bits-back coding (Townsend, Bird and
Barber, 2019) lives on. The arithmetic is that of the library ``constriction`` (Bamler, 2022).

Probabilities are whole numbers of :math:`2^{-24}`, none of them 0
(:func:`~jaxgen.compression.parts.parts_of`).
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from jaxgen.compression.errors import CompressionError
from jaxgen.compression.parts import LEAST, SPARE, WHOLE

F = TypeVar("F", bound=Callable[..., Any])

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


class Stack:
    """A stack of symbols, each pushed and popped with its own distribution.

    Args:
        words: what is on it, uint32, the last of them not 0; None for nothing.

    >>> stack = Stack()
    >>> from jaxgen.compression.parts import parts_of
    >>> table = np.asarray(parts_of(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])))
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
            table: parts ``(n, levels)``.

        Raises:
            CompressionError: if some are none.
        """
        _check(table)
        rows = np.arange(len(table))
        ends, length = np.cumsum(table, axis=-1)[rows, levels], table[rows, levels]
        return SPARE // 2 + ends - length, length

    @_timed
    def push(self, begin: np.ndarray, length: np.ndarray) -> None:
        """Puts intervals ``(n,)`` on the stack, the last first: they are popped from the first on.

        It needs nothing of the other levels, whose parts below and above count together.
        """
        weights = np.empty((len(begin), 3))
        for place, parts in enumerate((begin, length, WHOLE - begin - length)):
            weights[:, place] = parts - LEAST  # which the library gives each symbol beforehand
        self._coder.encode_reverse(np.ones(len(begin), np.int32), self._categorical, weights)

    @_timed
    def pop(self, table: np.ndarray) -> np.ndarray:
        """Takes the levels of as many intervals off it, given their parts ``(n, levels)``.

        Raises:
            CompressionError: if some are none, or there lies something that is no level.
        """
        _check(table)
        weights = np.zeros((len(table), table.shape[-1] + SPARE))
        np.subtract(table, LEAST, out=weights[:, 1:-1])
        levels = np.asarray(self._coder.decode(self._categorical, weights)) - 1
        if levels.min(initial=0) < 0 or levels.max(initial=0) >= table.shape[-1]:
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


def _check(table: np.ndarray) -> None:
    if table[:, 0].min(initial=LEAST) < LEAST:
        raise CompressionError(
            "the model's probabilities are NaN, infinite or all 0 for some event, which no code is "
            "for"
        )


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
