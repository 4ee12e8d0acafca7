r"""Where a flow loses digits: float32, and networks in bfloat16, against float64.

Seen from the data a flow is a sequence of layers :math:`x_l = g_l(x_{l-1})` with log-determinants
:math:`d_l` (the base is the last one, without an :math:`x_l`), and

.. math:: \log p(x_0) = \sum_l d_l(x_{l-1}).

Let :math:`R_l(x) = d_{l+1}(x) + \dots` be what the layers behind ``l`` make of a value, in float64,
and :math:`\tilde x_{l-1}` the float64 value that reaches layer ``l``, rounded to float32. Then

.. math:: e_l = \left[\tilde d_l + R_l(\tilde g_l)\right](\tilde x_{l-1})
              - \left[d_l + R_l(g_l)\right](\tilde x_{l-1}),

with :math:`\tilde g_l, \tilde d_l` the layer in float32, is the error that this layer alone makes
in :math:`\log p`: in its log-determinant, and by what the rest makes of its rounded and perturbed
output. Both terms start from the same rounded value, so that no rounding is counted twice; that of
the data has a row of its own, :math:`d_1 + R_1` of :math:`\tilde x_0` minus that of :math:`x_0`. To
first order the errors of the rows add up to that of the whole model, example by example.

With networks in bfloat16 (:func:`jaxgen.compute_in`) the model is another density, as exact as the
first. Its column says how far it is from the one with float64 networks.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.bijectors import Bijector, Chain, Inverse, Scan, Split
from jaxgen.bijectors.base import run_inverse
from jaxgen.core import (
    Context,
    batch_shape,
    check_context,
    checked_arguments,
    compute_in,
    replace,
)
from jaxgen.functional import rearrange
from jaxgen.models import Flow, Model


@dataclasses.dataclass(frozen=True)
class PrecisionRow:
    """The error that one layer makes, the largest over the examples, in bits/dim of the event.

    ``path`` is where the layer is in the model, ``layer`` its class; ``bfloat16`` is None in a
    model without networks. What is not finite in one precision alone is an infinite error.
    """

    path: str
    layer: str
    float32: float
    bfloat16: float | None


@dataclasses.dataclass(frozen=True)
class PrecisionReport:
    """The rows from the data to the base, and the errors of the whole model, in bits/dim."""

    rows: tuple[PrecisionRow, ...]
    float32: float
    bfloat16: float | None
    num_examples: int

    @property
    def worst(self) -> PrecisionRow:
        """The layer that loses most in float32."""
        return max(self.rows, key=lambda row: row.float32)

    def __str__(self) -> str:
        cells = [(row.path, row.layer, row.float32, row.bfloat16) for row in self.rows]
        cells.append(("whole model", "", self.float32, self.bfloat16))
        widths = [max(len(str(cell[i])) for cell in cells) for i in range(2)]
        lines = [f"bits/dim off float64, the largest of {self.num_examples} examples"]
        lines.append(f"{'':{widths[0]}}  {'':{widths[1]}}  {'float32':>8}  bfloat16 networks")
        for row, (path, layer, single, half) in zip((*self.rows, None), cells, strict=True):
            half_text = f"{'-' if half is None else f'{half:.1e}':>17}"
            mark = "  <- worst" if row is self.worst else ""
            lines.append(
                f"{path:{widths[0]}}  {layer:{widths[1]}}  {single:8.1e}  {half_text}{mark}"
            )
        return "\n".join(lines)


@checked_arguments
def precision_report(
    model: Model, x: Array | np.ndarray, context: Array | np.ndarray | None = None
) -> PrecisionReport:
    """Says how far a model's log-density in float32 is from float64, and which layer loses most.

    A flow is taken apart: the members of a :class:`~jaxgen.bijectors.Chain`, the steps of a
    :class:`~jaxgen.bijectors.Scan`, both parts of a :class:`~jaxgen.bijectors.Split`, the
    base, of which a flow is taken apart too. Any other model is one layer. Double precision need
    not be switched on. The cost grows with the square of the number of layers; a few examples do.

    Args:
        model: any model with an exact likelihood. Of a :class:`~jaxgen.models.Dequantized` model
            take its flow, at levels plus a fixed noise: ``precision_report(model.flow, x + 0.5)``.
            Its parameters count as the float32 numbers next to them.
        x: ``(*batch, *event_shape)``. Float64 data are rounded first, which has its own row.
        context: ``(*batch, *context_shape)`` for a conditional model.

    Returns:
        A :class:`PrecisionReport`; printing it shows a table.

    Raises:
        TypeError: if the model's likelihood is not exact.

    >>> from jaxgen.bijectors import ActNorm, Logit
    >>> flow = Flow(Chain([ActNorm((2,)), Logit(alpha=0.0)]))
    >>> report = precision_report(flow, np.array([[0.5, 0.9]], np.float32))
    >>> [row.layer for row in report.rows], report.float32 < 1e-6
    (['rounding', 'Logit', 'ActNorm', 'StandardNormal'], True)
    """
    if model.exactness != "exact":
        raise TypeError(
            f"precision_report: expected a model with an exact likelihood, got "
            f"{type(model).__name__}, which has a {model.exactness}; of a dequantized model pass "
            f"the flow and levels plus a fixed noise: precision_report(model.flow, x + 0.5)"
        )
    with jax.enable_x64(True):
        value, where = jnp.asarray(x), f"{type(model).__name__}.precision_report"
        batch = batch_shape(value, model.event_shape, where)
        model.check_data(value)
        given = None if context is None else jnp.asarray(context)
        if given is not None:
            model.check_context(given)
        given = check_context(given, model.context_shape, batch, where)
        x = np.asarray(value).reshape(-1, *model.event_shape)
        contexts = None
        if given is not None and model.context_shape is not None:
            contexts = np.asarray(given).reshape(-1, *model.context_shape)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), model)
    exact = _Reading(single, np.float64, contexts)
    models = [single]
    with contextlib.suppress(ValueError):  # which says that it has no networks
        models.append(compute_in(single, jnp.bfloat16))
    coarse = [_Reading(each, np.float32, contexts) for each in models]

    def errors(values: Iterable[np.ndarray], expected: np.ndarray) -> tuple[float, float | None]:
        found = [_largest_difference(value, expected) / bits for value in values]
        return found[0], found[1] if len(found) > 1 else None

    bits = math.prod(model.event_shape) * math.log(2.0)
    whole = errors([reading.whole(x) for reading in coarse], exact.whole(x))
    # Every pass has as many copies of the examples as there are readings, so that a layer is
    # compiled once for each precision.
    x = np.stack([x] * (1 + len(coarse)))
    rounded = exact.rest(0, [_rounded(x)])[1:]
    rows = [PrecisionRow("data", "rounding", *errors(rounded, exact.rest(0, [x])[0]))]
    values = [x]
    for index, step in enumerate(exact.steps):
        if step.kind != "merge":
            start = [*values[:-1], _rounded(values[-1])]
            outcomes = [reading.advance(index, start) for reading in (exact, *coarse)]
            after = [
                np.stack([value[0] for value in each])
                for each in zip(*(left for left, _ in outcomes), strict=True)
            ]
            totals = exact.rest(index + 1, after, np.stack([done[0] for _, done in outcomes]))
            rows.append(PrecisionRow(step.path, step.name, *errors(totals[1:], totals[0])))
        values, _ = exact.advance(index, values)
    return PrecisionReport(tuple(rows), *whole, num_examples=x.shape[1])


class _Step(NamedTuple):
    """A part of a flow, seen from the data.

    A ``"layer"`` takes the value on; a ``"split"`` does, too, and parks the second half of the
    result until a ``"merge"``; a ``"density"`` ends.
    """

    kind: str
    path: str
    module: Any
    event_ndims: int = 0

    @property
    def name(self) -> str:
        """The class of the part."""
        name, module = type(self.module).__name__, self.module
        return f"Inverse({type(module.bijector).__name__})" if name == "Inverse" else name


class _Reading:
    """A model that is taken apart, to be run in one precision."""

    def __init__(self, model: Model, dtype: Any, context: np.ndarray | None):
        self.dtype, self.context = dtype, context
        with self._precision():
            # numpy's leaves, because taking steps apart with jax would compile each slice
            self.model = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), model)
            self.steps = list(_steps(self.model))

    def _precision(self) -> Any:
        """Single precision is JAX as it comes: with x64 on, some constants would be double."""
        return jax.enable_x64(self.dtype == np.float64)

    def _cast(self, value: np.ndarray) -> np.ndarray:
        return value.astype(self.dtype) if np.issubdtype(value.dtype, np.floating) else value

    def whole(self, x: np.ndarray) -> np.ndarray:
        """``log p(x)`` of the model in one piece."""
        context = None if self.context is None else self._cast(self.context)
        with self._precision():
            return np.asarray(_log_prob(self.model, self._cast(x), context), np.float64)

    def advance(self, index: int, values: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        """One step: the values that are parked, and last the one that is worked on; and ``d``."""
        step = self.steps[index]
        *parked, x = values
        if step.kind == "merge":
            *parked, rest = parked
            with self._precision():
                merged = rearrange.merge_channels(jnp.asarray(x), jnp.asarray(rest))
            return [*parked, np.asarray(merged)], np.zeros(())
        x, context = self._cast(x), None
        if self.context is not None and step.module.context_shape is not None:
            batch = x.shape[: x.ndim - step.event_ndims]
            context = np.broadcast_to(self._cast(self.context), batch + self.context.shape[1:])
        with self._precision():
            if step.kind == "density":
                return [], np.asarray(_log_prob(step.module, x, context), np.float64)
            z, log_det = _inverse(step.module, x, context, step.event_ndims)
            parts = rearrange.split_channels(z)[::-1] if step.kind == "split" else (z,)
        return [*parked, *map(np.asarray, parts)], np.asarray(log_det, np.float64)

    def rest(self, index: int, values: list[np.ndarray], total: Any = 0.0) -> np.ndarray:
        """``total`` and what the steps from ``index`` on add to ``log p``."""
        for later in range(index, len(self.steps)):
            values, log_det = self.advance(later, values)
            with np.errstate(invalid="ignore"):  # inf - inf is counted as an infinite error
                total = total + log_det
        return total


@functools.partial(jax.jit, static_argnums=3)
def _inverse(layer: Bijector, x: Array, context: Context, event_ndims: int) -> tuple[Array, Array]:
    return run_inverse(layer, x, context, None, event_ndims)


@jax.jit
def _log_prob(model: Model, x: Array, context: Context) -> Array:
    return model.log_prob(x, context)


def _steps(model: Model, path: str = "") -> Iterator[_Step]:
    """The parts of a model from the data to the base; one, if it is no flow."""
    if not isinstance(model, Flow):
        yield _Step("density", path or "model", model, len(model.event_shape))
        return
    prefix = f"{path}." if path else ""
    yield from _layers(model.bijector, f"{prefix}bijector", model.bijector.side_ndims("data"))
    yield from _steps(model.base, f"{prefix}base")


def _layers(layer: Bijector, path: str, event_ndims: int) -> Iterator[_Step]:
    if isinstance(layer, Chain):
        for index in reversed(range(len(layer.layers))):
            yield from _layers(layer.layers[index], f"{path}.layers.{index}", event_ndims)
    elif isinstance(layer, Scan):
        for index in reversed(range(layer.num_steps)):
            step = jax.tree.map(lambda leaf: leaf[index], layer.steps)  # noqa: B023
            yield from _layers(step, f"{path}.steps[{index}]", event_ndims)
    elif isinstance(layer, Split):
        alone = replace(layer, inner=_Identity(event_ndims))
        yield _Step("split", path, alone, event_ndims)
        yield from _layers(layer.inner, f"{path}.inner", event_ndims)
        yield _Step("merge", path, None)
    elif isinstance(layer, Inverse):
        inner = list(_layers(layer.bijector, f"{path}.bijector", event_ndims))
        if any(step.kind != "layer" for step in inner):  # a split, run from the other end
            yield _Step("layer", path, layer, event_ndims)
            return
        for step in reversed(inner):
            yield step._replace(module=Inverse(step.module))
    else:
        yield _Step("layer", path, layer, event_ndims)


class _Identity(Bijector):
    """What is left inside of a split whose inner bijector is run on its own."""

    def __init__(self, event_ndims: int):
        self.event_ndims = event_ndims

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return z, jnp.zeros(())

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return x, jnp.zeros(())


def _rounded(x: np.ndarray) -> np.ndarray:
    """The float32 numbers next to ``x``; integers stay as they are."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32) if np.issubdtype(x.dtype, np.floating) else x


def _largest_difference(value: np.ndarray, expected: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        difference = np.abs(value - expected)
    # Two equal infinities, or NaN twice, are the same failure in both precisions.
    same = (value == expected) | (np.isnan(value) & np.isnan(expected))
    difference = np.where(same, 0.0, difference)
    return float(np.max(np.where(np.isnan(difference), np.inf, difference), initial=0.0))
