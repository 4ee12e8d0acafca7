"""Floor 1: what every module shares, a file a purpose."""

from jaxgen.core.shapes import (
    Shape,
    ShapeError,
    batch_shape,
    check_context,
    check_labels,
    check_levels,
    common_context,
    float_dtype,
    is_concrete,
    split_key,
    take_class,
    unknown,
    unpack_params,
    within,
)
from jaxgen.core.updates import M, compute_in, map_modules, replace
from jaxgen.core.variables import Buffer, freeze, needs_calibration, num_parameters, partition

__all__ = [
    "Buffer",
    "M",
    "Shape",
    "ShapeError",
    "batch_shape",
    "check_context",
    "check_labels",
    "check_levels",
    "common_context",
    "compute_in",
    "float_dtype",
    "freeze",
    "is_concrete",
    "map_modules",
    "needs_calibration",
    "num_parameters",
    "partition",
    "replace",
    "split_key",
    "take_class",
    "unknown",
    "unpack_params",
    "within",
]
