"""A column that does not vary, or hardly ever: no layer may blow it up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from registry import MODELS

from jaxgen.models import Flow

KEY = jax.random.key(0)
NAMES = ("maf", "iaf", "maf_mog", "nice", "realnvp", "tarflow", "nsf")
FLOWS = [
    pytest.param(example, id=name, marks=[pytest.mark.slow] if example.slow else [])
    for name, example in MODELS.items()
    if example.bounds is None
    and len(example.event) == 1
    and example.event != (1,)
    and name.replace(",", "").split()[0] in NAMES
]


def table(width, first):
    x = np.random.default_rng(0).normal(size=(len(first), width))
    x[:, 0] = first
    return x.astype(np.float32)


def flag(count, rows):
    """1 in few of many rows, none of them in the first batch."""
    column = np.zeros(rows)
    column[-count:] = 1.0
    return column


COLUMNS = {
    "zeros": np.zeros(2000),
    "a large constant": np.full(2000, 12345.678),
    "a small constant": np.full(2000, 1e-9),
    "a flag in 4 of 20000 rows": flag(4, 20000),
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("example", FLOWS)
def test_densities_and_gradients_stay_finite(example, column):
    flow = example.make(nnx.Rngs(0))
    x = table(*example.event, COLUMNS[column])
    context = None
    if flow.context_shape is not None:
        context = np.random.default_rng(1).normal(size=(len(x), *flow.context_shape))
        context = context.astype(np.float32)
    few = None if context is None else context[:100]
    flow = flow.standardize(x, context)
    flow = jax.jit(Flow.initialize)(flow, x[:100], KEY, few)
    rare = x[-100:]  # among them the rows whose flag no first batch has shown

    def loss(flow):
        log_prob = flow.log_prob(rare, None if context is None else context[-100:])
        return -jnp.mean(log_prob), log_prob

    gradient, log_prob = jax.jit(jax.grad(loss, has_aux=True))(flow)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    # The rarest value is 70 deviations from the mean, which is 2500 nats of a normal;
    # a scale of 1000 in a single layer would make it 1e9.
    assert np.all(np.abs(log_prob) < 1e5)
