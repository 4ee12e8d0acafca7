"""Every registered member keeps its contract, in float64 to 1e-9."""

import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import bijectors, conditionals, likelihoods, models, transforms, zoo
from jaxgen.testing import check_bijector, check_conditional, check_model

pytestmark = pytest.mark.usefixtures("fast_compile")

# Running outside jax.jit costs a second or more for each; these cover every kind of loop.
EAGER = {"scan", "maf context", "chain of mixed event_ndims", "made context", "made ensemble"}


@pytest.mark.parametrize("name", registry.BIJECTORS)
def test_bijector(name, x64):
    example = registry.BIJECTORS[name]
    bijector = example.make(nnx.Rngs(0))
    check_bijector(
        bijector, example.data(), example.context(bijector), eager=name in EAGER, **example.options
    )


@pytest.mark.parametrize("name", registry.CONDITIONALS)
def test_conditional(name, x64):
    example = registry.CONDITIONALS[name]
    conditional = example.make(nnx.Rngs(0))
    check_conditional(
        conditional,
        example.data(),
        example.context(conditional),
        eager=name in EAGER,
        **example.options,
    )


@pytest.mark.parametrize("name", registry.MODELS)
def test_model(name, x64):
    example = registry.MODELS[name]
    model = example.make(nnx.Rngs(0))
    bounds = {} if example.bounds is None else {"bounds": example.bounds}
    report = check_model(
        model,
        example.data(model.levels),
        example.context(model),
        eager=name in EAGER,
        **bounds,
        **example.options,
    )
    small = np.prod(example.event) <= 2 or model.levels == 2
    assert (report["normalisation"] == "passed") == bool(small or name == "made categorical")


@pytest.mark.parametrize("name", ["scan", "coupling checkerboard", "conv1x1 lu image"])
def test_bijector_in_single_precision(name):
    example = registry.BIJECTORS[name]
    check_bijector(example.make(nnx.Rngs(0)), jnp.asarray(example.data()), eager=False)


def test_conditional_in_single_precision():
    example = registry.CONDITIONALS["made"]
    check_conditional(example.make(nnx.Rngs(0)), jnp.asarray(example.data()), eager=False)


@pytest.mark.parametrize("name", ["maf", "made ensemble"])
def test_model_in_single_precision(name):
    example = registry.MODELS[name]
    model = example.make(nnx.Rngs(0))
    check_model(model, jnp.asarray(example.data(model.levels)), eager=False)


def exported(module, base):
    members = (getattr(module, name) for name in module.__all__)
    return {m for m in members if isinstance(m, type) and issubclass(m, base) and m is not base}


def inside(examples):
    """The types of all modules in the registered examples."""
    found = set()
    for example in examples:
        for _, module in nnx.iter_modules(example.make(nnx.Rngs(0))):
            found.add(type(module))
    return found


def test_every_exported_member_is_registered():
    registered = inside(registry.BIJECTORS.values())
    assert exported(bijectors, bijectors.Bijector) <= registered
    assert exported(conditionals, conditionals.Conditional) <= inside(
        registry.CONDITIONALS.values()
    )
    assert exported(models, models.Model) <= inside(registry.MODELS.values())
    for module, base, entries in (
        (transforms, transforms.Transform, registry.TRANSFORMS),
        (likelihoods, likelihoods.Likelihood, registry.LIKELIHOODS),
    ):
        public = {m for m in vars(module).values() if isinstance(m, type) and issubclass(m, base)}
        assert public - {base} <= {type(make()) for make in entries.values()}


def test_every_constructor_of_the_zoo_is_registered():
    for name, _ in zoo.names():
        assert any(entry.startswith(name) for entry in registry.MODELS), name
