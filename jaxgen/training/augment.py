"""Augmentations: other examples that are as good as those there are, drawn anew in every step.

Each is a pure function ``(examples, key) -> examples`` of a batch, so a step repeats as ever. A
model of augmented data is one of other data: report what was done to them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.core import ShapeError, unknown
from jaxgen.training.objectives import Batch, Objective

Augmentation = Callable[[Array, Array], Array]

_PADDED = 4  # pixels, as He et al. (2016) do it


def flip(x: Array, key: Array) -> Array:
    """Images ``(n, height, width, channels)``, each one with probability 1/2 left for right.

    >>> images = jnp.arange(8).reshape(4, 1, 2, 1)
    >>> flip(images, jax.random.key(0)).reshape(4, 2).tolist()
    [[0, 1], [2, 3], [5, 4], [7, 6]]
    """
    _require_images(x, "flip")
    turned = jax.random.bernoulli(key, 0.5, (len(x), 1, 1, 1))
    return jnp.where(turned, x[:, :, ::-1], x)


def crop(x: Array, key: Array, padding: int = _PADDED) -> Array:
    """Images, each one moved by up to ``padding`` pixels, its border pixels repeated.

    Args:
        x: images ``(n, height, width, channels)``.
        key: of the moves, which are uniform, down and across apart.
        padding: the largest, at least 1.

    >>> crop(jnp.ones((1, 3, 3, 1)), jax.random.key(0), 1).shape
    (1, 3, 3, 1)
    """
    _require_images(x, "crop")
    sides = (0, 0), (padding, padding), (padding, padding), (0, 0)
    padded = jnp.pad(x, sides, mode="edge")
    starts = jax.random.randint(key, (len(x), 2), 0, 2 * padding + 1)

    def cut(image: Array, start: Array) -> Array:
        return jax.lax.dynamic_slice(image, (start[0], start[1], 0), x.shape[1:])

    return jax.vmap(cut)(padded, starts)


_NAMED: dict[str, Callable[..., Array]] = {"flip": flip, "crop": crop}


def named_augmentations(names: Sequence[str]) -> list[Augmentation]:
    """The augmentations of these names: ``"flip"``, ``"crop"``, ``"crop:PADDING"``.

    Raises:
        ValueError: for an unknown name, naming the nearest, or a padding that is no number.

    >>> len(named_augmentations(["flip", "crop:2"]))
    2
    """
    found: list[Augmentation] = []
    for name in names:
        kind, colon, number = str(name).partition(":")
        if kind not in _NAMED:
            raise unknown("augmentation", kind, _NAMED)
        if colon and (kind != "crop" or not number.isdigit() or int(number) < 1):
            raise ValueError(f"augment: expected crop:PADDING of 1 or more pixels, got {name!r}")
        found.append(functools.partial(crop, padding=int(number)) if colon else _NAMED[kind])
    return found


def augmented(objective: Objective, augmentations: Sequence[Augmentation]) -> Objective:
    """An objective of examples that went through augmentations, one after the other.

    ``fit(model, x, objective=augmented(negative_log_likelihood, [flip, crop]))``

    Validation sees the data as they are.

    Args:
        objective: ``(model, batch, key) -> loss``.
        augmentations: functions ``(examples, key) -> examples`` of the same shape and dtype.
    """

    @functools.wraps(objective)  # by whose arguments it is called
    def of_others(model: Any, batch: Batch, key: Array, **options: Any) -> Array:
        key, *keys = jax.random.split(key, 1 + len(augmentations))
        x = jnp.asarray(batch.x)
        for augmentation, own in zip(augmentations, keys, strict=True):
            after = augmentation(x, own)
            if (after.shape, after.dtype) != (x.shape, x.dtype):
                raise ShapeError(
                    f"augmentation: expected {x.dtype}{x.shape} again, got "
                    f"{after.dtype}{after.shape}"
                )
            x = after
        return objective(model, batch._replace(x=x), key, **options)

    return of_others


def _require_images(x: Array, name: str) -> None:
    if x.ndim != 4:
        raise ShapeError(
            f"{name}: expected images (n, height, width, channels), got examples of {x.shape[1:]}"
        )
