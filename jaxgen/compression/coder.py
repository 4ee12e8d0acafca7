"""How events of some model are coded: the contract that all of them keep."""

from typing import Protocol

import numpy as np

from jaxgen.compression.stack import Stack
from jaxgen.core import Context


class Coder(Protocol):
    """Pushes events of a model on a stack, and pops them from it.

    Events come in batches of one size, so that both run the same programs; of the last one only
    the first rows are coded, and the others are zeros.
    """

    @property
    def pops(self) -> int:
        """Bits that a push takes off the stack before it adds any, of an event, at most."""

    @property
    def most_bits(self) -> int:
        """Bits that an event takes off the stack when it is popped, at most."""

    @property
    def most_rows(self) -> int:
        """Events in a batch, at most, so that what is kept of them fits into memory."""

    def push(self, stack: Stack, x: np.ndarray, context: Context, rows: int) -> None:
        """Puts the first ``rows`` of events ``(batch, *event_shape)`` on the stack."""

    def pop(self, stack: Stack, batch: int, context: Context, rows: int) -> np.ndarray:
        """Takes ``rows`` events off the stack, as an array of ``batch``, the others of zeros."""
