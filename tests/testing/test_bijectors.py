"""Bijectors that are none away from the data, or that leave their context unread, must fail."""

import jax.numpy as jnp
import pytest

from jaxgen.bijectors import Bijector, Inverse, Logit
from jaxgen.testing import check_bijector

POSITIVE = jnp.array([[0.5, 1.0, 0.3], [1.2, 0.4, 0.8]])


def zeros(value):
    return jnp.zeros(value.shape[:-1])


class Square(Bijector):
    """Right between positive numbers, where the data are."""

    def forward_and_log_det(self, z, context=None):
        return z**2, jnp.sum(jnp.log(2 * jnp.abs(z)), -1)

    def inverse_and_log_det(self, x, context=None):
        return jnp.sqrt(x), -jnp.sum(jnp.log(2 * jnp.sqrt(x)), -1)


class Clipped(Bijector):
    def forward_and_log_det(self, z, context=None):
        return jnp.maximum(z, -1.0), zeros(z)

    def inverse_and_log_det(self, x, context=None):
        return x, zeros(x)


class ClippedFar(Bijector):
    """At what one draw of 30,000 reaches."""

    def forward_and_log_det(self, z, context=None):
        return jnp.clip(z, -4.0, 4.0), zeros(z)

    def inverse_and_log_det(self, x, context=None):
        return x, zeros(x)


class Leaky(Bijector):
    """Negative numbers are doubled; one of the log-determinants, or both, say nothing of it."""

    forward_total, inverse_total = 0.0, 0.0

    def forward_and_log_det(self, z, context=None):
        return jnp.where(z < 0, 2 * z, z), self.forward_total * jnp.sum(z < 0, -1)

    def inverse_and_log_det(self, x, context=None):
        return jnp.where(x < 0, x / 2, x), self.inverse_total * jnp.sum(x < 0, -1)


class OneLogDet(Leaky):
    forward_total = float(jnp.log(2.0))


class BothLogDets(OneLogDet):
    inverse_total = -OneLogDet.forward_total


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Square, r"round trip, inverse\(forward\(z\)\) = z, at draws of the standard normal"),
        (ClippedFar, r"round trip, inverse\(forward\(z\)\) = z, at draws of the standard normal"),
        (Clipped, r"round trip, inverse\(forward\(z\)\) = z, at draws of the standard normal"),
        (OneLogDet, r"forward log-det = -\(inverse log-det\), at draws of the standard normal"),
        (Leaky, "autodiff Jacobian's, at draws of the standard normal"),
    ],
)
def test_bijector_that_is_none_away_from_the_data_fails(broken, reason):
    with pytest.raises(AssertionError, match=reason):
        check_bijector(broken(), POSITIVE, eager=False)


def test_bijector_of_two_branches_passes():
    check_bijector(BothLogDets(), POSITIVE, eager=False)


def test_base_may_be_another():
    positive = jnp.abs(jnp.linspace(-3.0, 3.0, 15).reshape(5, 3)) + 0.1
    check_bijector(Square(), POSITIVE, z=positive, eager=False)
    with pytest.raises(
        AssertionError, match=r"round trip.* at draws of `z=`: got 3.*, expected -3"
    ):
        check_bijector(Square(), POSITIVE, z=-positive, eager=False)


def test_bounded_base_is_asked_for():
    data = POSITIVE - 0.6
    with pytest.raises(AssertionError, match="standard normal, which `z=` replaces"):
        check_bijector(Inverse(Logit()), data, eager=False)
    check_bijector(Inverse(Logit()), data, z=jnp.full((1, 3), 0.4), eager=False)


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (jnp.ones((4, 2)), r"the draws of the base: expected shape \(\*batch, 3\), got \(4, 2\)"),
        (jnp.ones((0, 3)), "the draws of the base: expected an example or more"),
        (jnp.full((4, 3), jnp.inf), "the draws of the base: expected finite numbers for z"),
    ],
    ids=["shape", "none", "infinite"],
)
def test_draws_that_are_none_are_refused(z, expected):
    with pytest.raises(ValueError, match=expected):
        check_bijector(Clipped(), POSITIVE, z=z)


class Shift(Bijector):
    """By its context."""

    context_shape = (1,)

    def forward_and_log_det(self, z, context=None):
        return z + context, zeros(z)

    def inverse_and_log_det(self, x, context=None):
        return x - context, zeros(x)


class Unread(Shift):
    def forward_and_log_det(self, z, context=None):
        return super().forward_and_log_det(z, 0 * context)

    def inverse_and_log_det(self, x, context=None):
        return super().inverse_and_log_det(x, 0 * context)


def test_context_that_is_not_read_fails():
    contexts = jnp.array([[1.0], [-0.5]])
    report = check_bijector(Shift(), POSITIVE, contexts, eager=False)
    assert report["contexts"] == "passed"
    expected = r"Unread\.inverse_and_log_det: expected it to depend on the context, of shape \(1,\)"
    with pytest.raises(AssertionError, match=expected):
        check_bijector(Unread(), POSITIVE, contexts, eager=False)
    # Where there is only one, nothing can be said.
    report = check_bijector(Unread(), POSITIVE, contexts[0], eager=False)
    assert report["contexts"] == "skipped: all examples have the same context"
