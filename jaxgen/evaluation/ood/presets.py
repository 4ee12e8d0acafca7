"""Scores by name: which a model has, and what each is made of."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from jaxgen.core import Context, Key, unknown
from jaxgen.evaluation.ood.detector import Detector, detector
from jaxgen.evaluation.ood.goodness import goodness_of_fit, has_fit
from jaxgen.evaluation.ood.gradients import gradient_norms
from jaxgen.evaluation.ood.path import latent_path
from jaxgen.evaluation.ood.regret import likelihood_regret
from jaxgen.evaluation.ood.statistics import (
    IMAGES_OF,
    Statistic,
    input_complexity,
    likelihood_ratio,
    negative_log_likelihood,
)
from jaxgen.models import Model

_BYTES = 256


class Preset(NamedTuple):
    """A statistic of a model, how it is compared with a reference (or not), and what needs it."""

    statistic: Callable[[Model, Model | None], Statistic]
    compare: str | None
    applies: Callable[[Model, Model | None], bool]
    needs: str


def _always(model: Model, background: Model | None) -> bool:
    return True


def _has_background(model: Model, background: Model | None) -> bool:
    return background is not None


def _has_bytes(model: Model, background: Model | None) -> bool:
    return model.levels is not None and model.levels <= _BYTES


def _has_fit(model: Model, background: Model | None) -> bool:
    return has_fit(model)


def _has_posterior(model: Model, background: Model | None) -> bool:
    return model.has_posterior and model.vector_shape is None


def _has_slope(model: Model, background: Model | None) -> bool:
    return _has_posterior(model, background) and model.undifferentiable is None


def _ratio(model: Model, background: Model | None) -> Statistic:
    assert background is not None  # or the score does not apply
    return functools.partial(likelihood_ratio, background=background)


def _complexity(model: Model, background: Model | None) -> Statistic:
    event = model.event_shape
    image = len(event) == 3 and event[-1] in IMAGES_OF
    return functools.partial(input_complexity, codec="png" if image else "lzma")


SCORES = {
    "negative_log_likelihood": Preset(lambda *_: negative_log_likelihood, None, _always, ""),
    "typicality": Preset(lambda *_: negative_log_likelihood, "typicality", _always, ""),
    "likelihood_ratio": Preset(_ratio, None, _has_background, "a second model as background"),
    "input_complexity": Preset(
        _complexity, None, _has_bytes, "data of 256 levels at most, of which codecs make a file"
    ),
    "goodness_of_fit": Preset(
        lambda *_: goodness_of_fit, None, _has_fit, "a distribution function of its entries"
    ),
    "gradient_norms": Preset(lambda *_: gradient_norms, "typicality", _always, ""),
    "latent_path": Preset(
        lambda *_: latent_path, "copod", _has_posterior, "a posterior of latents that are numbers"
    ),
    "likelihood_regret": Preset(
        lambda *_: likelihood_regret, None, _has_slope, "a posterior whose draws have a gradient"
    ),
}


def scores_of(model: Model, background: Model | None = None) -> list[str]:
    """The names of the scores that a model has, by itself or beside a background.

    >>> from jaxgen.models import StandardNormal
    >>> scores_of(StandardNormal((2,)))
    ['negative_log_likelihood', 'typicality', 'goodness_of_fit', 'gradient_norms']
    """
    return [name for name, preset in SCORES.items() if preset.applies(model, background)]


def named_score(
    model: Model,
    name: str,
    reference: np.ndarray | Array | None = None,
    *,
    background: Model | None = None,
    context: Context = None,
    key: Key = None,
) -> Callable[..., np.ndarray]:
    """The score of this name, as a function of examples and their contexts.

    | name | statistic | compared with a reference by |
    |---|---|---|
    | ``negative_log_likelihood`` | the same | |
    | ``typicality`` | ``negative_log_likelihood`` | its distance from the mean |
    | ``likelihood_ratio`` | the same, against the background | |
    | ``input_complexity`` | the same, by PNG for images, else LZMA | |
    | ``goodness_of_fit`` | the same | |
    | ``gradient_norms`` | the same | a Mahalanobis distance |
    | ``latent_path`` | the same | COPOD |
    | ``likelihood_regret`` | the same | |

    Args:
        model: any model.
        name: one of :func:`scores_of` it.
        reference: examples ``(m, *event_shape)`` that are not strange, for a score that compares;
            the others ignore it.
        background: another model of the same events, for ``likelihood_ratio``.
        context: the contexts of the reference, for a conditional model.
        key: for scores that draw.

    Returns:
        A function of ``(x, context=None)`` to float64 ``(n,)``, the higher the stranger.

    Raises:
        ValueError: for an unknown name, or no reference where one is needed.
        TypeError: if the model lacks what the score needs; it says what.

    >>> from jaxgen.models import StandardNormal
    >>> x = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    >>> named_score(StandardNormal((2,)), "typicality", x)(x).shape
    (100,)
    """
    if name not in SCORES:
        raise unknown("score", name, scores_of(model, background))
    preset = SCORES[name]
    if not preset.applies(model, background):
        raise TypeError(f"{name}: needs {preset.needs}, which this {type(model).__name__} lacks")
    statistic = preset.statistic(model, background)
    if preset.compare is None:
        return functools.partial(_alone, model, statistic, key)
    if reference is None:
        raise ValueError(f"{name}: expected a reference of examples that are not strange, got none")
    made: Detector = detector(
        model, reference, (statistic,), compare=preset.compare, context=context, key=key
    )
    return made


def _alone(
    model: Model, statistic: Any, key: Key, x: np.ndarray | Array, context: Context = None
) -> np.ndarray:
    return statistic(model, x, context, key=key)
