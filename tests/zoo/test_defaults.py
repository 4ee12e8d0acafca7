"""What constructors build when nothing is said: a model of the usual images, the paper's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.zoo.registry import names

VECTORS = {"cylinder", "tabular", "torus", "wavenet"}  # and signals
IMAGES = [name for name, _ in names() if name not in VECTORS]
LOOKS = {"markov"}  # at a likelihood's levels, which under a trace it cannot


def shapes_of(name, event, **options):
    """The model without numbers."""
    return jax.eval_shape(
        lambda key: getattr(zoo, name)(event, **options, rngs=nnx.Rngs(key)), jax.random.key(0)
    )


@pytest.mark.parametrize("event", [(28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("name", sorted(set(IMAGES) - LOOKS))
def test_images_of_the_usual_sizes_have_a_model(name, event):
    assert shapes_of(name, event).event_shape == event


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_what_takes_no_images_says_so(name):
    with pytest.raises(ShapeError, match=r"expected .*\(28, 28, 1\)"):
        shapes_of(name, (28, 28, 1))


# Millions of parameters for 32x32x3, as published.
PUBLISHED = {"glow": 44.0, "pixelcnnpp": 53.0}


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_have_as_many_parameters_as_published(name):
    parameters = jax.tree.leaves(nnx.state(shapes_of(name, (32, 32, 3)), nnx.Param))
    millions = sum(leaf.size for leaf in parameters) / 1e6
    np.testing.assert_allclose(millions, PUBLISHED[name], rtol=0.02)


def test_glow_has_the_networks_of_the_paper_or_residual_ones():
    sizes = {}
    for residual in (False, True):
        model = shapes_of("glow", (8, 8, 1), levels=1, steps=1, width=16, residual=residual)
        (kernel,) = [
            leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(model, nnx.Param))
            if "blocks" in str(path) and "kernel" in str(path)
        ]
        sizes[residual] = kernel[-4:-2]
    assert sizes == {False: (1, 1), True: (3, 3)}


@pytest.mark.parametrize(
    ("event", "levels"), [((28, 28, 1), 2), ((32, 32, 3), 3), ((64, 64, 3), 3), ((2, 6, 1), 1)]
)
@pytest.mark.parametrize("name", ["glow", "nsf"])
def test_a_flow_has_as_many_scales_as_fit_up_to_three(name, event, levels):
    options = {"steps": 1, "width": 4}
    found, expected = (
        jax.tree.map(jnp.shape, nnx.state(shapes_of(name, event, **options, **said)))
        for said in ({}, {"levels": levels})
    )
    assert found == expected


def test_patches_of_jet_can_be_halved():
    options = {"couplings": 5, "width": 16, "depth": 1, "heads": 2}
    for event, patch in (((28, 28, 1), 2), ((32, 32, 3), 4)):
        found, expected = (
            jax.tree.map(jnp.shape, nnx.state(shapes_of("jet", event, **options, **said)))
            for said in ({}, {"patch": patch})
        )
        assert found == expected
