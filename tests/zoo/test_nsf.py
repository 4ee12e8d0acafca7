"""The neural spline flow: its structures, shapes and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import Coupling, MaskedAutoregressive, Split
from jaxgen.core import ShapeError
from jaxgen.testing import perturb
from jaxgen.transforms import Affine, RationalQuadraticSpline


def modules(flow, kind):
    return [module for _, module in nnx.iter_modules(flow) if isinstance(module, kind)]


@pytest.mark.parametrize(
    ("structure", "options", "kind"),
    [
        ("coupling", {"width": 4}, Coupling),
        ("autoregressive", {"hidden": (4,)}, MaskedAutoregressive),
    ],
)
def test_structures(structure, options, kind):
    flow = zoo.nsf((3,), structure=structure, steps=2, **options, rngs=nnx.Rngs(0))
    (layer,) = modules(flow, kind)  # one, stacked
    assert isinstance(layer.transform, RationalQuadraticSpline)


def test_an_image_is_glow_with_splines_and_gaussian_priors():
    flow = zoo.nsf((4, 4, 1), levels=2, steps=1, width=4, blocks=1, rngs=nnx.Rngs(0))
    transforms = {type(layer.transform) for layer in modules(flow, Coupling)}
    assert transforms == {RationalQuadraticSpline}
    (split,) = modules(flow, Split)
    assert isinstance(split.transform, Affine)


def test_an_autoregressive_one_flattens_events():
    flow = zoo.nsf((2, 2), structure="autoregressive", steps=1, hidden=(6,), rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (5, 2, 2))
    model = perturb(flow, jax.random.key(1), 0.1)
    z = jax.jit(type(model).infer)(model, x)
    assert z.shape == (5, 2, 2)
    # Steps of splines and linear maps in float32, slopes well inside (1e-3, 1e3).
    np.testing.assert_allclose(model.bijector.forward(z), x, atol=1e-4)


def test_far_outside_the_bound_it_is_linear():
    flow = perturb(zoo.nsf((2,), steps=1, width=4, rngs=nnx.Rngs(0)), jax.random.key(0), 0.1)
    near, far = (flow.infer(jnp.array([s * 1e4, s * 1e4 + 1.0])) for s in (1.0, 2.0))
    further = flow.infer(jnp.array([3e4, 3e4 + 1.0]))
    np.testing.assert_allclose(further - far, far - near, rtol=1e-3)


@pytest.mark.parametrize(
    ("shape", "options", "error", "said"),
    [
        ((3,), {"structure": "coupled"}, ValueError, "did you mean 'coupling'"),
        ((1,), {}, ShapeError, "at least 2"),
        ((6, 4, 1), {"levels": 2}, ShapeError, "divisible"),
        ((3,), {"bins": 1}, ValueError, "at least 2 bins"),
    ],
)
def test_refuses(shape, options, error, said):
    with pytest.raises(error, match=said):
        zoo.nsf(shape, **{"steps": 1, "width": 4, **options}, rngs=nnx.Rngs(0))
