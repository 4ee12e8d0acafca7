"""WaveNet: its receptive field, its embeddings, contexts that are one for the signal or many."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import WaveNet
from jaxgen.core import ShapeError
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)


def network(length=12, dilations=(1, 2, 4), **options):
    options = {"width": 4, "skip_width": 8} | options
    wavenet = WaveNet((length,), (), 1, dilations=dilations, rngs=nnx.Rngs(0), **options)
    return to_float64(perturb(wavenet, KEY))


@pytest.mark.parametrize("dilations", [(1,), (1, 2), (1, 2, 4), (1, 2, 1, 2)])
def test_the_receptive_field_is_the_sum_of_the_dilations(dilations, x64):
    wavenet = network(dilations=dilations)
    x = jax.random.normal(KEY, (20, 12))
    jacobian = np.abs(jax.jit(jax.vmap(jax.jacrev(lambda x: wavenet(x)[..., 0])))(x)).max(0)
    distance = np.arange(12)[:, None] - np.arange(12)
    expected = (distance >= 1) & (distance <= wavenet.receptive_field)
    np.testing.assert_array_equal(jacobian > 0, expected)
    assert wavenet.receptive_field == sum(dilations) + 1


def test_a_local_context_is_seen_from_its_step_on(x64):
    wavenet = network(6, dilations=(1,) * 6, context_features=2, local=True)
    assert wavenet.context_shape == (6, 2)
    # Over many signals, at some of which the last rectifiers rest.
    x, context = jax.random.normal(KEY, (20, 6)), jax.random.normal(KEY, (6, 2))
    slope = jax.jacrev(lambda x, c: wavenet(x, c)[..., 0], argnums=1)
    slopes = jax.jit(jax.vmap(slope, (0, None)))(x, context)
    seen = np.abs(slopes).max((0, -1)) > 0
    np.testing.assert_array_equal(seen, np.tri(6, dtype=bool))


@pytest.mark.parametrize(
    ("grid", "options", "error", "message"),
    [
        ((4, 4), {}, ShapeError, r"expected a grid \(length,\), got \(4, 4\)"),
        ((4,), {"dilations": ()}, ValueError, "expected one dilation or more, got none"),
        ((4,), {"dilations": (0, 1)}, ValueError, r"for dilations, got \(0, 1\)"),
        ((4,), {"local": True}, ValueError, "needs context_features"),
    ],
)
def test_mistakes_are_refused(grid, options, error, message):
    with pytest.raises(error, match=message):
        WaveNet(grid, (), 1, **options, rngs=nnx.Rngs(0))
