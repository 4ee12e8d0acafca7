"""The head of an autoregressive model, and how its network reads levels."""

from jaxgen.core import Shape
from jaxgen.likelihoods import Likelihood, for_levels


def head_of(
    event_shape: Shape, levels: int | None, components: int | None, inputs: str | None
) -> Likelihood:
    """The usual likelihood of such data, see :func:`~jaxgen.likelihoods.for_levels`.

    Without ``inputs``, the levels of a categorical head are names, each read as a vector, unless
    the event is an image, whose levels are brightnesses; those of other heads are numbers.

    Raises:
        ValueError: for ``inputs`` of data whose values are one number each.

    >>> head_of((8,), 17, None, None).inputs, head_of((8, 8, 1), 17, None, None).inputs
    ('one_hot', 'scalar')
    """
    if levels is None or levels == 2:
        if inputs not in (None, "scalar"):
            raise ValueError(
                f"inputs={inputs!r} is for more than two levels, got levels={levels}, which are "
                f"read as a number"
            )
        return for_levels(levels, components)
    if inputs is None:
        named = components is None and len(event_shape) < 3
        inputs = "one_hot" if named else "scalar"
    return for_levels(levels, components, inputs)
