"""Fair timing, shared by the benchmarks: calls take turns, medians and spreads are printed.

Absolute times depend on the machine; ratios of calls that took turns in one run travel.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

Times = dict[str, list[float]]


def interleaved(
    calls: dict[str, Callable[[], Any]], rounds: int, *, pause: float = 0.0, lead: int = 0
) -> Times:
    """Seconds of every call in every round, the calls taking turns, after one warm-up each.

    Args:
        calls: by name. One that returns a ``float`` was timed elsewhere, and says its seconds.
        rounds: how often each is timed.
        pause: seconds before each turn, in which the threads of another process fall asleep.
        lead: calls in a turn before the one that is timed, which find what the turns of others left
            in the caches; without them, it is the timed one that does.
    """
    for call in calls.values():
        jax.block_until_ready(call())
    times: Times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(pause)
            for _ in range(lead):
                jax.block_until_ready(call())
            began = time.perf_counter()
            result = jax.block_until_ready(call())
            seconds = time.perf_counter() - began
            times[name].append(result if isinstance(result, float) else seconds)
    return times


def compile_seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Seconds to trace and compile a function for these arguments."""
    # Building a model runs in the background; unfinished, it would compete with the compiler.
    jax.block_until_ready(arguments)

    # A new function object each time, so that nothing is taken from jax's cache.
    def fresh(*arguments: Any) -> Any:
        return function(*arguments)

    began = time.perf_counter()
    jax.jit(fresh).lower(*arguments).compile()
    return time.perf_counter() - began


def milliseconds(seconds: Sequence[float]) -> str:
    """The median and the spread in milliseconds."""
    median = 1e3 * statistics.median(seconds)
    return f"{median:.1f} ms ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> str:
    """The median and the spread of the ratio of two calls, round by round."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
