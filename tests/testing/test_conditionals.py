"""Networks with a mistake that JAX or Python would report in words of their own."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import MaskedAutoregressive
from jaxgen.conditionals import Conditional
from jaxgen.functional.autoregressive import Cache
from jaxgen.likelihoods import Normal
from jaxgen.models import Autoregressive
from jaxgen.testing import check_conditional

X = jnp.array([[0.5, -1.0, 0.3], [1.2, 0.4, -0.8]])


class Total(Conditional):
    """The weighted sum of what came before."""

    fixed_order = True

    def __init__(self):
        super().__init__((3,), 1)
        self.weight = nnx.Param(jnp.ones(()))

    def init_cache(self, batch, context=None, order=None):
        return Cache(None, jnp.zeros(batch))

    def step(self, cache, t, x_previous):
        total = cache.state + x_previous
        return (self.weight[...] * total)[..., None], Cache(None, total)


class Branch(Total):
    def step(self, cache, t, x_previous):
        return super().step(cache, t, jnp.zeros_like(x_previous) if t == 0 else x_previous)


class InNumPy(Total):
    def step(self, cache, t, x_previous):
        return super().step(cache, t, x_previous * np.sign(t + 1))


class Indexed(Total):
    def step(self, cache, t, x_previous):
        return super().step(cache, t, x_previous * (1.0, 1.0, 1.0)[t])


class Forgot(Total):
    def __init__(self):
        self.weight = nnx.Param(jnp.ones(()))


def test_network_to_be_broken_passes():
    check_conditional(Total(), X, eager=False)


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (Branch, "TracerBoolConversionError"),
        (InNumPy, "TracerArrayConversionError"),
        (Indexed, "TracerIntegerConversionError"),
    ],
)
def test_step_that_looks_at_its_number_is_told_what_to_use(broken, error):
    match = rf"raised {error}: [^\n]*; what is traced, .* has no numbers yet: jnp\.where"
    with pytest.raises(AssertionError, match=match) as raised:
        check_conditional(broken(), X, eager=False)
    assert type(raised.value.__cause__).__name__ == error
    assert ".py" not in str(raised.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda network: check_conditional(network, X),
        lambda network: network(X),
        MaskedAutoregressive,
        lambda network: Autoregressive(network, Normal()),
    ],
    ids=["check", "call", "flow", "density"],
)
def test_constructor_that_calls_no_other_is_told_so(use):
    with pytest.raises(AttributeError, match=r"Forgot: expected .* set; call super\(\)\.__init__"):
        use(Forgot())


class Unread(Total):
    def __init__(self):
        super().__init__()
        self.context_shape = (2,)


class Read(Unread):
    def init_cache(self, batch, context=None, order=None):
        return Cache(None, context[..., 0])


def test_context_that_is_not_read_fails():
    contexts = jnp.array([[1.0, 0.2], [-0.3, 0.5]])
    report = check_conditional(Read(), X, contexts, eager=False)
    assert report["contexts"] == "passed"
    expected = r"Unread, its order: expected it to depend on the context, of shape \(2,\)"
    with pytest.raises(AssertionError, match=expected):
        check_conditional(Unread(), X, contexts, eager=False)
