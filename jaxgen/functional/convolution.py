r"""Convolutions as matrix products, for CPUs.

Inside ``jax.lax.scan`` XLA's convolution on a CPU has a gradient that takes fifty times as long as
its value. As matrix products, a convolution of windows ``k x k`` from ``C`` features to ``F`` is
one of two,

.. math:: y_p = \sum_{o} x_{p + o} W_o
          = [x_{p + o}]_o \, [W_o]_o
          = \sum_o \left(x \, [W_o]_o\right)_{p + o,\, o},

whose windows are gathered before the product, or whose results are gathered after it: whichever has
fewer features. The derivative by ``x`` is a convolution with the windows turned round, that by the
kernel is one product of what is gathered. JAX would differentiate the gathering instead, in a pass
of its own for each place ``o`` of the window; so the convolution is a primitive here, bilinear, and
differentiable in every mode as often as one likes.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import AxisType

_convolve_p = Primitive("convolve")


def convolve(x: Array, kernel: Array) -> Array:
    """A convolution of stride 1 that keeps the sides of images.

    Args:
        x: images ``(n, height, width, features)``.
        kernel: ``(rows, columns, features, new features)``.

    Returns:
        Array ``(n, height, width, new features)``.

    Raises:
        ValueError: for other ranks, numbers of features that differ, or an empty window.

    >>> convolve(jnp.ones((1, 2, 3, 1)), jnp.ones((3, 3, 1, 1)))[0, ..., 0].tolist()
    [[4.0, 6.0, 4.0], [4.0, 6.0, 4.0]]
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2] or 0 in kernel.shape[:2]:
        raise ValueError(
            f"convolve: expected images (n, height, width, features) and a kernel (rows, columns, "
            f"features, new features), got shapes {x.shape} and {kernel.shape}"
        )
    rows, columns = kernel.shape[:2]
    if (rows, columns) == (1, 1):
        return x @ kernel[0, 0]
    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    before = ((rows - 1) // 2, (columns - 1) // 2)
    if _is_typed_by_mesh(x) or _is_typed_by_mesh(kernel):
        return _products(x, kernel, before=before)
    return _convolve_p.bind(x, kernel, before=before)


def _is_typed_by_mesh(x: Array) -> bool:
    """Whether its type says how it is spread over devices (``jax.shard_map``, explicit axes).

    What comes of such types JAX knows for its own operations, and not for a primitive of ours.
    """
    return any(axis != AxisType.Auto for axis in jax.typeof(x).sharding.mesh.axis_types)


def _gathered(x: Array, size: tuple[int, int], before: tuple[int, int]) -> list[Array]:
    """The images moved to every place of the window, zeros from beyond their sides."""
    height, width = x.shape[1:3]
    sides = [(first, each - 1 - first) for each, first in zip(size, before, strict=True)]
    padded = jnp.pad(x, ((0, 0), *sides, (0, 0)))
    return [
        padded[:, i : i + height, j : j + width] for i in range(size[0]) for j in range(size[1])
    ]


def _products(x: Array, kernel: Array, *, before: tuple[int, int]) -> Array:
    """The convolution, whose windows begin so many rows and columns before a pixel."""
    rows, columns, features, new = kernel.shape
    if features <= new:
        windows = jnp.concatenate(_gathered(x, (rows, columns), before), axis=-1)
        return windows @ kernel.reshape(-1, new)
    # A column of the product for each place of the window and each new feature.
    product = x @ jnp.moveaxis(kernel, 2, 0).reshape(features, -1)
    height, width = x.shape[1:3]
    sides = [(first, each - 1 - first) for each, first in zip((rows, columns), before, strict=True)]
    padded = jnp.pad(product, ((0, 0), *sides, (0, 0)))
    places = itertools.product(range(rows), range(columns))
    moved = [
        padded[:, i : i + height, j : j + width, new * place : new * (place + 1)]
        for place, (i, j) in enumerate(places)
    ]
    return functools.reduce(jnp.add, moved)


def _after(kernel: Array, before: tuple[int, int]) -> tuple[int, int]:
    """How many rows and columns the windows go on after a pixel: where turned ones begin."""
    return kernel.shape[0] - 1 - before[0], kernel.shape[1] - 1 - before[1]


def _by_images(cotangent: Array, x: Any, kernel: Array, *, before: tuple[int, int]) -> Array:
    turned = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    return _convolve_p.bind(cotangent, turned, before=_after(kernel, before))


def _by_kernel(cotangent: Array, x: Array, kernel: Any, *, before: tuple[int, int]) -> Array:
    rows, columns, features, new = kernel.aval.shape
    size = (rows, columns)
    if features <= new:
        windows = jnp.concatenate(_gathered(x, size, before), axis=-1)
        return _product(windows, cotangent).reshape(rows, columns, features, new)
    # The results are moved the other way.
    after = (rows - 1 - before[0], columns - 1 - before[1])
    windows = jnp.concatenate(_gathered(cotangent, size, after)[::-1], axis=-1)
    product = _product(x, windows).reshape(features, rows, columns, new)
    return jnp.moveaxis(product, 0, 2)


def _product(a: Array, b: Array) -> Array:
    """The sum over images and pixels of ``a b^T``."""
    return jax.lax.dot_general(
        a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]), (((0,), (0,)), ((), ()))
    )


def _batched(values: Any, axes: Any, *, before: tuple[int, int]) -> tuple[Array, int]:
    """Images of one kernel are more images; kernels of their own are convolved one by one."""
    x, kernel = values
    if axes[1] is not None:
        return jax.vmap(functools.partial(_products, before=before), axes)(x, kernel), 0
    x = jnp.moveaxis(x, axes[0], 0)
    y = _convolve_p.bind(x.reshape(-1, *x.shape[2:]), kernel, before=before)
    return y.reshape(*x.shape[:2], *y.shape[1:]), 0


@_convolve_p.def_abstract_eval
def _shape(x: Any, kernel: Any, *, before: tuple[int, int]) -> Any:
    return x.update(shape=(*x.shape[:-1], kernel.shape[-1]))


_convolve_p.def_impl(jax.jit(_products, static_argnames="before"))
mlir.register_lowering(_convolve_p, mlir.lower_fun(_products, multiple_results=False))
ad.defbilinear(_convolve_p, _by_images, _by_kernel)
batching.primitive_batchers[_convolve_p] = _batched
