"""The toy densities: fixed draws, the shapes their descriptions promise, moments."""

import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.data.toy import TOYS, draw

# Start of the test split's digest, and the standard deviation along each axis: in closed form, but
# for the pinwheel's, which was measured on 10^7 draws.
SETS = {
    "two_moons": ("29c6b326f515b4ce", (0.7600**0.5, 0.2542**0.5)),
    "eight_gaussians": ("039710abbdf8e068", (2.04**0.5, 2.04**0.5)),
    "checkerboard": ("f44fcb614476af6b", ((4 / 3) ** 0.5, (4 / 3) ** 0.5)),
    "rings": ("b36d2754981c82b9", (0.9439**0.5, 0.9439**0.5)),
    "pinwheel": ("3e4ac108dd547d72", (1.112, 1.112)),
    "spirals": ("2949c944e4b1ffa8", (1.528, 1.478)),
}


def test_every_set_is_tested():
    assert set(SETS) == set(TOYS)


@pytest.mark.parametrize("name", SETS)
def test_splits_are_fixed(name):
    parts = {split: load(f"toy:{name}", split) for split in ("train", "valid", "test")}
    assert [len(part) for part in parts.values()] == [10_000, 2_000, 5_000]
    assert parts["test"].sha256.startswith(SETS[name][0])
    for part in parts.values():
        assert part.x.dtype == np.float32
        assert part.event_shape == (2,)
        assert part.levels is None
    rows = np.concatenate([part.x for part in parts.values()])
    assert len(np.unique(rows, axis=0)) == 17_000  # no split repeats rows of another


@pytest.mark.parametrize("name", SETS)
def test_moments(name):
    x, _ = draw(name, np.random.default_rng(1), 200_000)
    # Standard error of the mean 0.0035 at most, of the standard deviation less: five of them.
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.018)
    np.testing.assert_allclose(x.std(axis=0), SETS[name][1], atol=0.018)


@pytest.mark.parametrize("name", [name for name in SETS if name != "checkerboard"])
def test_components_are_about_equally_many(name):
    y = load(f"toy:{name}").y
    counts = np.bincount(y)
    expected = {"two_moons": 2, "eight_gaussians": 8, "rings": 4, "pinwheel": 5, "spirals": 2}
    assert len(counts) == expected[name]
    # Binomial: five standard deviations.
    share = len(y) / len(counts)
    np.testing.assert_allclose(counts, share, atol=5 * share**0.5)


def residual_two_moons(x, y):
    upper = np.where(y[:, None] == 0, x, -x)
    return np.linalg.norm(upper - [-0.5, -0.25], axis=1) - 1


def residual_eight_gaussians(x, y):
    angle = y * np.pi / 4
    return (x - 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)).ravel()


def residual_rings(x, y):
    return np.linalg.norm(x, axis=1) - 0.5 * (y + 1)


def residual_spirals(x, y):
    """Distance from the arm, across it, away from the centre where the turns are nearly circles."""
    x = np.where(y[:, None] == 0, x, -x)
    radius = np.linalg.norm(x, axis=1)
    x, radius = x[radius > 1.5], radius[radius > 1.5]
    off = np.angle((x[:, 0] + 1j * x[:, 1]) * np.exp(-1j * np.pi * radius))
    # The arm is radius = angle / pi; its tangent is tilted against the circle by atan(1 / angle).
    return off / np.pi / np.sqrt(1 + 1 / (np.pi * radius) ** 2)


@pytest.mark.parametrize(
    ("name", "residual", "noise"),
    [
        ("two_moons", residual_two_moons, 0.1),
        ("eight_gaussians", residual_eight_gaussians, 0.2),
        ("rings", residual_rings, 0.08),
        ("spirals", residual_spirals, 0.1),
    ],
)
def test_rows_lie_on_their_component_up_to_the_noise(name, residual, noise):
    data = load(f"toy:{name}")
    left = residual(data.x, data.y)
    # Curvature shifts a radius outwards by noise^2 / (2 radius), 0.006 on the smallest ring.
    assert abs(left.mean()) < 0.01
    assert left.std() == pytest.approx(noise, rel=0.05)


def test_checkerboard_fills_its_dark_cells_evenly():
    data = load("toy:checkerboard")
    assert data.y is None
    assert np.abs(data.x).max() <= 2
    column, row = np.clip(np.floor(data.x).astype(int) + 2, 0, 3).T
    counts = np.zeros((4, 4))
    np.add.at(counts, (column, row), 1)
    dark = np.add.outer(np.arange(4), np.arange(4)) % 2 == 0
    assert counts[~dark].sum() == 0
    np.testing.assert_allclose(counts[dark], 1250, atol=5 * 1250**0.5)


def test_pinwheel_arms_are_rotations_of_one_arm():
    x, y = draw("pinwheel", np.random.default_rng(3), 200_000)
    turned = (x[:, 0] + 1j * x[:, 1]) * np.exp(-2j * np.pi * y / 5)
    centres = np.array([turned[y == arm].mean() for arm in range(5)])
    assert np.abs(centres).min() > 1  # the arms do point away from the origin
    np.testing.assert_allclose(centres, centres.mean(), atol=0.02)
    # Further out is turned further: curvature is what makes it a pinwheel.
    near, far = turned[np.abs(turned) < 1], turned[np.abs(turned) > 2]
    assert np.angle(far.mean()) - np.angle(near.mean()) > 0.5


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("toy:two_moon", "did you mean 'two_moons'"),
        ("toy:", "Available: two_moons, eight_gaussians, checkerboard, rings, pinwheel, spirals"),
        ("toy", "unknown toy data set ''"),
    ],
)
def test_unknown_names(spec, said):
    with pytest.raises(ValueError, match=said):
        load(spec)
