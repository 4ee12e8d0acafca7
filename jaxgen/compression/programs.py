"""Programs whose numbers an encoder and a decoder agree about to the last bit."""

import functools
from collections.abc import Callable
from typing import Any

import jax


def exact_program(
    *static: str, replaced: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compiles a function so that, on one machine, compiling it again gives the same numbers.

    Products of float32 are computed in float32, as where models are scored. On a GPU kernels are
    chosen without measuring how fast they are, which may turn out otherwise in another process.

    Args:
        static: the names of the arguments that are no arrays, which must be hashable.
        replaced: those of which the result has a new one, in the same memory.
    """

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def precise(*args: Any) -> Any:
            with jax.default_matmul_precision("float32"):
                return function(*args)

        @functools.cache
        def compiled() -> Callable[..., Any]:
            # Only when it is called: to ask for the backend starts it.
            gpu = jax.default_backend() == "gpu"
            options = {"xla_gpu_autotune_level": 0, "xla_gpu_deterministic_ops": True}
            return jax.jit(
                precise,
                static_argnames=static,
                donate_argnames=replaced,
                compiler_options=options if gpu else None,
            )

        @functools.wraps(function)
        def run(*args: Any) -> Any:
            return compiled()(*args)

        return run

    return wrap
