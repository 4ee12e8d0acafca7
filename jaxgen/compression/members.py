r"""Coding with a mixture of autoregressive models in equal parts, by bits-back.

An ensemble of ``K`` orders gives an event :math:`p(x) = \frac{1}{K} \sum_k p_k(x)`, which is no
product of conditionals in any order. The member is a latent: popped with the probability

.. math:: q(k | x) = \frac{p_k(x)}{\sum_j p_j(x)},

it comes back when the event is known. This posterior is exact, so that what is paid,
:math:`-\log_2 p_k(x) / K + \log_2 q(k | x) = -\log_2 p(x)`, is all that the mixture says, whichever
member it is. Beside it, a byte for every batch says how many events are in it.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.compression.chain import Chain
from jaxgen.compression.parts import PRECISION, parts_of
from jaxgen.compression.programs import exact_program
from jaxgen.compression.stack import Stack
from jaxgen.core import Context
from jaxgen.functional import support
from jaxgen.models import Model

# Events of one member that are coded together: batches are many where members are.
_TOGETHER = 32


class Members:
    """How events of a mixture are pushed and popped.

    Args:
        model: which has ``num_members``, and defines ``steps`` of a member.
        context: some contexts, or None, to ask the model by.

    Raises:
        TypeError: if the model has no steps.
        ValueError: if there are too many levels.
    """

    pops = PRECISION

    def __init__(self, model: Model, context: Context = None):
        self.model = model
        self.chain = Chain(model, context)
        self.most_bits = PRECISION + self.chain.most_bits
        self.most_rows = self.chain.most_rows
        count = model.num_members
        assert count is not None  # asked before
        self.equal = np.asarray(parts_of(jnp.ones((1, count))))

    def push(self, stack: Stack, x: np.ndarray, context: Context, rows: int) -> None:
        """Puts the first ``rows`` of events on the stack, on which some bits must be."""
        picks = stack.pop(self._posterior(x, context, rows))
        size = min(_TOGETHER, len(x))
        for member, chosen in _groups(picks, size):
            given = _of(context, _filled(chosen, size))
            events = np.zeros((size, *x.shape[1:]), x.dtype)
            events[: len(chosen)] = x[chosen]
            self.chain.push(stack, events, given, len(chosen), member)
        stack.push(*stack.intervals(picks, np.repeat(self.equal, rows, axis=0)))

    def pop(self, stack: Stack, batch: int, context: Context, rows: int) -> np.ndarray:
        """Takes ``rows`` events off the stack, and puts back the bits that chose the members."""
        x = np.zeros((batch, *self.model.event_shape), np.int32)
        picks = stack.pop(np.repeat(self.equal, rows, axis=0))
        size = min(_TOGETHER, batch)
        for member, chosen in reversed(list(_groups(picks, size))):
            given = _of(context, _filled(chosen, size))
            found = self.chain.pop(stack, size, given, len(chosen), member)
            x[chosen] = found[: len(chosen)]
        stack.push(*stack.intervals(picks, self._posterior(x, context, rows)))
        return x

    def _posterior(self, x: np.ndarray, context: Context, rows: int) -> np.ndarray:
        return np.asarray(_member_table(self.model, context, x.astype(np.int32)))[:rows]


def _groups(picks: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The members that were picked, each with some of the rows that picked it."""
    for member in np.unique(picks):
        rows = np.flatnonzero(picks == member)
        for begin in range(0, len(rows), size):
            yield int(member), rows[begin : begin + size]


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows, and the last of them again, so that there are so many."""
    return rows[np.minimum(np.arange(size), len(rows) - 1)]


def _of(context: Context, rows: np.ndarray) -> Context:
    return None if context is None else jnp.asarray(context)[rows]


@exact_program()
def _member_table(model: Model, context: Context, x: Array) -> Array:
    """How likely the members are by whole events, in parts, ``(batch, members)``."""
    scores = jnp.moveaxis(model.member_log_probs(x, context), 0, -1)
    return parts_of(support.softmax(scores, -1))
