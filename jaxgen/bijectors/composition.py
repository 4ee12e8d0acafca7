"""Compositions of bijectors: one after the other, many equal ones as a loop, and the inverse."""

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Adapt, Bijector, Run, context_within, run_forward, run_inverse
from jaxgen.core import (
    Context,
    Key,
    ShapeError,
    checked_arguments,
    common_context,
    is_concrete,
    program,
    replace,
    rngs_from,
    split_key,
    within,
)


class Chain(Bijector):
    r"""Bijectors applied in a row, **listed from the base to the data**.

    ``Chain([f, g]).forward(z) = g(f(z))``; log-determinants add up. A member with fewer event axes
    than the chain (an elementwise map in a chain of images) has its log-determinant summed over
    the missing ones. For many equal members use :class:`~jaxgen.bijectors.Scan`, whose compile time
    does not grow with their number.

    Args:
        layers: the bijectors. Where two neighbours both state a shape, the shapes must agree.

    Raises:
        ShapeError: if neighbouring shapes differ.

    >>> from jaxgen.bijectors import Flip, Logit
    >>> chain = Chain([Flip(), Logit()])
    >>> chain.forward(jnp.zeros((4, 2))).shape
    (4, 2)
    """

    @checked_arguments
    def __init__(self, layers: Sequence[Bijector]):
        if not layers:
            raise ValueError("Chain: expected at least one bijector for layers, got none")
        self.layers = nnx.List(layers)
        self.event_ndims = max(
            layer.side_ndims(side) for layer in layers for side in ("base", "data")
        )
        shape = None
        for index, layer in enumerate(layers):
            incoming = layer.side_shape("base")
            for side in (incoming, layer.side_shape("data")):
                if side is not None and len(side) < self.event_ndims:
                    raise ShapeError(
                        f"Chain: layer {index} ({type(layer).__name__}) takes events of shape "
                        f"{side}, but another layer has {self.event_ndims} event axes"
                    )
            if shape is not None and incoming is not None and incoming != shape:
                raise ShapeError(
                    f"Chain: layer {index} ({type(layer).__name__}) expects shape {incoming}, the "
                    f"layers before it make {shape}"
                )
            if incoming is not None and self.base_shape is None:
                self.base_shape = incoming
            outgoing = layer.side_shape("data")
            shape = shape if outgoing is None else outgoing
        self.event_shape = shape
        self.context_shape = common_context("Chain", *(layer.context_shape for layer in layers))

    def forward_and_log_det(
        self, z: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return self._run(run_forward, range(len(self.layers)), z, context, key)

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return self._run(run_inverse, reversed(range(len(self.layers))), x, context, key)

    def check_data(self, x: Array | np.ndarray) -> None:
        passed: list[Bijector] = []
        for layer in reversed(self.layers):
            if type(layer).check_data is not Bijector.check_data:
                while passed:
                    x = passed.pop(0).inverse(jnp.asarray(x))
                layer.check_data(x)
            if not is_concrete(x) or jax.tree.leaves(layer):
                return  # what parameters make of the data is not known before they are trained
            passed.append(layer)

    def _run(
        self, run: Run, indices: Iterable[int], value: Array, context: Context, key: Key
    ) -> tuple[Array, Array]:
        log_dets = []
        keys = split_key(key, len(self.layers))
        for index in indices:
            layer = self.layers[index]
            with within(f"Chain layer {index}"):
                value, log_det = run(layer, value, context, keys[index], self.event_ndims)
            log_dets.append(log_det)
        return value, functools.reduce(operator.add, log_dets)

    def _adapt(self, adapt: Adapt, x: Array, context: Context) -> tuple[Self, Array]:
        layers = list(self.layers)
        for index in reversed(range(len(layers))):
            layer_context = context_within(layers[index], x, context, self.event_ndims)
            with within(f"Chain layer {index}"):
                layers[index], x = adapt(layers[index], x, layer_context)
        return replace(self, layers=nnx.List(layers)), x

    def standardize(self, x: Array | np.ndarray) -> Self:
        *layers, nearest = self.layers
        return replace(self, layers=nnx.List([*layers, nearest.standardize(x)]))


class Scan(Bijector):
    """``num_steps`` bijectors of one structure, stacked and run by ``jax.lax.scan``.

    The steps are those of ``Chain([step_0, step_1, ...])``, with the same direction: forward
    applies step 0 first. Their parameters are stacked along a new leading axis, so the compiled
    program holds one step, whatever the depth.

    Args:
        make_step: ``rngs -> Bijector``, called once under ``jax.vmap``: it must draw its random
            numbers from ``rngs`` with jax, and every step it makes has the same structure.
            Alternation goes inside a step (a ``Flip``, two couplings that swap roles).
        num_steps: how many.
        unroll: compiles every step apart, with the same parameters: for few steps of large kernels,
            whose gradients a loop on a CPU copies once more.
        rngs: where the keys come from.

    >>> from jaxgen.bijectors import ActNorm
    >>> scan = Scan(lambda rngs: ActNorm((3,)), 5, rngs=nnx.Rngs(0))
    >>> scan.forward(jnp.ones((2, 3))).shape
    (2, 3)
    """

    stacked = ("steps",)  # along a leading axis, see jaxgen.summary

    @checked_arguments
    def __init__(
        self,
        make_step: Callable[[nnx.Rngs], Bijector],
        num_steps: int,
        *,
        unroll: bool = False,
        rngs: nnx.Rngs,
    ):
        keys = jax.random.split(rngs.params(), num_steps)
        steps = jax.vmap(lambda key: make_step(rngs_from(key)))(keys)
        if steps.side_shape("base") != steps.side_shape("data"):
            raise ShapeError(
                f"Scan: a step must keep the event's shape, got {steps.side_shape('base')} -> "
                f"{steps.side_shape('data')}"
            )
        self.steps = steps
        self.num_steps = num_steps
        self.unroll = unroll
        self.remat = False  # see jaxgen.rematerialize
        self.event_ndims = steps.side_ndims("data")
        self.event_shape = steps.event_shape
        self.context_shape = steps.context_shape

    @classmethod
    def stack(cls, steps: Sequence[Bijector]) -> Self:
        """A scan over given steps, which must be equal in everything but their leaves' values.

        Raises:
            ValueError: naming the first attribute in which two steps differ.
        """
        if not steps:
            raise ValueError("Scan.stack: expected at least one step, got none")
        for index, step in enumerate(steps[1:], start=1):
            difference = _first_difference(steps[0], step)
            if difference is not None:
                raise ValueError(
                    f"Scan.stack: step {index} differs from step 0 in {difference}; make it a "
                    f"Buffer, or use Chain"
                )
        scan = cls(lambda rngs: steps[0], len(steps), rngs=nnx.Rngs(0))
        return replace(scan, steps=jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps))

    def forward_and_log_det(
        self, z: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return self._run(run_forward, z, context, key, reverse=False)

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return self._run(run_inverse, x, context, key, reverse=True)

    def check_data(self, x: Array | np.ndarray) -> None:
        if not jax.tree.leaves(self.steps):  # else see Chain; and they are those of all steps
            self.steps.check_data(x)

    @program("run", "reverse")
    def _run(
        self, run: Run, value: Array, context: Context, key: Key, *, reverse: bool
    ) -> tuple[Array, Array]:
        value = self._promote(value, context)
        keys = None if key is None else jax.random.split(key, self.num_steps)

        def body(value, inputs):
            step, step_key = inputs
            with within("Scan step"):
                return run(step, value, context, step_key, self.event_ndims)

        if self.remat:
            body = jax.checkpoint(body, prevent_cse=False)  # a loop keeps the copies apart
        value, log_dets = jax.lax.scan(
            body,
            value,
            (self.steps, keys),
            length=self.num_steps,
            reverse=reverse,
            unroll=self.unroll,
        )
        return value, jnp.sum(log_dets, axis=0)

    @program("adapt")
    def _adapt(self, adapt: Adapt, x: Array, context: Context) -> tuple[Self, Array]:
        x = self._promote(jnp.asarray(x), context)

        def body(x, step):
            step, z = adapt(step, x, context)
            return z, step

        z, steps = jax.lax.scan(body, x, self.steps, length=self.num_steps, reverse=True)
        return replace(self, steps=steps), z

    def _promote(self, value: Array, context: Context) -> Array:
        """The value in the dtype that the steps give back: a loop's carry must keep its dtype."""
        dtypes = {leaf.dtype for leaf in jax.tree.leaves((self.steps, context))}
        return value.astype(jnp.result_type(value, *dtypes))


class Inverse(Bijector):
    """``Inverse(b).forward`` is ``b.inverse``: MAF becomes IAF, a squeeze an unsqueeze.

    Neither a data-dependent initialisation nor a calibration is passed on: the data arrive on the
    wrong side of ``b``.

    >>> from jaxgen.bijectors import Squeeze
    >>> Inverse(Squeeze((4, 4, 1))).forward(jnp.zeros((4, 4, 1))).shape
    (2, 2, 4)
    """

    @checked_arguments
    def __init__(self, bijector: Bijector):
        self.bijector = bijector
        self.event_ndims = bijector.side_ndims("base")
        self.event_shape = bijector.side_shape("base")
        self.base_shape = bijector.side_shape("data")
        self.context_shape = bijector.context_shape

    def forward_and_log_det(
        self, z: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return run_inverse(self.bijector, z, context, key, self.side_ndims("base"))

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        return run_forward(self.bijector, x, context, key, self.event_ndims)


def _first_difference(first: Any, second: Any, path: str = "step") -> str | None:
    """The dotted path and the values of the first attribute in which two modules differ."""
    if isinstance(first, nnx.Variable) and isinstance(second, nnx.Variable):
        if type(first) is not type(second):
            return f"{path}: {type(first).__name__} and {type(second).__name__}"
        if first.shape != second.shape:
            return f"{path}: shapes {first.shape} and {second.shape}"
        return None
    if isinstance(first, nnx.Pytree) and type(first) is type(second):
        ours, theirs = _attributes(first), _attributes(second)
        for name in sorted(ours.keys() | theirs.keys()):
            found = _first_difference(ours.get(name), theirs.get(name), f"{path}.{name}")
            if found is not None:
                return found
        return None
    return None if first == second else f"{path}: {first!r} and {second!r}"


def _attributes(module: nnx.Pytree) -> dict[str, Any]:
    return {k: v for k, v in vars(module).items() if not k.startswith("_pytree__")}
