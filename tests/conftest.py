"""Fixtures that several test files share."""

import gc
import os

import jax
import pytest

# Every compiled program holds memory maps, of which Linux gives a process 65530; and the more JAX
# keeps, the longer each collection and each clearing takes: a file of tests ran three times as long
# behind 400 others.
_FEWEST, _MOST = 20, 400  # tests between clearings


class _ClearCaches:
    """Forgets compiled programs at the end of a file of tests, or of several small ones."""

    def __init__(self):
        self.count = 0

    def pytest_runtest_teardown(self, item, nextitem):
        self.count += 1
        ends = nextitem is None or nextitem.path != item.path
        if self.count >= (_FEWEST if ends else _MOST):
            jax.clear_caches()
            gc.collect()
            self.count = 0


def _compile_with(flag):
    """Gives XLA a flag, which it reads when this process compiles for the first time.

    The environment is left as it was, for what runs in a process of its own.
    """
    before = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{before or ''} {flag}"
    jax.jit(lambda x: x + 1)(0)
    del os.environ["XLA_FLAGS"]
    if before is not None:
        os.environ["XLA_FLAGS"] = before


def pytest_configure(config):
    os.environ["JAXGEN_CACHE"] = ""  # no test takes a program from another run
    # The tests are small programs and many, whose cost is compiling. What runs in a process of its
    # own (the notebooks, resuming) is compiled as for a user, unless it asks for less as well.
    jax.config.update("jax_disable_most_optimizations", True)
    # XLA's older way to emit loops compiles in two thirds of the time. jaxlib 0.11 has it no more,
    # and ends a process that asks for it.
    if jax.__version_info__ < (0, 11):
        _compile_with("--xla_cpu_use_fusion_emitters=false")
    config.pluginmanager.register(_ClearCaches())


def pytest_collection_finish():
    # Tracing makes objects by the million, and each collection walks all that was imported.
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


@pytest.fixture
def x64():
    """Double precision for one test: exactness to 1e-9 needs it, and nothing else may see it."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def optimized():
    """Compiles with all of XLA's optimizations, as outside the tests."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def compilations():
    """The seconds that XLA spent on each program since the list was last cleared."""
    seconds = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    jax.jit(lambda x: x + 1)(0)
    assert seconds  # JAX still says so by that name
    seconds.clear()
    yield seconds
    jax.monitoring.unregister_event_duration_listener(listen)
