"""Networks that compute in bfloat16 and stacks that keep less are a setting of a training."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.models import DiagonalNormal
from jaxgen.training import TrainSettings, fit

X = np.asarray(jax.random.normal(jax.random.key(0), (64, 6)))


def maf(**options):
    return zoo.maf((6,), layers=4, hidden=(16,), **options, rngs=nnx.Rngs(0))


def attention():
    return zoo.attention((6,), levels=None, width=8, depth=3, heads=2, rngs=nnx.Rngs(0))


def trained(model, **settings):
    chosen = TrainSettings(steps=4, batch_size=16, steps_per_dispatch=2, **settings)
    return fit(model, X, X, settings=chosen, progress=False)


def change(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(
        float(np.abs(a - b).max()) for a, b in leaves if jnp.issubdtype(a.dtype, jnp.inexact)
    )


@pytest.mark.parametrize("make", [maf, attention])
def test_stacks_that_keep_less_are_trained_the_same(make):
    plain, less = trained(make()), trained(make(), remat=True)
    assert jax.tree.structure(less.model) == jax.tree.structure(plain.model)
    assert change(less.model, plain.model) < 1e-5 < change(plain.model, make())


@pytest.mark.parametrize("make", [maf, attention])
def test_networks_in_bfloat16_train_parameters_in_float32(make):
    plain, half = trained(make()), trained(make(), compute_dtype="bfloat16")
    assert jax.tree.structure(half.model) == jax.tree.structure(plain.model)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half.model, nnx.Param))} == {
        jnp.dtype("float32")
    }
    assert 1e-6 < change(half.model, plain.model) < 0.05
    # Validation is of the model that is returned.
    nats = float(-half.model.log_prob(X).mean())
    assert half.history[-1]["valid_loss"] == pytest.approx(nats, rel=1e-5)


def test_the_gradient_of_a_stack_needs_less_memory():
    flow = zoo.glow((8, 8, 1), levels=1, steps=8, width=16, rngs=nnx.Rngs(0))
    x = jnp.ones((32, 8, 8, 1))

    def bytes_of(flow):
        def loss(flow, x):
            return flow.log_prob(x).mean()

        compiled = jax.jit(jax.grad(loss, allow_int=True)).lower(flow, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert bytes_of(jaxgen.rematerialize(flow)) < 0.5 * bytes_of(flow)


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        (
            lambda: DiagonalNormal((6,)),
            {"compute_dtype": "bfloat16"},
            "the setting compute_dtype means nothing here: .* has no networks",
        ),
        (
            lambda: DiagonalNormal((6,)),
            {"remat": True},
            "the setting remat means nothing here: .* has no stacks",
        ),
        (maf, {"compute_dtype": "int8"}, "compute_dtype: expected 'bfloat16'.*got 'int8'"),
        (maf, {"remat": 1}, "remat: expected bool, got 1"),
    ],
)
def test_what_means_nothing_is_refused(model, settings, said):
    with pytest.raises(ValueError, match=said):
        trained(model(), **settings)


def test_a_run_from_before_these_settings_goes_on(tmp_path):
    settings = TrainSettings(steps=2, batch_size=16, steps_per_dispatch=2)
    first = fit(maf(), X, settings=settings, out=tmp_path, progress=False)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["training"]["settings"]["compute_dtype"], config["training"]["settings"]["remat"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = fit(maf(), X, settings=settings, out=tmp_path, progress=False)
    assert change(again.model, first.model) == 0.0
