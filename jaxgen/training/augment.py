"""Augmentations: other examples that are as good as those there are, drawn anew in every step.

Each is a pure function ``(examples, key) -> examples`` of a batch, so a step repeats as ever. A
model of augmented data is one of other data: report what was done to them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import ShapeError, unknown
from jaxgen.core.stored import Stored
from jaxgen.data.checks import check_levels
from jaxgen.training.objectives import Batch, Objective

Augmentation = Callable[[Array, Array], Array]

_PADDED = 4  # pixels, as He et al. (2016) do it
_GREY = 256  # levels, as uint8 has them

_AT_ONCE = 4096  # examples, of those that are augmented outside of a step


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


def binarize(x: Array, key: Array, levels: int = _GREY) -> Array:
    """Dynamic binarization: ones with probability ``x / (levels - 1)``, entry by entry.

    The model is one of 2 levels. What it is validated and tested on is drawn once:
    :meth:`Dataset.binarized <jaxgen.data.Dataset.binarized>`.

    Args:
        x: integers from 0 to ``levels - 1``, of any shape.
        key: of the draws.
        levels: of the examples.

    Salakhutdinov and Murray 2008, On the quantitative analysis of deep belief networks.

    >>> binarize(jnp.array([[0, 16, 8, 8, 8, 8]]), jax.random.key(0), levels=17).tolist()
    [[0, 1, 1, 1, 0, 1]]
    """
    if x.size and not isinstance(x, jax.core.Tracer):
        check_levels(np.asarray(x), levels, "binarize")
    return jax.random.bernoulli(key, x / (levels - 1)).astype(x.dtype)


# With what the number behind a name is, and the least that it can be.
_NAMED: dict[str, tuple[Callable[..., Array], str | None, int]] = {
    "flip": (flip, None, 0),
    "crop": (crop, "padding", 1),
    "binarize": (binarize, "levels", 2),
}


def named_augmentations(names: Sequence[str]) -> list[Augmentation]:
    """The augmentations of these names, which may have a number: ``"crop:2"``, ``"binarize:17"``.

    Raises:
        ValueError: for an unknown name, naming the nearest, or a number that means nothing.

    >>> len(named_augmentations(["flip", "crop:2"]))
    2
    """
    found: list[Augmentation] = []
    for name in names:
        kind, colon, number = str(name).partition(":")
        if kind not in _NAMED:
            raise unknown("augmentation", kind, _NAMED)
        function, argument, least = _NAMED[kind]
        if not colon:
            found.append(function)
        elif argument is None:
            raise ValueError(f"augment: expected {kind} without a number, got {name!r}")
        elif not number.isdigit() or int(number) < least:
            raise ValueError(
                f"augment: expected {kind}:{argument.upper()} of {least} or more, got {name!r}"
            )
        else:
            found.append(functools.partial(function, **{argument: int(number)}))
    return found


def augmented(objective: Objective, augmentations: Sequence[Augmentation]) -> Objective:
    """An objective of examples that went through augmentations, one after the other.

    ``fit(model, x, objective=augmented(negative_log_likelihood, [flip, crop]))``

    Layers that are initialised from data see augmented ones; validation sees the data as they are.

    Args:
        objective: ``(model, batch, key) -> loss``.
        augmentations: functions ``(examples, key) -> examples`` of the same shape and dtype.
    """

    def examples(x: Array, key: Array) -> Array:
        for augmentation, own in zip(
            augmentations, jax.random.split(key, len(augmentations)), strict=True
        ):
            after = augmentation(x, own)
            if (after.shape, after.dtype) != (x.shape, x.dtype):
                raise ShapeError(
                    f"augmentation: expected {x.dtype}{x.shape} again, got "
                    f"{after.dtype}{after.shape}"
                )
            x = after
        return x

    @functools.wraps(objective)  # by whose arguments it is called
    def of_others(model: Any, batch: Batch, key: Array, **options: Any) -> Array:
        if batch.x is None:
            raise ValueError("augmented: expected examples, got a batch without any")
        drawn, key = jax.random.split(key)
        x = examples(jnp.asarray(batch.x), drawn)
        return objective(model, batch._replace(x=x), key, **options)

    of_others.examples = examples  # type: ignore[attr-defined]
    return of_others


def binarized_levels(names: Sequence[str]) -> int | None:
    """The levels of what ``"binarize"`` among these names makes zeros and ones of; None without.

    >>> binarized_levels(["flip", "binarize:17"])
    17
    """
    for name in names:
        kind, _, number = name.partition(":")
        if kind == "binarize":
            return int(number or _GREY)
    return None


def as_seen(objective: Objective, batch: Batch) -> Batch:
    """A batch as a model sees it that is trained by an objective: augmented, perhaps.

    It is drawn by where examples are, so the same every time; of those that are stored as they are
    read.
    """
    while isinstance(objective, functools.partial):
        objective = objective.func
    examples = getattr(objective, "examples", None)
    if examples is None or batch.x is None:
        return batch

    def drawn(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        parts = [
            np.asarray(examples(jnp.asarray(x[at : at + _AT_ONCE]), jax.random.key(int(rows[at]))))
            for at in range(0, len(x), _AT_ONCE)
        ]
        return np.concatenate(parts) if parts else x

    if isinstance(batch.x, Stored):
        return batch._replace(x=batch.x.changed(drawn))
    return batch._replace(x=drawn(np.asarray(batch.x), np.arange(len(batch.x))))


def _require_images(x: Array, name: str) -> None:
    if x.ndim != 4:
        raise ShapeError(
            f"{name}: expected images (n, height, width, channels), got examples of {x.shape[1:]}"
        )
