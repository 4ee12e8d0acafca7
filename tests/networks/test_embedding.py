"""The embedding of class labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.networks import Embedding


def test_every_label_gets_its_row_in_any_batch():
    table = Embedding(3, 2, rngs=nnx.Rngs(0))
    rows = np.asarray(table.table[...])
    np.testing.assert_array_equal(table(jnp.array([[2, 0], [1, 1]])), rows[[[2, 0], [1, 1]]])
    np.testing.assert_array_equal(table(jnp.array(1, jnp.uint8)), rows[1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (jnp.array([0, 3]), "labels from 0 to 2, got values from 0 to 3"),
        (jnp.array([-1]), "labels from 0 to 2, got values from -1 to -1"),
        (jnp.array([1.0]), r"integer labels 0..2, got float32; number the classes"),
    ],
    ids=["too large", "negative", "real"],
)
def test_what_is_no_label_is_refused(labels, message):
    with pytest.raises(ValueError, match=f"Embedding: expected {message}"):
        Embedding(3, 2, rngs=nnx.Rngs(0))(labels)


def test_a_traced_label_out_of_range_gives_nan_and_no_other_class():
    table = Embedding(3, 2, rngs=nnx.Rngs(0))
    out = np.asarray(jax.jit(lambda table, y: table(y))(table, jnp.array([3, -1, 2])))
    assert np.isnan(out[:2]).all()
    assert np.isfinite(out[2]).all()


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="for num_classes, got 0"):
        Embedding(0, 2, rngs=nnx.Rngs(0))
