"""What the sides of an image allow: how often they can be halved, and into which patches cut."""

import math

from jaxgen.core import Shape, ShapeError


def halvings(event_shape: Shape) -> int:
    """How often the sides of an image can be halved.

    >>> halvings((28, 28, 1)), halvings((32, 32, 3)), halvings((5, 4, 1))
    (2, 5, 0)
    """
    sides = math.gcd(*event_shape[:2])
    return (sides & -sides).bit_length() - 1


def fitting_levels(event_shape: Shape, most: int = 3) -> int:
    """How many scales an image has: as often as its sides can be halved, but one at least.

    >>> fitting_levels((28, 28, 1)), fitting_levels((32, 32, 3))
    (2, 3)
    """
    return max(1, min(most, halvings(event_shape)))


def check_halvings(event_shape: Shape, times: int, argument: str) -> None:
    """Refuses images whose sides cannot be halved so often.

    Args:
        event_shape: ``(height, width, channels)``.
        times: how often they will be.
        argument: the one that says so, for the message.

    Raises:
        ShapeError: saying what to do about it.
    """
    if times > (most := halvings(event_shape)):
        fewer = f"take fewer {argument}, which these allow {most} times, or " if most else ""
        raise ShapeError(
            f"{argument}: expected sides divisible by {2**times}, got {tuple(event_shape)}; "
            f"{fewer}pad or crop the images"
        )


def check_patch(event_shape: Shape, patch: int) -> None:
    """Refuses patches that do not divide the sides of an image.

    Raises:
        ShapeError: saying what to do about it.
    """
    if any(side % patch for side in event_shape[:2]):
        raise ShapeError(
            f"patch: expected sides divisible by {patch}, got {tuple(event_shape)}; take another "
            f"patch, or pad or crop the images"
        )
