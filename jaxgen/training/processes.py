"""Several processes of one training: how they find each other, and what they agree on.

All of them take the same steps and decide by the same numbers. Signals, answers of callbacks and
failures to read or write reach each on its own, so they are asked for those. The first one alone
writes and prints.
"""

import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

# At its end a process waits so long for the others, of which the first still evaluates.
_EVALUATION = 7 * 24 * 3600


class PeerError(ValueError):
    """Another process of the same training could not go on."""


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    index: int | None = None,
    *,
    timeout: int = 100,
) -> None:
    """Joins the other processes of a training; before anything else asks JAX for its devices.

    Under SLURM, Open MPI, Kubernetes and on TPU pods JAX finds out itself what the arguments would
    say; elsewhere every process is told.

    Args:
        coordinator: ``"HOST:PORT"`` of the process of index 0.
        processes: how many there are.
        index: which of them this one is, from 0.
        timeout: seconds after which a process that is silent counts as dead, and the others end.

    A process that is never there is waited for as long, at least 10 seconds; then JAX ends the
    others. So it does if one dies. An exception that nobody catches ends this process at once, by
    which the others learn of it.

    Raises:
        ValueError: if only some of the arguments are given and JAX does not find out the others.
    """
    given = {"coordinator": coordinator, "processes": processes, "index": index}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise ValueError(
            f"expected coordinator, processes and index together, or none of them where JAX finds "
            f"them (SLURM, Open MPI, Kubernetes, TPU pods), got no {' and no '.join(missing)}"
        )
    if coordinator is not None and not re.fullmatch(r".+:\d{1,5}", coordinator):
        raise ValueError(f"expected a coordinator HOST:PORT, got {coordinator!r}")
    if timeout < 1:
        raise ValueError(f"expected a timeout of a second or more, got {timeout}")
    # SIGTERM is ours: JAX would keep it to itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            index,
            initialization_timeout=max(timeout, 10),
            heartbeat_timeout_seconds=timeout,
            shutdown_timeout_seconds=_EVALUATION,
        )
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"cannot join the other processes: {error}") from error
    show = sys.excepthook

    def end(kind: type[BaseException], *exception: Any) -> None:
        show(kind, *exception)
        if issubclass(kind, jax.errors.JaxRuntimeError):
            print(
                "jaxgen: if no device failed, another process died, or is no longer heard",
                file=sys.stderr,
            )
        abandon(1)

    sys.excepthook = end


def abandon(status: int) -> NoReturn:
    """Ends this process at once: at its ordinary end it would wait for the others, who wait for it.

    It does so in a training of several processes alone; otherwise it exits as usual.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.process_count() > 1:
        os._exit(status)
    sys.exit(status)


def is_first() -> bool:
    """Whether this process writes and prints."""
    return jax.process_index() == 0


def most_of_all(said: int) -> int:
    """The largest number that any process says; all have to ask."""
    if jax.process_count() == 1:
        return int(said)
    return int(np.max(multihost_utils.process_allgather(np.asarray(said, np.int32))))


def by_the_first(action: Callable[[], Any]) -> None:
    """Does something in the first process alone; the others wait until it is done.

    Raises:
        PeerError: in the others, if it failed; in the first, what was raised there.
    """
    failure: Exception | None = None
    if is_first():
        try:
            action()
        except Exception as error:
            failure = error
    if most_of_all(failure is not None):
        raise failure or PeerError("the first process cannot go on; it says why")
