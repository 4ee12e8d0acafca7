"""Fewer levels than are stored: bit depth, and grey taken for the probability of a one."""

import numpy as np


def quantize(x: np.ndarray, rows: np.ndarray, levels: int, to: int) -> np.ndarray:
    """Levels of a coarser scale: ``floor(x * to / levels)``, of the same dtype.

    Kingma and Dhariwal 2018 (Glow) train on images of 32 levels, 5 bits, instead of 256.

    Args:
        x: integers from 0 to ``levels - 1``, ``(n, *event_shape)``.
        rows: which examples they are, which plays no role.
        levels: of the examples.
        to: how many there are to be, at most as many.

    >>> quantize(np.arange(0, 256, 51, dtype=np.uint8), np.arange(6), 256, 4).tolist()
    [0, 0, 1, 2, 3, 3]
    """
    return (x.astype(np.int64) * to // levels).astype(x.dtype)


def binarize(x: np.ndarray, rows: np.ndarray, levels: int, seeds: tuple[int, ...]) -> np.ndarray:
    """Ones with probability ``x / (levels - 1)``, the same for the same row whatever is beside it.

    Args:
        x: integers from 0 to ``levels - 1``, ``(n, *event_shape)``.
        rows: which examples they are, ``(n,)``.
        levels: of the examples.
        seeds: of the draws.

    >>> x = np.full((2, 8), 8, np.uint8)
    >>> binarize(x, np.array([0, 1]), 17, seeds=(0,)).tolist()
    [[0, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 1]]
    """
    drawn = np.empty_like(x)
    for row, grey, ones in zip(rows.tolist(), x, drawn, strict=True):
        uniform = np.random.default_rng([*seeds, row]).random(grey.shape)
        ones[...] = uniform * (levels - 1) < grey
    return drawn
