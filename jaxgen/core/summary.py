"""Modules for people to read: a line, and a table."""

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx

from jaxgen.core.arguments import checked_arguments
from jaxgen.core.structure import attributes

_SHAPES = ("event_shape", "context_shape")
_SHOWN = 4  # of the parts of a list


def brief(module: nnx.Pytree) -> str:
    """A module in a line: its shapes, what it is made of, and how many numbers it has.

    Args:
        module: any module; its leaves may be abstract, or no arrays at all.

    >>> brief(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    'Linear(9 parameters)'
    """
    named = attributes(module)
    shapes = [f"{name}={named.get(name)}" for name in _SHAPES if named.get(name) is not None]
    parts = []
    for name, value in sorted(named.items()):
        if isinstance(value, nnx.List):
            parts.append(f"{name}={_listed(value)}")
        elif isinstance(value, nnx.Pytree):
            parts.append(f"{name}={type(value).__name__}")
    trained, fixed = _sizes(module)
    if trained or fixed:
        parts.append(f"{trained:,} parameters" + (f" and {fixed:,} fixed" if fixed else ""))
    return f"{type(module).__name__}({', '.join(shapes + parts)})"


@checked_arguments
def summary(module: nnx.Module) -> "Summary":
    """A table of the arrays in a module: where they are, their shapes, dtypes and sizes.

    Layers that are stacked along a leading axis (the steps of a scan) are shown once, with their
    number before the shape of one of them.

    Args:
        module: any model, or other module; its leaves may be abstract.

    Returns:
        The table, text to be printed, which a notebook shows as HTML: a row for each array, with
        the layer that it is in, and how many numbers it has, trained (``nnx.Param``) or fixed
        (:class:`~jaxgen.Buffer`); and the totals.

    Raises:
        TypeError: if it is no module.

    >>> from jaxgen.bijectors import ActNorm, Scan
    >>> print(summary(Scan(lambda rngs: ActNorm((2,)), 3, rngs=nnx.Rngs(0))))
    Scan(event_shape=(2,), steps=ActNorm, 12 parameters and 3 fixed)
    path             layer    shape     dtype    trained  fixed
    steps.adapted    ActNorm  3 x ()    float32               3
    steps.log_scale  ActNorm  3 x (2,)  float32        6
    steps.shift      ActNorm  3 x (2,)  float32        6
    total                                             12      3
    """
    rows = [_Row("path", "layer", "shape", "dtype", "trained", "fixed")]
    for path, owner, counts, leaf in _leaves("", module, ()):
        array = _array(leaf)
        shape = tuple(getattr(array, "shape", ()))
        size = f"{math.prod(shape):,}"
        said = " x ".join([*map(str, counts), str(shape[len(counts) :])])
        trained, fixed = (size, "") if isinstance(leaf, nnx.Param) else ("", size)
        dtype = str(getattr(array, "dtype", "?"))
        rows.append(_Row(path, owner, said, dtype, trained, fixed))
    totals = [f"{size:,}" for size in _sizes(module)]
    rows.append(_Row("total", "", "", "", *totals))
    return Summary(brief(module), rows)


class Summary(str):
    """A table as text, which a notebook shows as HTML.

    Args:
        title: what it is of.
        rows: the first one is the head, the last one the totals.
    """

    def __new__(cls, title: str, rows: Sequence["_Row"]) -> "Summary":
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return super().__new__(cls, "\n".join([title, *(_aligned(row, widths) for row in rows)]))

    def __init__(self, title: str, rows: Sequence["_Row"]):
        self._title, self._rows = title, rows

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._title, self._rows)

    def _repr_html_(self) -> str:
        head, *rows = self._rows
        lines = [_line(head, "th"), *(_line(row, "td") for row in rows)]
        return f"<p>{html.escape(self._title)}</p><table>{''.join(lines)}</table>"


def _line(row: Sequence[str], tag: str) -> str:
    """A row of a table of HTML."""
    cells = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row)
    return f"<tr>{cells}</tr>"


class _Row(NamedTuple):
    """A row of the table; the last two columns are numbers."""

    path: str
    layer: str
    shape: str
    dtype: str
    trained: str
    fixed: str


def _aligned(row: _Row, widths: Sequence[int]) -> str:
    *words, trained, fixed = zip(row, widths, strict=True)
    cells = [text.ljust(width) for text, width in words]
    cells += [text.rjust(width) for text, width in (trained, fixed)]
    return "  ".join(cells).rstrip()


def _leaves(
    path: str, module: nnx.Pytree, counts: tuple[int, ...]
) -> Iterator[tuple[str, str, tuple[int, ...], Any]]:
    """Every leaf: its dotted path, the class of its layer, how often it is stacked, itself."""
    stacked = getattr(module, "stacked", ())
    for name, value in attributes(module).items():
        inner = f"{path}.{name}" if path else name
        if isinstance(value, nnx.Variable | jax.Array):
            yield inner, type(module).__name__, counts, value
        elif isinstance(value, nnx.List):
            # What is in a list belongs to what has the list.
            for index, each in enumerate(value):
                if isinstance(each, nnx.Variable):
                    yield f"{inner}.{index}", type(module).__name__, counts, each
                elif isinstance(each, nnx.Pytree):
                    yield from _leaves(f"{inner}.{index}", each, counts)
        elif isinstance(value, nnx.Pytree):
            more = (_count(value, len(counts)),) if name in stacked else ()
            yield from _leaves(inner, value, (*counts, *more))


def _count(stack: nnx.Pytree, axis: int) -> int:
    """How many modules are stacked in one; 0 where it has no arrays."""
    shapes = [getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(stack)]
    return next((shape[axis] for shape in shapes if len(shape) > axis), 0)


def _array(leaf: Any) -> Any:
    return next(iter(jax.tree.leaves(leaf)), None)


def _sizes(module: nnx.Pytree) -> tuple[int, int]:
    """How many numbers are trained, and how many are not."""
    sizes = [0, 0]
    for _, _, _, leaf in _leaves("", module, ()):
        size = math.prod(getattr(_array(leaf), "shape", ()))
        sizes[not isinstance(leaf, nnx.Param)] += size
    return sizes[0], sizes[1]


def _listed(values: nnx.List) -> str:
    names = [type(value).__name__ for value in values]
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return f"[{', '.join(names[:_SHOWN] + more)}]"
