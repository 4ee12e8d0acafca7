r"""Flows of angles and real numbers in one vector, as of wind, orbits or phases with amplitudes.

.. math:: p(a, y) = p(a)\; p(y \mid \cos a, \sin a),

a flow on the torus for the angles (Rezende, Papamakarios et al., 2020) and any flow of vectors for
the rest, conditional on them: see :class:`jaxgen.models.Cylinder`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from jaxgen.bijectors.bounded import Bounds, Ends, bounds_of_entries
from jaxgen.core import Shape, ShapeError
from jaxgen.models import Cylinder, Model
from jaxgen.zoo.registry import build, constructor


@constructor
def cylinder(
    event_shape: Shape,
    *,
    angles: Sequence[int] = (0,),
    rest: str = "maf",
    rest_args: Mapping[str, Any] | None = None,
    torus_args: Mapping[str, Any] | None = None,
    bounds: Bounds = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Cylinder:
    """A flow of a vector of which some entries are angles.

    Args:
        event_shape: ``(D,)``.
        angles: which entries are angles; not all, which :func:`~jaxgen.zoo.torus` is for.
        rest: the constructor of the others' model, by name: ``"maf"``, ``"nsf"``, ``"realnvp"`` ...
        rest_args: its hyperparameters; None for the defaults.
        torus_args: those of :func:`~jaxgen.zoo.torus`, whose structure is autoregressive here.
        bounds: for each entry where it begins and ends: of an angle a turn, ``(0, 360)``, from -pi
            to pi where it is None; of another its bounds.

    Raises:
        ValueError: for entries that are none, or no angle, or nothing but angles.
        ShapeError: if the event is no vector.

    >>> import jax.numpy as jnp
    >>> small = {"layers": 1, "hidden": [4]}
    >>> model = cylinder((3,), angles=[1], rest_args=small, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(3))), 3)  # -log 2 pi, twice half of that for normals
    -3.676
    """
    if len(event_shape) != 1:
        raise ShapeError(f"cylinder: expected an event shape (D,), got {event_shape}")
    (size,) = event_shape
    chosen = tuple(angles)
    if not 0 < len(set(chosen)) == len(chosen) < size or not all(0 <= i < size for i in chosen):
        raise ValueError(
            f"cylinder: expected for angles some of the entries 0 to {size - 1}, each once and not "
            f"all of them, got {chosen}"
        )
    for name, given in (("rest_args", rest_args), ("torus_args", torus_args)):
        if taken := sorted({"bounds", "context_features"} & set(given or {})):
            raise ValueError(
                f"cylinder: expected no {taken[0]} in {name}; it is an argument of the cylinder"
            )
    ends = bounds_of_entries(bounds, size)
    turns = [_turn(ends[i]) for i in chosen]
    others = [ends[i] for i in range(size) if i not in chosen]
    of_torus = {"structure": "autoregressive", **(torus_args or {}), "bounds": turns}
    of_torus["context_features"] = context_features
    first = _part("torus_args", "torus", (len(chosen),), of_torus, rngs)
    arguments = {"context_features": 2 * len(chosen) + (context_features or 0), **(rest_args or {})}
    if any(pair != (None, None) for pair in others):
        arguments["bounds"] = others
    second = _part("rest", rest, (len(others),), arguments, rngs)
    return Cylinder(first, second, chosen, turns)


def _part(
    argument: str, name: str, shape: Shape, arguments: Mapping[str, Any], rngs: nnx.Rngs
) -> Model:
    """A model by name, whose errors say which argument asked for it."""
    try:
        return build(name, shape, arguments, rngs=rngs)
    except ShapeError as error:
        raise ShapeError(f"cylinder: {argument}, {name} of {shape}: {error}") from error


def _turn(ends: Ends) -> tuple[float, float]:
    """Where an angle's turn begins and ends."""
    low, high = ends
    if low is None and high is None:
        return -math.pi, math.pi
    if low is None or high is None:
        raise ValueError(f"cylinder: expected two ends of an angle's turn, got {ends}")
    return low, high
