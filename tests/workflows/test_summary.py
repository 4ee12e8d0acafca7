"""What a module prints: a line of it, and the table of its arrays."""

import pickle
import re

import jax
import numpy as np
import pytest
import registry
from flax import nnx

import jaxgen
from jaxgen import bijectors, conditionals, models, zoo
from jaxgen.core import num_parameters
from jaxgen.training import TrainSettings, fit

EXAMPLES = {
    **{f"bijector: {name}": registry.BIJECTORS[name] for name in ("scan context", "chain", "flip")},
    **{f"conditional: {name}": registry.CONDITIONALS[name] for name in ("made", "pixelcnn")},
    **{
        f"model: {name}": registry.MODELS[name]
        for name in ("maf", "standard normal", "made binary", "mixture of bernoullis", "nade")
    },
}


def test_every_member_prints_itself_in_a_line():
    for module, base in (
        (models, models.Model),
        (bijectors, bijectors.Bijector),
        (conditionals, conditionals.Conditional),
    ):
        members = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, base)
        ]
        assert len(members) > 5
        for member in members:
            assert (member.__repr__, member.__str__) == (base.__repr__, base.__str__), member
            assert base.__repr__ is not nnx.Module.__repr__


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_line_and_a_table(name):
    example = EXAMPLES[name]
    module = example.make(nnx.Rngs(0))
    line = repr(module)
    assert line == str(module)
    assert line.startswith(type(module).__name__ + "(")
    assert "\n" not in line
    assert len(line) < 200
    trained = num_parameters(module)
    total = sum(leaf.size for leaf in jax.tree.leaves(module))
    assert (f"{trained:,} parameters" in line) == (total > 0)
    first, header, *rows, last = jaxgen.summary(module).splitlines()
    assert first == line
    assert header.split() == ["path", "layer", "shape", "dtype", "trained", "fixed"]
    assert last.split() == ["total", f"{trained:,}", f"{total - trained:,}"]
    assert len(rows) == len(jax.tree.leaves(module))
    sizes = [int(row.rstrip().rpartition(" ")[2].replace(",", "")) for row in rows]
    assert sum(sizes) == total


def test_leaves_need_no_numbers():
    model = registry.MODELS["maf"].make(nnx.Rngs(0))
    expected = repr(model), jaxgen.summary(model)
    told = []
    jax.eval_shape(lambda m: told.append((repr(m), jaxgen.summary(m))), model)
    told.append(
        (repr(jax.eval_shape(lambda: model)), jaxgen.summary(jax.eval_shape(lambda: model)))
    )
    assert told == [expected, expected]
    for nothing in (None, 0, "spec"):
        other = jax.tree.map(lambda _, nothing=nothing: nothing, model)
        assert repr(other).startswith("Flow(event_shape=(2,)")
        assert jaxgen.summary(other).startswith("Flow(event_shape=(2,)")


def test_stacked_layers_are_shown_once():
    model = registry.BIJECTORS["scan"].make(nnx.Rngs(0))
    table = jaxgen.summary(model)
    (kernel,) = re.findall(r"^.*kernels\.0 +MADE +(.*?)  +float32 +(\d+)$", table, re.M)
    assert kernel == ("3 x (3, 5)", "45")


def test_frozen_parts_are_fixed():
    model = registry.MODELS["made binary"].make(nnx.Rngs(0))
    frozen = jaxgen.freeze(model)
    total, start = num_parameters(model), 6 + 1  # rates of six entries, and whether they are known
    assert f"conditional=MADE, likelihood=Bernoulli, {total} parameters and {start}" in repr(model)
    assert f"0 parameters and {total + start} fixed" in repr(frozen)
    assert jaxgen.summary(frozen).splitlines()[-1].split() == ["total", "0", str(total + start)]


def test_a_result_of_fit_is_short():
    model = registry.MODELS["maf"].make(nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
    result = fit(model, x, settings=TrainSettings(steps=2, batch_size=16), progress=False)
    line = repr(result)
    assert line.startswith("FitResult(best_step=2, interrupted=False, model=Flow(event_shape=(2,)")
    assert "last of 1 rows of history={'step': 2, 'loss': " in line
    assert "\n" not in line


def test_notebooks_show_it_as_a_table():
    model = zoo.made((3,), levels=2, hidden=(4,), rngs=nnx.Rngs(0))
    table = jaxgen.summary(model)
    shown = table._repr_html_()
    assert shown.count("<tr>") == len(table.splitlines()) - 1
    assert "<th>path</th>" in shown
    assert "<td>total</td>" in shown
    again = pickle.loads(pickle.dumps(table))
    assert (again, again._repr_html_()) == (table, shown)
