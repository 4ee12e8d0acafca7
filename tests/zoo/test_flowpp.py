"""Flow++: where it starts, what it is made of, and pixels at the ends of their range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import norm

from jaxgen import zoo
from jaxgen.bijectors import Conv1x1, Coupling, Scan
from jaxgen.core import ShapeError
from jaxgen.models import Dequantized, Flow
from jaxgen.networks import GatedResNet
from jaxgen.testing import to_float64

KEY = jax.random.key(0)
TINY = {"components": 2, "width": 4, "blocks": 1, "heads": 1}


def parts(model, kind):
    return [module for _, module in nnx.iter_modules(model) if isinstance(module, kind)]


def test_an_image_meets_three_stages_of_couplings():
    flow = jax.eval_shape(lambda: zoo.flowpp((4, 4, 3), steps=(2, 1, 3), **TINY, rngs=nnx.Rngs(0)))
    assert [scan.num_steps for scan in parts(flow, Scan)] == [3, 1, 2]  # from base to data
    networks = [coupling.network for coupling in parts(flow, Coupling)]
    assert [net.positions.shape[1:3] for net in networks] == [(2, 2)] * 4 + [(4, 4)] * 2
    assert len(parts(flow, Conv1x1)) == 6
    assert all(isinstance(net, GatedResNet) for net in networks)


@pytest.mark.parametrize(
    ("event", "options"),
    [
        ((3,), {}),
        pytest.param(
            (4, 2, 1), {"width": 4, "blocks": 1, "attention": False}, marks=pytest.mark.slow
        ),
    ],
)
def test_it_starts_as_its_base(event, options, x64):
    options = {"steps": (1, 1, 1), "components": 5} | options
    flow = to_float64(zoo.flowpp(event, **options, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(0).normal(size=(4, *event))
    expected = norm.logpdf(x).reshape(4, -1).sum(-1)
    np.testing.assert_allclose(jax.jit(Flow.log_prob)(flow, x), expected, rtol=1e-12)


def test_the_whole_model_is_finite_at_the_darkest_and_the_lightest_pixels():
    options = {"components": 2, "hidden": (6,)}
    model = Dequantized(
        zoo.flowpp((2,), steps=(1,), **options, bounds=(0.0, 256.0), rngs=nnx.Rngs(0)),
        256,
        zoo.dequantizer((2,), steps=1, **options, features=2, rngs=nnx.Rngs(1)),
    )
    x = jnp.array([[0, 0], [255, 255]])

    def loss(model):
        score = model.elbo(x, KEY)
        return -jnp.sum(score), score

    gradient, score = jax.jit(jax.grad(loss, has_aux=True))(model)
    assert np.all(np.isfinite(score))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    reached = [np.any(leaf) for leaf in jax.tree.leaves(nnx.state(gradient.noise, nnx.Param))]
    assert sum(reached) >= 4  # at first only last layers, actnorms and convolutions get any


@pytest.mark.parametrize(
    ("event", "steps", "error", "message"),
    [
        ((4, 4), (1, 1, 1), ShapeError, r"an image \(height, width, channels\), got \(4, 4\)"),
        ((4, 4, 1), (2,), ValueError, r"three stages; expected steps such as .*, got \(2,\)"),
        ((2, 2, 1), (1, 1, 1), ShapeError, "a single pixel"),
        ((3, 4, 1), (1, 1, 1), ShapeError, "sides divisible by 2"),
        ((1,), (1,), ShapeError, "at least 2 channels"),
    ],
)
def test_events_without_such_couplings_are_refused(event, steps, error, message):
    with pytest.raises(error, match=message):
        zoo.flowpp(event, steps=steps, **(TINY if len(event) > 1 else {}), rngs=nnx.Rngs(0))
