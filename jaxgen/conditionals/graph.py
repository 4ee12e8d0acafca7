"""Directed acyclic graphs of positions, as tuples of the parents of each."""

import graphlib
import operator
from collections.abc import Sequence

from jaxgen.core.arguments import described

Graph = tuple[tuple[int, ...], ...]


def checked_graph(parents: Sequence[Sequence[int]], size: int) -> Graph:
    """The parents of every position.

    Raises:
        TypeError: if they are no positions for each position.
        ValueError: for another number of positions, or parents that are twice there or none.
    """
    try:
        graph = tuple(tuple(operator.index(j) for j in each) for each in parents)
    except TypeError:
        expected = "an integer of 0 or more, or positions for each position, for parents"
        raise TypeError(f"Markov: expected {expected}, got {described(parents)}") from None
    if len(graph) != size:
        raise ValueError(f"Markov: expected parents for {size} positions, got {len(graph)}")
    for i, each in enumerate(graph):
        if len(set(each)) < len(each) or not all(0 <= j < size for j in each):
            raise ValueError(
                f"Markov: expected different positions 0..{size - 1} as parents of position {i}, "
                f"got {each}"
            )
    return graph


def topological_order(graph: Graph) -> tuple[int, ...]:
    """An order in which parents come first: the raster order if that is one.

    Raises:
        ValueError: for a cycle.

    >>> topological_order(((1,), (), (0,)))
    (1, 0, 2)
    """
    if all(j < i for i, each in enumerate(graph) for j in each):
        return tuple(range(len(graph)))
    try:
        return tuple(graphlib.TopologicalSorter(dict(enumerate(graph))).static_order())
    except graphlib.CycleError as error:
        raise ValueError(f"Markov: expected no cycle, got {error.args[1]}") from None
