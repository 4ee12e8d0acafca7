"""Fixtures that several test files share."""

import jax
import pytest

# TFP, which distrax imports, still names what jax.core deprecates. Goes when TFP stops.
_TFP = "ignore:jax.core.* is deprecated:DeprecationWarning"


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", _TFP)


@pytest.fixture
def x64():
    """Double precision for one test: exactness to 1e-9 needs it, and nothing else may see it."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def fast_compile():
    """Compiles without most of XLA's optimizations: small checks cost what they compile."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
