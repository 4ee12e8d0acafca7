"""Many equal bijectors as one loop, whose compile time does not grow with their number."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import ShapeError, replace, within


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
        rngs: where the keys come from.

    >>> from jaxgen.bijectors import ActNorm
    >>> scan = Scan(lambda rngs: ActNorm((3,)), 5, rngs=nnx.Rngs(0))
    >>> scan.forward(jnp.ones((2, 3))).shape
    (2, 3)
    """

    def __init__(
        self, make_step: Callable[[nnx.Rngs], Bijector], num_steps: int, *, rngs: nnx.Rngs
    ):
        if num_steps < 1:
            raise ValueError(f"Scan: expected num_steps >= 1, got {num_steps}")
        keys = jax.random.split(rngs.params(), num_steps)
        steps = jax.vmap(lambda key: make_step(nnx.Rngs(key)))(keys)
        if steps.side_shape("base") != steps.side_shape("data"):
            raise ShapeError(
                f"Scan: a step must keep the event's shape, got {steps.side_shape('base')} -> "
                f"{steps.side_shape('data')}"
            )
        self.steps = steps
        self.num_steps = num_steps
        self.event_ndims = steps.event_ndims
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
        self, z: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self._run("forward_and_log_det", z, context, key, reverse=False)

    def inverse_and_log_det(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self._run("inverse_and_log_det", x, context, key, reverse=True)

    def _run(self, name, value, context, key, reverse):
        value = self._promote(value)
        keys = None if key is None else jax.random.split(key, self.num_steps)

        def body(value, inputs):
            step, step_key = inputs
            with within("Scan step"):
                return getattr(step, name)(value, context, key=step_key)

        value, log_dets = jax.lax.scan(
            body, value, (self.steps, keys), length=self.num_steps, reverse=reverse
        )
        return value, jnp.sum(log_dets, axis=0)

    def _adapt(self, method: str, x: Array, context: Array | None) -> tuple[Self, Array]:
        x = self._promote(x)

        def body(x, step):
            step, z = getattr(step, method)(x, context)
            return z, step

        z, steps = jax.lax.scan(body, x, self.steps, length=self.num_steps, reverse=True)
        return replace(self, steps=steps), z

    def _promote(self, value: Array) -> Array:
        """The value in the dtype that the steps give back: a loop's carry must keep its dtype."""
        dtypes = {leaf.dtype for leaf in jax.tree.leaves(self.steps)}
        return jnp.asarray(value, jnp.result_type(value, *dtypes))


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
