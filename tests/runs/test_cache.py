"""Compiled programs are kept for other processes, where and only where that is wanted."""

import jax
import pytest

from jaxgen import cli
from jaxgen.runs import cache, keep_programs

SETTINGS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(autouse=True)
def settings_of_jax():
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_what_is_compiled_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_WORTH_SECONDS", 0.0)
    folder = keep_programs(tmp_path)
    assert folder.parent == tmp_path
    jax.jit(lambda x: 3 * x + 1)(2.0)
    assert list(folder.iterdir())


def test_the_folder_is_the_one_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "here"))
    assert keep_programs().parent == tmp_path / "here"


def test_a_tilde_is_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAXGEN_CACHE", "~/here")
    assert keep_programs().parent == tmp_path / "here"


@pytest.mark.parametrize("relative", [None, "relative"])
def test_the_folder_is_the_users_own_else(relative, tmp_path, monkeypatch):
    monkeypatch.delenv("JAXGEN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", relative or str(tmp_path / "cache"))
    assert keep_programs().parent == tmp_path / (".cache" if relative else "cache") / "jaxgen"


def test_nothing_is_kept_where_the_environment_says_so():
    assert keep_programs() is None  # as the tests do
    assert jax.config.jax_compilation_cache_dir is None


def test_what_jax_was_told_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    assert keep_programs(tmp_path / "other") is None
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.warns(UserWarning, match="nothing is kept in .*file"):
        assert keep_programs(file) is None
    monkeypatch.delenv("JAXGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    assert keep_programs() is None  # nobody asked for this one


@pytest.mark.parametrize("more", [[], ["--no-cache"]])
def test_the_command_line_keeps_programs(more, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    assert cli.main(["evaluate", str(tmp_path / "no run"), *more]) == 1
    assert (tmp_path / "cache").exists() is not bool(more)
