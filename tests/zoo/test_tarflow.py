"""TarFlow: order of the tokens, alternation, the identity at first, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.stats import norm

from jaxgen import zoo
from jaxgen.core import METHODS, ShapeError
from jaxgen.functional.rearrange import squeeze
from jaxgen.models import Flow
from jaxgen.testing import perturb, to_float64


def tarflow(shape=(4, 4, 1), **options):
    small = {"layers": 1, "width": 8, "heads": 2} | options
    if len(shape) == 3:
        small = {"patch": 2} | small
    return zoo.tarflow(shape, **small, rngs=nnx.Rngs(0))


def dependencies(blocks):
    """Which latent patch (row) depends on which patch of the data (column), in raster order."""
    flow = perturb(to_float64(tarflow(blocks=blocks)), jax.random.key(0), 1.0)
    x = jax.random.normal(jax.random.key(1), (4, 4, 1))
    jacobian = jax.jit(jax.jacrev(flow.infer))(x)  # (latent, data)
    tokens = jax.vmap(lambda row: squeeze(row, 2).reshape(4, 4))
    by_token = tokens(jacobian.reshape(16, 4, 4, 1)).reshape(4, 4, 1, 4, 4)
    by_token = jnp.moveaxis(by_token, (3, 4), (0, 1)).reshape(16, 4, 4, 1)
    return np.abs(tokens(by_token).reshape(4, 4, 4, 4)).max(axis=(1, 3)).T


def test_a_block_is_triangular_in_its_patches(x64):
    found = dependencies(1)
    # The block's reversal turns the order of the latent's patches round.
    earlier = found[::-1]
    assert np.all(earlier[np.triu_indices(4, 1)] == 0)
    assert np.all(earlier[np.tril_indices(4)] > 0)


def test_two_blocks_run_in_opposite_orders(x64):
    assert np.all(dependencies(2) > 0)


@pytest.mark.parametrize("shape", [(4, 4, 1), (3,)])
def test_it_starts_as_the_identity(shape, x64):
    flow = to_float64(tarflow(shape, blocks=2))
    x = jax.random.normal(jax.random.key(0), (5, *shape))
    expected = norm.logpdf(x).reshape(5, -1).sum(axis=1)
    np.testing.assert_allclose(jax.jit(Flow.log_prob)(flow, x), expected, rtol=1e-12)


def test_events_that_are_no_vector_and_no_image_are_refused():
    with pytest.raises(ShapeError, match=r"tarflow: expected a vector .* got \(4, 4\)"):
        tarflow((4, 4))
    with pytest.raises(ShapeError, match="sides divisible by 3"):
        tarflow(patch=3)


@pytest.mark.parametrize("method", METHODS)
def test_no_samples_by_any_method(method):
    assert tarflow(blocks=1).sample(jax.random.key(0), 0, method=method).shape == (0, 4, 4, 1)
