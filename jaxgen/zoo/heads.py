"""The head of an autoregressive model, and how its network reads levels."""

from flax import nnx

from jaxgen.conditionals import MADE, NADE, Conditional
from jaxgen.core import Shape, unknown
from jaxgen.likelihoods import Likelihood, for_levels
from jaxgen.models import Frame

_FRAMES = ("nade", "made")


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


def framed(
    likelihood: Likelihood,
    position_shape: Shape,
    frame: str | None,
    frame_width: int,
    *,
    rngs: nnx.Rngs,
) -> Likelihood:
    """The head of positions of this shape, whose entries a network inside couples.

    Args:
        likelihood: of an entry.
        position_shape: of a frame.
        frame: the network: ``"nade"``, ``"made"`` (two hidden layers), or None for no coupling.
        frame_width: units of a hidden layer, and as many features of a frame.
        rngs: where the initial weights come from.

    Raises:
        ValueError: for an unknown network, or positions of one number.

    >>> head = framed(for_levels(2), (5,), "nade", 8, rngs=nnx.Rngs(0))
    >>> head.num_params((5,))
    13
    """
    if frame is None:
        return likelihood
    if frame not in _FRAMES:
        raise unknown("frame", frame, _FRAMES)
    if not position_shape:
        raise ValueError(
            f"expected events whose positions are vectors, as (length, channels) and images are, "
            f"for frame={frame!r}, got positions of one number"
        )
    inside: Conditional
    if frame == "made":
        inside = MADE(
            position_shape,
            likelihood.num_params(()),
            hidden=(frame_width, frame_width),
            context_features=frame_width,
            position_shape=likelihood.input_shape(()),
            rngs=rngs,
        )
    else:
        inside = NADE(
            position_shape,
            likelihood.num_params(()),
            width=frame_width,
            rescale=likelihood.has_units,
            context_features=frame_width,
            position_shape=likelihood.input_shape(()),
            rngs=rngs,
        )
    return Frame(inside, likelihood)
