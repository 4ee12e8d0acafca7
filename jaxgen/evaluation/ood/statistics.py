r"""What a density and its parts say of an example, beside its likelihood.

Likelihood alone does not tell strange examples: simple images are likely under models of complex
ones (Nalisnick et al. 2019). A *statistic* is a function

    ``statistic(model, x, context=None, *, key=None) -> (n,) or (n, k)``

of examples ``(n, *event_shape)``, float64. One number for each is a score, of which the higher is
the stranger; several are made one by a :class:`~jaxgen.evaluation.ood.Detector`. Any function of
this form, a user's own, stands wherever one of these does; what they take besides is given by
``functools.partial``. An example so far off that the model's arithmetic overflows scores infinity,
with a warning.

``key`` is for models without an exact likelihood, and for draws of latents. What is drawn for an
example depends on the key and on the example's place: scores that draw differ by that noise, and
who scores examples one at a time gives each a key of its own.
"""

import bz2
import io
import lzma
import math
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from jax import Array

from jaxgen.core import Context, Key, described, unknown
from jaxgen.models import Model
from jaxgen.models.chunks import checked_examples
from jaxgen.models.scoring import score

_BITS = math.log(2.0)  # nats in a bit
IMAGES_OF = (1, 3)  # channels, which the codecs of images take


class Statistic(Protocol):
    """A number, or several, of every example, with a model's help."""

    def __call__(
        self, model: Model, x: np.ndarray | Array, context: Context = None, *, key: Key = None
    ) -> np.ndarray: ...


def negative_log_likelihood(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    key: Key = None,
    num_samples: int = 1,
    batch_size: int = 500,
) -> np.ndarray:
    """``-log p(x)`` in nats, or its bound or estimate: see :func:`jaxgen.models.scoring.score`.

    Args:
        model: any model.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: for a model without an exact likelihood.
        num_samples: of such a model; 1 for the evidence lower bound.
        batch_size: examples in a chunk.

    Returns:
        float64 array ``(n,)``.

    >>> from jaxgen.models import StandardNormal
    >>> negative_log_likelihood(StandardNormal((1,)), np.zeros((2, 1))).round(4).tolist()
    [0.9189, 0.9189]
    """
    options: dict[str, Any] = {"num_samples": num_samples, "batch_size": batch_size}
    return strangest(-score(model, x, context, key=key, **options), "negative_log_likelihood")


def likelihood_ratio(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    background: Model,
    key: Key = None,
    num_samples: int = 1,
    batch_size: int = 500,
) -> np.ndarray:
    r"""What another model of the same events says beyond this one (Ren et al. 2019), in nats.

    .. math:: s(x) = \log p_{\text{background}}(x) - \log p(x)

    The background knows what is common to all data, such as how smooth images are, and nothing of
    these in particular: a model of noised data, one of many other data, or, trained on the same
    data, one that sees the neighbourhood of a pixel alone (Zhang et al. 2021), such as
    ``zoo.pixelcnn(event_shape, depth=1, first_size=3, rngs=rngs)``.

    Args:
        model, x, context, key, num_samples, batch_size: as of :func:`negative_log_likelihood`.
        background: the other model, of the same events; it gets the context if it takes one.

    Returns:
        float64 array ``(n,)``.

    Raises:
        TypeError: if the background is no model.
        ShapeError: if it is of other events.

    >>> from jaxgen.models import StandardNormal, StudentT
    >>> ratio = likelihood_ratio(StandardNormal((1,)), [[0.0], [9.0]], background=StudentT((1,)))
    >>> bool(ratio[0] < 0 < ratio[1])
    True
    """
    options: dict[str, Any] = {"key": key, "num_samples": num_samples, "batch_size": batch_size}
    checked_examples(background, x, where="likelihood_ratio, background")
    seen = None if background.context_shape is None else context
    common = score(background, x, seen, **options)
    return strangest(common - score(model, x, context, **options), "likelihood_ratio")


def input_complexity(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    codec: "str | Callable[[np.ndarray], bytes]" = "png",
    key: Key = None,
    num_samples: int = 1,
    batch_size: int = 500,
) -> np.ndarray:
    r"""How much longer an example is by the model than by a lossless codec (Serra et al. 2020).

    .. math:: s(x) = -\log_2 p(x) - L(x),

    in bits: the ratio against the codec as a background model. What is likely because it is simple
    has a short code, too.

    Args:
        model, x, context, key, num_samples, batch_size: as of :func:`negative_log_likelihood`; the
            model is one of levels.
        codec: see :func:`code_length`.

    Returns:
        float64 array ``(n,)``.

    Raises:
        TypeError: if the model is one of real values, which have no code.

    >>> import jax
    >>> from jaxgen.models import Dequantized, Uniform
    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1))
    >>> model = Dequantized(Uniform((8, 8, 1), 0.0, 256.0), 256)  # as long as noise needs
    >>> key = jax.random.key(0)
    >>> bool(input_complexity(model, noise, key=key)[0] < 0)  # and a code has a header
    True
    """
    if model.levels is None or not math.isfinite(model.levels):
        raise TypeError(
            f"input_complexity: only data of levels have a code, as those of a model with levels, "
            f"got {type(model).__name__} without"
        )
    options: dict[str, Any] = {"key": key, "num_samples": num_samples, "batch_size": batch_size}
    bits = -score(model, x, context, **options) / _BITS
    return strangest(bits - code_length(np.asarray(x), codec), "input_complexity")


def code_length(x: np.ndarray, codec: "str | Callable[[np.ndarray], bytes]" = "png") -> np.ndarray:
    """The bits that a lossless codec spends on every example.

    Args:
        x: integers ``(n, *event_shape)``, from 0 to 255 for a codec by name.
        codec: ``"png"`` or ``"webp"`` (without loss) for images ``(height, width, 1 or 3)``, by
            Pillow; ``"zlib"``, ``"bz2"`` or ``"lzma"`` for events of any shape, as bytes in C
            order; or a function of an example to its code.

    Returns:
        float64 array ``(n,)``.

    Raises:
        ValueError: for an unknown codec, examples that it does not take, or values beyond bytes.

    >>> x = np.zeros((1, 8, 8, 1), int)
    >>> bool(code_length(x) < code_length(np.arange(64).reshape(x.shape)))
    True
    """
    x = np.asarray(x)
    if callable(codec):
        codes = [codec(each) for each in x]
        if wrong := [code for code in codes if not isinstance(code, bytes | bytearray)]:
            raise TypeError(f"code_length: expected codec to give bytes, got {described(wrong[0])}")
        return np.array([8.0 * len(code) for code in codes])
    if codec not in _CODECS:
        raise unknown("codec", codec, _CODECS)
    if x.dtype.kind not in "bui" or (x.size and (x.min() < 0 or x.max() > 255)):
        raise ValueError(
            f"code_length: expected integers from 0 to 255, got {x.dtype} from {x.min()} to "
            f"{x.max()}; give a function of an example to bytes as codec"
        )
    if codec in _IMAGES and (x.ndim != 4 or x.shape[-1] not in IMAGES_OF):
        raise ValueError(
            f"code_length: {codec} is for images (n, height, width, 1 or 3), got {x.shape}; "
            f"'lzma', 'bz2' and 'zlib' are for events of any shape"
        )
    return np.array([8.0 * len(_CODECS[codec](each)) for each in x.astype(np.uint8)])


def _image(form: str, image: np.ndarray, **options: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, form, **options)
    return buffer.getvalue()


_IMAGES: dict[str, Callable[[np.ndarray], bytes]] = {
    "png": lambda image: _image("png", image, optimize=True),
    "webp": lambda image: _image("webp", image, lossless=True, quality=100),
}
_CODECS = _IMAGES | {
    "zlib": lambda x: zlib.compress(x.tobytes(), 9),
    "bz2": lambda x: bz2.compress(x.tobytes(), 9),
    "lzma": lambda x: lzma.compress(x.tobytes()),
}


def waic(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    others: Sequence[Model],
    key: Key = None,
    num_samples: int = 1,
    batch_size: int = 500,
) -> np.ndarray:
    r"""The disagreement of models trained apart (Choi et al. 2018), in nats.

    .. math:: s(x) = \mathrm{Var}_m[\log p_m(x)] - \mathrm{E}_m[\log p_m(x)]

    over the model and the others: Watanabe's criterion with the sign of a score.

    Args:
        model, x, context, key, num_samples, batch_size: as of :func:`negative_log_likelihood`.
        others: models of the same events, trained from other seeds; one at least.

    Returns:
        float64 array ``(n,)``.

    Raises:
        ValueError: without another model.

    >>> from jaxgen.models import StandardNormal, StudentT
    >>> scores = waic(StandardNormal((1,)), [[0.0], [9.0]], others=[StudentT((1,))])
    >>> bool(scores[0] < scores[1])
    True
    """
    if not len(others):
        raise ValueError("waic: expected another model at least, got none; train one of other seed")
    options: dict[str, Any] = {"key": key, "num_samples": num_samples, "batch_size": batch_size}
    for other in others:
        checked_examples(other, x, where="waic, others")
    scores = np.stack([score(each, x, context, **options) for each in (model, *others)])
    with np.errstate(invalid="ignore"):  # of infinities
        return strangest(scores.var(axis=0, ddof=1) - scores.mean(axis=0), "waic")


def strangest(values: np.ndarray, where: str) -> np.ndarray:
    """Numbers of examples, with infinity for NaN: a density that overflows is next to none.

    Raises:
        ValueError: if all are NaN, which is the model's fault and not the examples'.

    Warns:
        UserWarning: of the examples it is about.
    """
    bad = np.isnan(values).reshape(len(values), -1).any(axis=1)
    if not bad.any():
        return values
    if bad.all():
        raise ValueError(f"{where}: NaN for all of {len(values)} examples; is the model finite?")
    warnings.warn(
        f"{where}: {bad.sum()} of {len(values)} examples, the first of them {bad.argmax()}, are so "
        f"far off that the model's numbers overflow; they score infinity",
        stacklevel=3,
    )
    return np.where(np.isnan(values), np.inf, values)
