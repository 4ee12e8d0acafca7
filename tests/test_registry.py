"""Every registered member keeps its contract, in float64 to 1e-9."""

import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import bijectors, conditionals, likelihoods, models, transforms, zoo
from jaxgen.testing import check_bijector, check_conditional, check_model

# Running outside jax.jit costs a second or more for each; these cover every kind of loop.
EAGER = {"scan", "maf context", "chain of mixed event_ndims", "made context", "made ensemble"}


# The dearest to compile. What they are made of has cheaper examples here, or tests of its own.
SLOW = {
    "bijector coupling gated",
    "bijector coupling gated, image context",
    "bijector coupling mixture, inverse",
    "bijector coupling tokens, checkerboard",
    "bijector coupling tokens, rows, context",
    "bijector maf attention, context",
    "bijector maf attention, tokens",
    "conditional attention context",
    "conditional attention image, entries",
    "conditional attention image, pixels",
    "conditional attention one position",
    "conditional attention rotary",
    "conditional attention rotary image",
    "conditional attention rotary, context, dropout",
    "conditional diagonal bilstm, context",
    "conditional eonade context, dropout",
    "conditional gated pixelcnn",
    "conditional gated pixelcnn of channels, context, dropout",
    "conditional gru of vectors, context",
    "conditional lmconv of channels",
    "conditional lmconv, all in reach, context, dropout",
    "conditional made narrow",
    "conditional made narrow, direct",
    "conditional markov, a chain of tables",
    "conditional markov, a shared table",
    "conditional nade of several segments",
    "conditional nade rescaled, context, dropout",
    "conditional pixelcnn of channels, context, dropout",
    "conditional pixelcnnpp of channels, context, dropout",
    "conditional pixelcnnpp of two resolutions",
    "conditional row lstm of channels, image context, dropout",
    "conditional wavenet of levels, global context",
    "conditional wavenet of vectors, local context, dropout",
    "model attention",
    "model attention binary",
    "model attention categorical",
    "model attention normal, pixels",
    "model dequantized",
    "model dequantized context",
    "model dequantized image, variational",
    "model dequantized, variational",
    "model dequantized, variational without context",
    "model dequantizer",
    "model embedded bound",
    "model embedded labels",
    "model ensemble context",
    "model eonade",
    "model flow of a circular spline",
    "model flowpp",
    "model flowpp context, bounds",
    "model flowpp image",
    "model glow",
    "model iaf bounds, context",
    "model jet",
    "model jet channels",
    "model jet tokens, context",
    "model lmconv",
    "model lmconv of channels",
    "model made ensemble",
    "model made ensemble of masks",
    "model maf bounds",
    "model maf context",
    "model maf one dimension",
    "model maf_mog context",
    "model multi-scale",
    "model multiscale_pixelrnn",
    "model nade logistic mixture",
    "model nsf autoregressive, context",
    "model nsf context",
    "model nsf image",
    "model pixelcnn of channels",
    "model pixelcnnpp of channels",
    "model pixelcnnpp of two resolutions",
    "model pixelrnn",
    "model pixelrnn row, categorical",
    "model pixelrnn row, of channels",
    "model realnvp alternating",
    "model realnvp image",
    "model realnvp random",
    "model tarflow vector",
    "model tarflow vector, context",
    "model wavenet of logistics, global context",
    "model wavenet, local context",
}


def each(kind, examples):
    """The names of examples of a kind, the dearest marked."""
    return [
        pytest.param(name, marks=pytest.mark.slow if f"{kind} {name}" in SLOW else ())
        for name in examples
    ]


@pytest.mark.parametrize("name", each("bijector", registry.BIJECTORS))
def test_bijector(name, x64):
    example = registry.BIJECTORS[name]
    bijector = example.make(nnx.Rngs(0))
    check_bijector(
        bijector, example.data(), example.context(bijector), eager=name in EAGER, **example.options
    )


@pytest.mark.parametrize("name", each("conditional", registry.CONDITIONALS))
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


@pytest.mark.parametrize("name", each("model", registry.MODELS))
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
    # One or two dimensions are integrated, up to 1024 events enumerated.
    size = int(np.prod(example.event))
    small = size <= 2 or (model.levels is not None and model.levels**size <= 1024)
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


def test_what_is_slow_is_registered():
    kinds = {
        "bijector": registry.BIJECTORS,
        "conditional": registry.CONDITIONALS,
        "model": registry.MODELS,
    }
    assert {f"{kind} {name}" for kind, names in kinds.items() for name in names} >= SLOW
