"""On which values do the parameters of a step depend: on none too many, on all that it promises?"""

from typing import Any

import numpy as np

from jaxgen.core import ShapeError, described
from jaxgen.testing import compare


def read_dense(dense: Any, size: int, where: str) -> bool | np.ndarray:
    """``dense`` of :func:`~jaxgen.testing.check_conditional`, refused unless it can be that.

    Raises:
        ShapeError: for anything but True, False and a boolean matrix ``(size, size)``.
    """
    matrix = np.asarray(dense)
    if matrix.dtype != bool or matrix.shape not in ((), (size, size)):
        raise ShapeError(
            f"{where}: expected True, False or a boolean matrix {(size, size)} for dense, got "
            f"{described(matrix if matrix.ndim else dense)}"
        )
    return matrix if matrix.ndim else bool(matrix)


def check_dependencies(
    found: dict[str, Any], order: np.ndarray, where: str, dense: bool | np.ndarray
) -> None:
    """The part of :func:`~jaxgen.testing.check_conditional` that looks at the Jacobian.

    Args:
        found: of one order: ``jacobian``, the largest ``|d params / d x|`` of each (position,
            parameter, position); ``steps``, the parameters step by step; ``later``, the first of
            them with other values after them.
        order: the position of each step.
        where: what was run, for the message.
        dense: see there.
    """
    jacobian = np.asarray(found["jacobian"], np.float64)
    size = len(order)
    if not np.all(np.isfinite(jacobian)):
        raise AssertionError(f"{where}: the Jacobian of __call__ is not finite")
    by_step = jacobian[order][:, :, order]  # (step, parameter, step)
    for t in range(size):
        for s in range(t, size):
            if by_step[t, :, s].max() != 0:
                raise AssertionError(
                    f"{where}: a leak: the parameters of step {t} (position {order[t]}) depend on "
                    f"the value of step {s} (position {order[s]}); |Jacobian| up to "
                    f"{by_step[t, :, s].max():.3g}, expected exactly 0"
                )
    compare.close(
        f"{where}: a leak without a gradient: parameters of the first steps, when later values "
        f"change",
        found["later"],
        found["steps"][: len(found["later"])],
        1e-12 if found["steps"].dtype == np.float64 else 1e-5,
    )
    if not isinstance(dense, bool):
        for i, s in np.argwhere(~dense):
            if jacobian[i, :, s].max() != 0:
                raise AssertionError(
                    f"{where}: the parameters of position {i} depend on position {s}; |Jacobian| "
                    f"up to {jacobian[i, :, s].max():.3g}, expected exactly 0"
                )
        promised = dense[order][:, order]
    else:
        promised = np.full((size, size), dense)
    for t, s in np.argwhere(np.tril(promised, -1)):
        if by_step[t, :, s].min() == 0:
            raise AssertionError(
                f"{where}: a missing dependency: parameter {by_step[t, :, s].argmin()} of step "
                f"{t} (position {order[t]}) does not depend on the value of step {s} (position "
                f"{order[s]}); pass dense=False if that is not promised"
            )
    if dense is False and size > 1 and by_step[-1, :, :-1].max() == 0:
        raise AssertionError(f"{where}: the parameters of the last step depend on nothing")
