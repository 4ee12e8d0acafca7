"""Compressed data: what they say of themselves, and what is refused."""

import time
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import freeze, zoo
from jaxgen.compression import CompressionError, decode, encode, header
from jaxgen.compression.header import SIZE, Header
from jaxgen.compression.parts import parts_of
from jaxgen.compression.stack import Stack
from jaxgen.core import ShapeError
from jaxgen.models import Model
from jaxgen.testing import perturb

KEY = jax.random.key(0)


def model_of(seed=0, **options):
    made = zoo.made((5,), levels=4, hidden=(8,), rngs=nnx.Rngs(seed), **options)
    return perturb(made, jax.random.key(seed), 1.0)


MODEL = model_of()
X = np.random.default_rng(0).integers(0, 4, (30, 5), np.uint8)


@pytest.fixture(scope="module")
def coded():
    return encode(MODEL, X)


def with_checksum(data):
    """Data of which the checksum is right, whatever they are."""
    check = zlib.crc32(data[SIZE:], zlib.crc32(data[: SIZE - 4]))
    return data[: SIZE - 4] + check.to_bytes(4, "little") + data[SIZE:]


def test_damage_is_found_before_anything_is_decoded(coded, monkeypatch):
    """Any flipped bit, any missing end, anything behind it; and in no time."""
    monkeypatch.setattr("jaxgen.compression.coding.coder_of", None)  # is never called
    rng, start, damaged = np.random.default_rng(0), time.perf_counter(), []
    for bit in range(8 * len(coded)):
        flipped = bytearray(coded)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    damaged += [coded[:end] for end in range(len(coded))]
    damaged += [coded + bytes(rng.integers(0, 256, n, np.uint8)) for n in range(1, 50)]
    for _ in range(4000):
        noisy = np.frombuffer(coded, np.uint8).copy()
        where = rng.integers(0, len(coded), rng.integers(1, 20))
        noisy[where] ^= rng.integers(1, 256, len(where), np.uint8)
        damaged.append(noisy.tobytes())
    damaged += [bytes(rng.integers(0, 256, n, np.uint8)) for n in range(200)]
    damaged = [each for each in damaged if each != coded]
    assert len(damaged) > 4000
    for each in damaged:
        with pytest.raises(CompressionError):
            decode(MODEL, each)
    assert time.perf_counter() - start < 10


def test_wrong_bits_under_a_right_checksum_are_no_events(coded):
    """As they are where a machine computes otherwise than the header says."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        bits = bytearray(coded[SIZE:])
        bits[rng.integers(len(bits))] ^= int(rng.integers(1, 256))
        with pytest.raises(CompressionError):
            decode(MODEL, with_checksum(coded[:SIZE] + bytes(bits)))
    for number in (0, 29, 31, 60):
        other = coded[:22] + number.to_bytes(4, "little") + coded[26:]
        with pytest.raises(CompressionError, match="other events than were encoded"):
            decode(MODEL, with_checksum(other))
    with pytest.raises(CompressionError, match="expected a dtype"):
        decode(MODEL, with_checksum(coded[:5] + b"\xff" + coded[6:]))
    with pytest.raises(CompressionError, match="format 9"):
        decode(MODEL, with_checksum(coded[:4] + b"\x09" + coded[5:]))


def test_a_decoder_off_by_one_unit_in_the_last_place_is_found(coded, monkeypatch):
    """Of one level's probabilities: intervals move by a part or two of 2^24, and nothing fits."""

    def moved(probabilities):
        assert probabilities.dtype == np.float32
        return parts_of(probabilities.at[:, 0].set(jnp.nextafter(probabilities[:, 0], 1.0)))

    monkeypatch.setattr("jaxgen.compression.chain.parts_of", moved)
    jax.clear_caches()  # of the programs with the exact numbers
    with pytest.raises(CompressionError):
        decode(MODEL, coded)
    jax.clear_caches()


def test_another_model_is_refused(coded):
    for other in (model_of(1), model_of(activation="elu"), perturb(MODEL, KEY, 1e-5)):
        with pytest.raises(CompressionError, match="another model than this Autoregressive"):
            decode(other, coded)
    wider = zoo.made((6,), levels=4, hidden=(8,), rngs=nnx.Rngs(0))
    with pytest.raises(CompressionError, match="another model"):
        decode(wider, coded)


def test_the_same_model_is_the_same(coded):
    for same in (model_of(), freeze(MODEL, lambda path, leaf: True)):
        np.testing.assert_array_equal(decode(same, coded), X)


@pytest.mark.parametrize("what", ["jax", "jaxlib", "constriction", "on", "in"])
def test_other_versions_and_devices_are_refused(coded, monkeypatch, what):
    here = header.machine()
    monkeypatch.setattr(header, "machine", lambda: {**here, what: "something else"})
    with pytest.raises(CompressionError, match="another device or with other versions") as error:
        decode(MODEL, coded)
    assert "something else" in str(error.value)


def test_other_contexts_are_refused():
    model = model_of(context_features=2)
    context = np.random.default_rng(1).normal(size=(30, 2))
    coded = encode(model, X, context)
    np.testing.assert_array_equal(decode(model, coded, context), X)
    with pytest.raises(CompressionError, match="other contexts"):
        decode(model, coded, context + 1e-3)
    with pytest.raises(ShapeError, match="context"):
        decode(model, coded)
    with pytest.raises(ShapeError):
        decode(model, coded, context[:7])


@pytest.mark.parametrize("dtype", header.DTYPES)
def test_dtypes_come_back(dtype):
    model = zoo.made((3,), levels=2, hidden=(4,), rngs=nnx.Rngs(0))
    x = (X[:, :3] > 1).astype(dtype)
    back = decode(model, encode(model, x))
    np.testing.assert_array_equal(back, x)
    assert back.dtype == dtype


def test_the_header_says_what_it_is(coded):
    assert SIZE == 34
    found, bits = Header.read(coded)
    assert (found.dtype, found.number, len(bits)) == ("uint8", 30, len(coded) - SIZE)
    assert coded == encode(MODEL, X)  # no time, no chance in it


BAD = {
    "real numbers": (X.astype(float), ValueError, "expected integer levels"),
    "a level too high": (X + np.uint8(1), ValueError, "from 0 to 3"),
    "another shape": (X[:, :4], ShapeError, r"\(n, 5\)"),
    "one event": (X[0], ShapeError, r"\(n, 5\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_the_model_is_refused(name):
    x, kind, said = BAD[name]
    with pytest.raises(kind, match=said):
        encode(MODEL, x)


class Reals(Model):
    event_shape = (2,)


class Counts(Model):
    event_shape, levels = (2,), float("inf")


def test_models_of_other_than_levels_are_refused():
    flow = zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))
    for model, what in ((flow, "real values"), (Reals(), "real values"), (Counts(), "counts")):
        with pytest.raises(TypeError, match=f"a model of {what}.* cannot be coded"):
            encode(model, np.zeros((1, 2), int))
    with pytest.raises(TypeError, match="expected a model, got"):
        encode("made", X)
    with pytest.raises(TypeError, match="expected bytes"):
        decode(MODEL, X)


def test_a_model_that_is_broken_says_so():
    broken = perturb(MODEL, KEY, 1e38)  # beyond float32, and infinity less infinity
    with pytest.raises(CompressionError, match="NaN"):
        encode(broken, X)


def test_frequencies_are_whole_and_never_nothing():
    rng = np.random.default_rng(0)
    for levels in (2, 3, 256, 70000):
        table = rng.gamma(0.02, size=(20, levels)).astype(np.float32)
        table[0], table[1] = 0.0, 1.0
        table[0, -1] = 1e-30
        found = np.asarray(parts_of(table))
        assert (found >= 1).all()
        assert (found.sum(-1) == 2**24 - 2).all()
        assert found[0, -1] == 2**24 - 2 - (levels - 1)


def test_intervals_pushed_alone_are_popped_among_all_levels():
    """Neighbours of an interval are one to the encoder, and each its own to the decoder."""
    rng, stack = np.random.default_rng(0), Stack()
    parts = []
    for levels in (2, 7, 1000):
        table = np.asarray(parts_of(rng.gamma(0.1, size=(300, levels)).astype(np.float32)))
        x = rng.integers(0, levels, 300)
        x[:3], x[3:6] = 0, levels - 1
        stack.push(*stack.intervals(x, table))
        parts.append((x, table))
    for x, table in reversed(parts):
        np.testing.assert_array_equal(stack.pop(table), x)
    assert stack.is_empty


def test_the_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "constriction", None)
    with pytest.raises(ImportError, match=r'pip install "jaxgen\[compression\]"'):
        encode(MODEL, X)
