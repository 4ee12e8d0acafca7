"""The digits: fixed splits that cover the source exactly once."""

import sys

import numpy as np
import pytest

from jaxgen.data import load

DIGESTS = {
    "train": "6433c988df2aa4f2de08db13fcf779b364dbe499f017167d342bcd3ea55b5c68",
    "valid": "c9a213c95ba99ebabd8b3159a4d6255977879f43fcadc871ef7b593d967d64b7",
    "test": "b5dc3b79b9b3e18d28793f3476c5e18318a1b39886f3065d25486363585edeb6",
}


@pytest.mark.parametrize(("split", "size"), [("train", 1437), ("valid", 180), ("test", 180)])
def test_splits_are_fixed(split, size):
    data = load("digits", split)
    assert data.x.shape == (size, 8, 8, 1)
    assert data.x.dtype == np.uint8
    assert data.levels == 17
    assert data.x.max() == 16
    assert data.sha256 == DIGESTS[split]


def test_splits_are_disjoint_and_cover_the_source():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    parts = [load("digits", split) for split in DIGESTS]
    x = np.concatenate([part.x.reshape(-1, 64) for part in parts])
    y = np.concatenate([part.y for part in parts])
    # All 1797 images differ, so equality up to the order means disjoint parts and nothing missing.
    assert len(np.unique(images, axis=0)) == 1797
    order = np.random.default_rng(0).permutation(1797)
    np.testing.assert_array_equal(x, images[order])
    np.testing.assert_array_equal(y, labels[order])


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        load("digits")
