"""Samples of bounded columns stay within their bounds, and so does the density's mass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.testing import perturb

SMALL = {
    "nice": {"couplings": 2, "hidden": (8,)},
    "realnvp": {"steps": 2, "hidden": (8,)},
    "nsf": {"steps": 2, "width": 8},
    "flowpp": {"hidden": (8,), "components": 2},
    "maf": {"layers": 1, "hidden": (8,)},
    "maf_mog": {"layers": 1, "hidden": (8,)},
    "iaf": {"layers": 1, "hidden": (8,)},
    "tarflow": {"blocks": 2, "layers": 1, "width": 8, "heads": 2},
    "made": {"levels": None, "components": 2, "hidden": (8,)},
}


def with_bounds_and_vectors() -> set[str]:
    found = set()
    for name, _ in zoo.names():
        if "alpha" not in zoo.hyperparameters(name):
            continue
        try:
            getattr(zoo, name)((3,), **SMALL.get(name, {}), rngs=nnx.Rngs(0))
        except ValueError:
            continue
        found.add(name)
    return found


def test_all_of_them_are_here():
    assert with_bounds_and_vectors() == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("bounds", [[(0, None), (18, 78), None], (18, 78)])
def test_samples_are_within_the_bounds(name, bounds):
    model = getattr(zoo, name)((3,), **SMALL[name], bounds=bounds, rngs=nnx.Rngs(0))
    x = np.stack([np.full(64, 30.0), np.linspace(19, 77, 64), np.linspace(20, 70, 64)], -1)
    model = model.standardize(jnp.asarray(x, jnp.float32), None)
    model = perturb(model, jax.random.key(0))
    samples = np.asarray(model.sample(jax.random.key(1), 2000))
    assert np.isfinite(samples[:, 1]).all()
    missed = 1e-5 * (78 - 18)
    assert samples[:, 1].min() > 18 - missed
    assert samples[:, 1].max() < 78 + missed
