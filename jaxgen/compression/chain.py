r"""Coding with an autoregressive model, one level after another.

By the chain rule an event is a sequence of choices, each among all levels and with the distribution
that the model gives it from the choices before: position after position in the network's order, and
within a position entry after entry, in the order in which the head models them. Together they take

.. math:: -\log_2 p(x) = -\sum_{t, e} \log_2 p\left(x_{te} \mid x_{<t}, x_{t,<e}\right)

bits, but for what the integer parts and the end of the stack lose.

A decoder must come to the same numbers as the encoder, to the last bit: one unit in the last place
can move the end of an interval, and what is read from there on is noise. So both run the same
programs on arrays of the same shapes, step by step, although an encoder knows all values and could
do them in one pass: another program adds in another order. Rows that fill up a batch are zeros for
both.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.compression.parts import MOST_LEVELS, PRECISION, parts_of
from jaxgen.compression.programs import exact_program
from jaxgen.compression.stack import Stack
from jaxgen.core import Context, Order, Shape, float_dtype
from jaxgen.functional import support
from jaxgen.functional.autoregressive import Cache
from jaxgen.likelihoods import Likelihood
from jaxgen.models import Model
from jaxgen.models.coding import Steps

# (position, entry, parts (batch, levels)) -> the levels chosen, (batch,)
_Choose = Callable[[int, int, np.ndarray], np.ndarray]

# Levels in the tables of a batch, at most: 32 MiB in a stack.
_TABLE = 2**22
# Levels in the tables that an encoder looks at together.
_COLLECTED = 2**16
# Events in a batch, at most: enough to be quick, and few enough for any network's cache.
_BATCH = 256


class Chain:
    """How events of an autoregressive model are pushed and popped.

    Args:
        model: of a known number of levels, which defines ``steps``.
        context: some contexts, or None, to ask the model by.

    Raises:
        TypeError: if the model has no steps.
        ValueError: if there are too many levels.
    """

    pops = 0  # bits that a push takes off the stack first, at most, for each event

    def __init__(self, model: Model, context: Context = None):
        network, likelihood, *_ = model.steps(context)
        self.model = model
        self.levels = int(model.levels or 0)
        if self.levels > MOST_LEVELS:
            raise ValueError(
                f"{type(model).__name__}: expected at most {MOST_LEVELS} levels to be coded, with "
                f"probabilities of {PRECISION} bits, got {self.levels}"
            )
        position = likelihood.position_shape(network.position_shape)
        self.own_order = np.asarray(network.own_order())
        self.entries = np.asarray(likelihood.entry_order(position))
        self.position_shape: Shape = position

    @property
    def most_bits(self) -> int:
        """Bits that an event takes off the stack when it is popped, at most."""
        return PRECISION * len(self.own_order) * len(self.entries)

    @property
    def most_rows(self) -> int:
        """Events in a batch, at most."""
        return max(1, min(_BATCH, _TABLE // self.levels))

    def push(
        self,
        stack: Stack,
        x: np.ndarray,
        context: Context,
        rows: int,
        member: int | None = None,
    ) -> None:
        """Puts the first ``rows`` of events ``(batch, *event_shape)`` on the stack.

        ``member`` is the one that they are coded by, of a model that has any.
        """
        values = x.reshape(len(x), len(self.own_order), len(self.entries)).astype(np.int32)
        found: list[tuple[np.ndarray, np.ndarray]] = []
        chosen: list[tuple[np.ndarray, np.ndarray]] = []

        def collect() -> None:
            """Many choices together, as a decoder cannot make them."""
            levels, tables = (np.concatenate(each) for each in zip(*chosen, strict=True))
            found.append(stack.intervals(levels, tables))
            chosen.clear()

        def choose(position: int, entry: int, table: np.ndarray) -> np.ndarray:
            levels = values[:rows, position, entry]
            chosen.append((levels, table[:rows]))
            if len(chosen) * table[:rows].size >= _COLLECTED:
                collect()
            return levels

        self._walk(choose, len(x), context, rows, member)
        if chosen:
            collect()
        begins, lengths = (np.concatenate(each) for each in zip(*found, strict=True))
        stack.push(begins, lengths)

    def pop(
        self,
        stack: Stack,
        batch: int,
        context: Context,
        rows: int,
        member: int | None = None,
    ) -> np.ndarray:
        """Takes ``rows`` events off the stack, as an array of ``batch``, the others of zeros."""

        def choose(position: int, entry: int, table: np.ndarray) -> np.ndarray:
            return stack.pop(table[:rows])

        return self._walk(choose, batch, context, rows, member)

    def _walk(
        self, choose: _Choose, batch: int, context: Context, rows: int, member: int | None
    ) -> np.ndarray:
        """The events that choices make, each asked for with the parts of its levels."""
        values = np.zeros((batch, len(self.own_order), len(self.entries)), np.int32)
        before = np.zeros((batch, *self.position_shape), np.int32)
        which = None if member is None else np.int32(member)
        fixed, state, order = _start(self.model, context, which, batch)
        order = self.own_order if order is None else np.asarray(order)
        last = order[0]
        for t, position in enumerate(order):
            value = np.zeros((batch, len(self.entries)), np.int32)
            for number, entry in enumerate(self.entries):
                if number == 0:
                    given = (fixed, state, np.int32(t), np.int32(last), before)
                    table, params, state = _first(self.model, context, which, *given, int(entry))
                else:
                    now = value.reshape(before.shape)
                    table = _later(self.model, context, which, params, now, int(entry))
                value[:rows, entry] = choose(position, entry, np.asarray(table))
            values[:, position] = value
            before, last = value.reshape(before.shape), position
        return values.reshape(batch, *self.model.event_shape)


def _steps(model: Model, context: Context, member: Array | None) -> Steps:
    return model.steps(context) if member is None else model.steps(context, member)


@exact_program("batch")
def _start(
    model: Model, context: Context, member: Array | None, batch: int
) -> tuple[Any, Any, Order]:
    """The two parts of the cache before any position, of which a step replaces the second alone,
    and the order, unless it is the network's own."""
    steps = _steps(model, context, member)
    cache = steps.network.init_cache((batch,), steps.context, steps.order)
    return cache.fixed, cache.state, steps.order


@exact_program("entry", replaced=("state",))
def _first(
    model: Model,
    context: Context,
    member: Array | None,
    fixed: Any,
    state: Any,
    t: Array,
    last: Array,
    before: Array,
    entry: int,
) -> tuple[Array, Array, Any]:
    """The parts of the levels of a position's first entry, its parameters, and the new state.

    ``before`` is the value of the position of number ``last``, which came before it.
    """
    network, likelihood, *_ = _steps(model, context, member)
    read = likelihood.at(last).encode(before)
    read = jnp.where(t > 0, read, jnp.zeros_like(read))
    t = t.astype(jnp.result_type(int))  # as the numbers of steps are in a loop
    params, cache = network.step(Cache(fixed, state), t, read)
    return _table(likelihood, entry, jnp.zeros_like(before), params), params, cache.state


@exact_program("entry")
def _later(
    model: Model, context: Context, member: Array | None, params: Array, value: Array, entry: int
) -> Array:
    """The parts of the levels of a later entry, given the parameters and the entries before."""
    return _table(_steps(model, context, member).likelihood, entry, value, params)


def _table(likelihood: Likelihood, entry: int, value: Array, params: Array) -> Array:
    params = params.astype(float_dtype(params.dtype))
    return parts_of(support.softmax(likelihood.entry_log_probs(entry, value, params), -1))
