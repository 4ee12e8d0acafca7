"""Calls outside of any trace, each as one compiled program that is kept for the next."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax

F = TypeVar("F", bound=Callable[..., Any])


def program(*static: str) -> Callable[[F], F]:
    """Runs a function, or a method, as one program where nothing that it is given is traced.

    ``jax.lax.scan`` and its kin look up a compiled loop by the function that is its body. A body
    that is made in a call, as all are that see a module, is another one in the next call: outside
    ``jax.jit`` it would be compiled again and again, and each time be kept. So what runs loops is
    wrapped, and is looked up by its own name, its arguments a module among them. Under a trace the
    function is as it was.

    What looks at values (to refuse them, or to choose by them) belongs before such a function.

    Args:
        static: the names of the arguments that are no arrays, which must be hashable.

    >>> @program("times")
    ... def repeated(x, times):
    ...     return jax.lax.fori_loop(0, times, lambda _, y: x + y, x)
    >>> float(repeated(1.0, times=2))
    3.0
    """

    def wrap(function: F) -> F:
        names = list(inspect.signature(function).parameters)
        fixed = frozenset(static)
        compiled = jax.jit(function, static_argnames=static)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            arrays = [value for name, value in zip(names, args, strict=False) if name not in fixed]
            arrays += [value for name, value in kwargs.items() if name not in fixed]
            traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays))
            return (function if traced else compiled)(*args, **kwargs)

        return cast(F, run)

    return wrap
