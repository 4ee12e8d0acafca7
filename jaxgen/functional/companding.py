r"""Mu-law companding: sound as 256 codes that are finer near silence.

The curve is that of ITU-T G.711, the codes are those of WaveNet (van den Oord et al. 2016).

For a sample :math:`x \in [-1, 1]` and :math:`\mu = 255`,

.. math:: F(x) = \operatorname{sign}(x) \frac{\ln(1 + \mu |x|)}{\ln(1 + \mu)}, \qquad
          F^{-1}(y) = \operatorname{sign}(y) \frac{(1 + \mu)^{|y|} - 1}{\mu},

and the code is :math:`F(x)` rounded to the nearest of the 256 numbers :math:`2 k / 255 - 1`. So -1
has the code 0 and +1 the code 255; silence, half way between the codes 127 and 128, is rounded up.

16-bit sound ``pcm`` is ``x = pcm / 32768``, from -1 to 1 - 1/32768, whose codes are 0 and 255.

Every function takes jax arrays (also traced) or numpy arrays and answers in kind: numpy computes in
float64, so that the codes of a file are the same everywhere. In float32 a sample within a rounding
of the border between two codes may get the other one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MU = 255
LEVELS = MU + 1
SILENCE = LEVELS // 2  # the code of 0.0

Arrays = jax.Array | np.ndarray


def compress(x: Arrays) -> Any:
    """``F(x)``, from ``[-1, 1]`` to ``[-1, 1]``; differentiable at 0 too.

    >>> compress(np.array([-1.0, 0.0, 1 / 255, 1.0])).round(6).tolist()
    [-1.0, 0.0, 0.125, 1.0]
    """
    xp, x = _namespace(x)
    # Not sign(x) and abs(x), whose derivatives at 0 are 0.
    sign = xp.where(x < 0, -1.0, 1.0).astype(x.dtype)
    return sign * xp.log1p(MU * sign * x) / np.log1p(MU).astype(x.dtype)


def expand(y: Arrays) -> Any:
    """The inverse of :func:`compress`.

    >>> (expand(np.array([-1.0, 0.0, 0.125, 1.0])) * 255).round(6).tolist()
    [-255.0, 0.0, 1.0, 255.0]
    """
    xp, y = _namespace(y)
    sign = xp.where(y < 0, -1.0, 1.0).astype(y.dtype)
    return sign * xp.expm1(sign * y * np.log1p(MU).astype(y.dtype)) / MU


def encode(x: Arrays) -> Any:
    """The codes 0..255 of samples; one outside ``[-1, 1]`` gets that of the nearer end.

    Filters overshoot a little; a number beyond ten times the interval is in another unit, and
    refused where it can be seen, as NaN is.

    Args:
        x: real array of any shape.

    Returns:
        uint8 array of the same shape.

    Raises:
        TypeError: for anything but real numbers.
        ValueError: for NaN, or a finite sample outside ``(-10, 10)``.

    >>> encode(np.array([-1.0, -0.1, 0.0, 0.1, 1.0])).tolist()
    [0, 52, 128, 203, 255]
    """
    xp, x = _namespace(x)
    advice = "; 16-bit sound goes to from_pcm, which scales it"
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"encode: expected real samples from -1 to 1, got {x.dtype}{advice}")
    if not isinstance(x, jax.core.Tracer):
        known = np.asarray(x)
        wrong = known[~(np.abs(known) < 10) & ~np.isinf(known)]  # NaN, too
        if wrong.size:
            raise ValueError(f"encode: expected samples from -1 to 1, got {wrong[0]}{advice}")
    return xp.floor((compress(xp.clip(x, -1.0, 1.0)) + 1.0) * (MU / 2) + 0.5).astype(xp.uint8)


def decode(codes: Arrays) -> Any:
    """The samples that codes stand for, in ``[-1, 1]``; ``encode(decode(codes))`` is ``codes``.

    Args:
        codes: integer array of any shape, values 0..255.

    Returns:
        Real array of the same shape: float64 from numpy, else jax's default float.

    Raises:
        TypeError: for anything but integers.
        ValueError: for integers that are no codes, where they can be seen.

    >>> decode(np.array([0, 127, 128, 255])).round(6).tolist()
    [-1.0, -8.6e-05, 8.6e-05, 1.0]
    """
    _, codes = _namespace(codes)
    if not jnp.issubdtype(codes.dtype, jnp.integer):
        raise TypeError(f"decode: expected integer codes 0..{MU}, got {codes.dtype}")
    if not isinstance(codes, jax.core.Tracer):
        wrong = np.asarray(codes)
        wrong = wrong[(wrong < 0) | (wrong > MU)]
        if wrong.size:
            raise ValueError(f"decode: expected codes 0..{MU}, got {wrong[0]}")
    return expand(codes * (2.0 / MU) - 1.0)


def from_pcm(pcm: np.ndarray) -> np.ndarray:
    """The codes, uint8, of 16-bit sound.

    Raises:
        TypeError: if the array is not one of int16.

    >>> from_pcm(np.array([-32768, -1, 0, 1, 32767], np.int16)).tolist()
    [0, 127, 128, 128, 255]
    """
    pcm = np.asarray(_namespace(pcm)[1])
    if pcm.dtype != np.int16:
        raise TypeError(
            f"from_pcm: expected int16, got {pcm.dtype}; real samples from -1 to 1 go to encode"
        )
    table = encode(np.arange(-(2**15), 2**15) / 2**15)
    return table[pcm.astype(np.int32) + 2**15]


def to_pcm(codes: np.ndarray) -> np.ndarray:
    """16-bit sound from codes; ``from_pcm(to_pcm(codes))`` is ``codes``.

    >>> to_pcm(np.array([0, 127, 128, 255])).tolist()
    [-32768, -3, 3, 32767]
    """
    scaled = np.round(decode(np.asarray(_namespace(codes)[1])) * 2**15)
    return np.minimum(scaled, 2**15 - 1).astype(np.int16)


def _namespace(x: Arrays) -> tuple[Any, Any]:
    """The array library of ``x``, and ``x`` as an array of it."""
    if isinstance(x, jax.Array):
        return jnp, x
    try:
        array = np.asarray(x)
    except ValueError:
        array = np.asarray(None)  # lists of different lengths: no numbers
    if array.dtype.kind not in "biuf":
        raise TypeError(f"companding: expected an array of numbers, got {type(x).__name__}")
    return np, array
