"""``toy:NAME``: six densities in the plane, the usual first look at a flow.

The shapes are those that FFJORD (Grathwohl et al., 2019, https://arxiv.org/abs/1810.01367) made
customary; the pinwheel is from Johnson et al. (2016, https://arxiv.org/abs/1603.06277). Ours differ
in scale: the mean is about zero and each standard deviation between 0.4 and 2, so that a flow needs
no standardisation. Rows are independent draws, so the first rows of any number are a fair sample.

Split ``s`` of every set is ``draw(name, np.random.default_rng(SEEDS[s]), SIZES[s])``.
"""

from collections.abc import Callable

import numpy as np

from jaxgen.core import checked_arguments, unknown
from jaxgen.data.arrays import Loaded

SEEDS = {"train": 0, "valid": 1, "test": 2}
SIZES = {"train": 10_000, "valid": 2_000, "test": 5_000}

Draw = tuple[np.ndarray, np.ndarray | None]


def two_moons(rng: np.random.Generator, n: int) -> Draw:
    """two interleaved half circles of radius 1, noise 0.1"""
    y = rng.integers(2, size=n)
    angle = rng.uniform(0, np.pi, size=n)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=-1)
    x = np.where(y[:, None] == 0, upper, -upper)  # the lower moon is the upper one, point-reflected
    return x + 0.1 * rng.normal(size=(n, 2)), y


def eight_gaussians(rng: np.random.Generator, n: int) -> Draw:
    """eight Gaussians of standard deviation 0.2 on a circle of radius 2"""
    y = rng.integers(8, size=n)
    return 2.0 * _unit(y * np.pi / 4) + 0.2 * rng.normal(size=(n, 2)), y


def checkerboard(rng: np.random.Generator, n: int) -> Draw:
    """uniform on the eight dark cells of a 4x4 board over [-2, 2]^2: density 1/8 there"""
    column = rng.integers(4, size=n)
    row = 2 * rng.integers(2, size=n) + column % 2
    return np.stack([column, row], axis=-1) - 2 + rng.uniform(size=(n, 2)), None


def rings(rng: np.random.Generator, n: int) -> Draw:
    """four equally likely circles of radius 0.5, 1, 1.5 and 2, noise 0.08"""
    y = rng.integers(4, size=n)
    x = 0.5 * (y[:, None] + 1) * _unit(rng.uniform(0, 2 * np.pi, size=n))
    return x + 0.08 * rng.normal(size=(n, 2)), y


def pinwheel(rng: np.random.Generator, n: int) -> Draw:
    """five curved arms around the origin"""
    y = rng.integers(5, size=n)
    radial, tangential = rng.normal(size=(2, n)) * [[0.3], [0.1]]
    radial += 1
    angle = y * 2 * np.pi / 5 + 0.25 * np.exp(radial)  # the further out, the more it is turned
    along = _unit(angle)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    return 1.5 * (radial[:, None] * along + tangential[:, None] * across), y


def spirals(rng: np.random.Generator, n: int) -> Draw:
    """two interleaved spirals of one and a half turns out to radius 3, noise 0.1"""
    y = rng.integers(2, size=n)
    turned = np.sqrt(rng.uniform(size=n))  # the root makes the arm about equally dense all along
    sign = 1 - 2 * y
    x = (3 * turned * sign)[:, None] * _unit(3 * np.pi * turned)
    return x + 0.1 * rng.normal(size=(n, 2)), y


def _unit(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


TOYS: dict[str, Callable[[np.random.Generator, int], Draw]] = {
    f.__name__: f for f in (two_moons, eight_gaussians, checkerboard, rings, pinwheel, spirals)
}


@checked_arguments
def draw(name: str, rng: np.random.Generator, num_examples: int) -> Draw:
    """Fresh independent draws from one of the densities.

    Args:
        name: a key of ``TOYS``.
        rng: a numpy generator; it is advanced.
        num_examples: how many rows.

    Returns:
        x float32 (num_examples, 2), and y (num_examples,), the component that each row came from,
        or None where the density has no components (checkerboard).

    Raises:
        ValueError: the name is unknown.

    >>> x, y = draw("eight_gaussians", np.random.default_rng(7), 1000)
    >>> x.shape, x.dtype.name, int(y.max())
    ((1000, 2), 'float32', 7)
    """
    if name not in TOYS:
        raise unknown("toy data set", name, TOYS)
    x, y = TOYS[name](rng, num_examples)
    return x.astype(np.float32), y


def load_toy(name: str, split: str) -> Loaded:
    """One split of a toy set: 10000 rows to train, 2000 to validate, 5000 to test.

    Args:
        name: a key of ``TOYS``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x float32 (n, 2), y (n,) or None, and no levels.

    Raises:
        ValueError: the name is unknown.

    >>> x, y, levels = load_toy("rings", "valid")
    >>> x.shape, y.shape, levels
    ((2000, 2), (2000,), None)
    """
    x, y = draw(name, np.random.default_rng(SEEDS[split]), SIZES[split])
    return x, y, None
