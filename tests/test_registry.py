"""Every registered member keeps its contract, in float64 to 1e-9."""

import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import bijectors, conditionals, likelihoods, models, transforms, zoo
from jaxgen.testing import check_bijector, check_conditional, check_model


def each(examples):
    """The names of examples, the dearest marked."""
    return [
        pytest.param(name, marks=pytest.mark.slow if example.slow else ())
        for name, example in examples.items()
    ]


def options(example):
    """Of its check. Running outside jax.jit costs a second or more, so few examples ask for it."""
    return {"eager": False} | example.options


@pytest.mark.parametrize("name", each(registry.BIJECTORS))
def test_bijector(name, x64):
    example = registry.BIJECTORS[name]
    bijector = example.make(nnx.Rngs(0))
    check_bijector(bijector, example.data(), example.context(bijector), **options(example))


@pytest.mark.parametrize("name", each(registry.CONDITIONALS))
def test_conditional(name, x64):
    example = registry.CONDITIONALS[name]
    conditional = example.make(nnx.Rngs(0))
    check_conditional(conditional, example.data(), example.context(conditional), **options(example))


@pytest.mark.parametrize("name", each(registry.MODELS))
def test_model(name, x64):
    example = registry.MODELS[name]
    model = example.make(nnx.Rngs(0))
    bounds = {} if example.bounds is None else {"bounds": example.bounds}
    report = check_model(
        model,
        example.data(model.levels),
        example.context(model),
        **bounds,
        **options(example),
    )
    # One or two dimensions are integrated, up to 1024 events enumerated; beside latents less.
    size = int(np.prod(example.event))
    most, events = (2, 1024) if model.exactness == "exact" else (1, 64)
    small = size <= most or (model.levels is not None and model.levels**size <= events)
    assert (report["normalisation"] == "passed") == small


def test_bijector_in_single_precision():
    example = registry.BIJECTORS["scan"]
    check_bijector(example.make(nnx.Rngs(0)), jnp.asarray(example.data()), eager=False)


@pytest.mark.parametrize(
    ("module", "base"),
    [
        (bijectors, bijectors.Bijector),
        (conditionals, conditionals.Conditional),
        (models, models.Model),
    ],
    ids=["bijectors", "conditionals", "models"],
)
def test_every_exported_member_is_registered(module, base):
    # The registry imports what it uses and, as the linter sees to, nothing else.
    members = [getattr(module, name) for name in module.__all__]
    classes = [m for m in members if isinstance(m, type) and issubclass(m, base) and m is not base]
    assert [m.__name__ for m in classes if getattr(registry, m.__name__, None) is not m] == []


@pytest.mark.parametrize(
    ("module", "base", "entries"),
    [
        (transforms, transforms.Transform, registry.TRANSFORMS),
        (likelihoods, likelihoods.Likelihood, registry.LIKELIHOODS),
    ],
    ids=["transforms", "likelihoods"],
)
def test_every_family_is_registered(module, base, entries):
    families = {m for m in vars(module).values() if isinstance(m, type) and issubclass(m, base)}
    assert families - {base} == {type(make()) for make in entries.values()}


def test_every_constructor_of_the_zoo_is_registered():
    for name, _ in zoo.names():
        assert any(entry.split()[0] == name for entry in registry.MODELS), name
