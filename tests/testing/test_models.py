"""Models that declare a context and do not read it must fail, of a density and of a bound."""

import jax.numpy as jnp
import pytest

from jaxgen.bijectors import ActNorm
from jaxgen.models import Dequantized, Flow, StandardNormal
from jaxgen.testing import check_model

CONTEXT = jnp.array([[1.0], [-0.5]])


class Unread(StandardNormal):
    context_shape = (1,)


class Read(Unread):
    """Normal about the context."""

    def _score(self, x, context):
        return super()._score(x - context, None)

    def _draw(self, key, batch, context, how):
        return super()._draw(key, batch, None, how) + context


def test_context_that_is_not_read_fails():
    x = jnp.array([[0.5], [1.0]])
    report = check_model(Read((1,)), x, CONTEXT, eager=False)
    assert report["contexts"] == "passed"
    with pytest.raises(AssertionError, match=r"Unread\.log_prob: expected it to depend on the con"):
        check_model(Unread((1,)), x, CONTEXT, eager=False)


def test_context_that_a_bound_does_not_read_fails():
    model = Dequantized(Flow(ActNorm((1,)), Unread((1,))), 2)
    with pytest.raises(AssertionError, match=r"Dequantized\.elbo: expected it to depend on the"):
        check_model(model, jnp.array([[0], [1]]), CONTEXT, eager=False)
