"""What stands before the bits: by which model, on what machine, of how many events.

=======  =======================================================================================
bytes    content
=======  =======================================================================================
0-3      ``JXGC``
4        the version of the format
5        the dtype of the events, by its number in ``DTYPES``
6-13     the model: SHA-256 of its structure (with the shape of its events) and its numbers
14-17    the machine: SHA-256 of the device, its platform, and the versions of what computes
18-21    CRC-32 of the contexts, 0 for none
22-25    how many events
26-29    CRC-32 of the events
30-33    CRC-32 of all of the above, and of the bits
=======  =======================================================================================

All numbers begin with their lowest byte; the hashes are cut to their first bytes.
"""

import functools
import hashlib
import importlib.metadata
import json
import platform
import struct
import zlib
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from jaxgen.compression.errors import CompressionError
from jaxgen.core import array_of, describe, leaves_by_path
from jaxgen.models import Model

MAGIC, VERSION = b"JXGC", 2
DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_FIELDS, _CHECK = struct.Struct("<4sBB8s4sIII"), struct.Struct("<I")
SIZE = _FIELDS.size + _CHECK.size

# What may make a model's numbers differ, beside the device.
_LIBRARIES = ("jaxgen", "jax", "jaxlib", "flax", "numpy", "constriction")


class Header(NamedTuple):
    """What a decoder has to know beside the model and the contexts.

    Args:
        dtype: of the events, as it is named in ``DTYPES``.
        model, machine: digests.
        context: the checksum of the contexts.
        number: of events.
        events: their checksum.
    """

    dtype: str
    model: bytes
    machine: bytes
    context: int
    number: int
    events: int

    @classmethod
    def of(cls, model: Model, x: np.ndarray, context: np.ndarray | None) -> Self:
        """The header of events that are about to be encoded here."""
        digests = (model_digest(model), machine_digest(machine()))
        return cls(x.dtype.name, *digests, checksum(context), len(x), checksum(x))

    def before(self, bits: bytes) -> bytes:
        """The header and the bits, with the checksum of both between them."""
        code = DTYPES.index(self.dtype)
        fields = _FIELDS.pack(MAGIC, VERSION, code, *self[1:])
        return fields + _CHECK.pack(zlib.crc32(bits, zlib.crc32(fields))) + bits

    @classmethod
    def read(cls, data: bytes) -> tuple[Self, bytes]:
        """The header, and the bits behind it.

        Raises:
            CompressionError: if it is none, is of another version, or is damaged anywhere.
        """
        if len(data) < SIZE or not data.startswith(MAGIC):
            raise CompressionError(
                f"expected data that jaxgen.compression.encode wrote, got {len(data)} bytes "
                f"that are not, or are cut off"
            )
        _, version, code, *rest = _FIELDS.unpack_from(data)
        if version != VERSION:
            raise CompressionError(
                f"expected compressed data of format {VERSION}, got format {version}, or damage"
            )
        bits = data[SIZE:]
        if _CHECK.unpack_from(data, _FIELDS.size)[0] != zlib.crc32(
            bits, zlib.crc32(data[: _FIELDS.size])
        ):
            raise CompressionError(
                "the compressed data are damaged: their checksum is another; a part is missing or "
                "was changed"
            )
        if code >= len(DTYPES):
            raise CompressionError(f"expected a dtype of number 0 to {len(DTYPES) - 1}, got {code}")
        return cls(DTYPES[code], *rest), bits

    def check(self, model: Model, context: np.ndarray | None) -> None:
        """Refuses what was encoded by another model, with other contexts, or elsewhere.

        Raises:
            CompressionError: saying which it is.
        """
        if self.model != model_digest(model):
            raise CompressionError(
                f"the data were compressed by another model than this {type(model).__name__}: its "
                f"structure, the shape of its events, or some of its parameters differ"
            )
        if self.context != checksum(context):
            raise CompressionError(
                "the data were compressed with other contexts, or in another dtype or order of them"
            )
        if self.machine != machine_digest(machine()):
            here = ", ".join(f"{name} {value}" for name, value in machine().items())
            raise CompressionError(
                f"the data were compressed on another device or with other versions of what "
                f"computes, where the model's numbers may differ in the last bit; here are {here}"
            )


def model_digest(model: Model) -> bytes:
    """8 bytes of SHA-256 over what a model is, and all its numbers.

    Which of them are trained makes no difference.
    """
    described = describe(model)
    shapes = {path: leaf[1:] for path, leaf in described["leaves"].items()}
    about = json.dumps([described["attributes"], shapes], sort_keys=True)
    digest = hashlib.sha256(about.encode())
    for path, leaf in sorted(leaves_by_path(model).items()):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(np.asarray(array_of(leaf))).tobytes())
    return digest.digest()[:8]


def machine() -> dict[str, str]:
    """The device, and the versions of what computes here, by name."""
    device = jax.devices()[0]
    return {
        **{name: _version(name) for name in _LIBRARIES},
        "on": f"{device.platform} ({device.device_kind}, {device.client.platform_version}, "
        f"{platform.machine()})",
        "in": "float64" if jax.config.read("jax_enable_x64") else "float32",
    }


def machine_digest(found: dict[str, Any]) -> bytes:
    """4 bytes of SHA-256 over what :func:`machine` says."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).digest()[:4]


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # run straight from a checkout
        return "unknown"


def checksum(array: np.ndarray | None) -> int:
    """CRC-32 of an array, its shape and its dtype; 0 for None."""
    if array is None:
        return 0
    about = f"{array.dtype.name}{array.shape}".encode()
    return zlib.crc32(np.ascontiguousarray(array).tobytes(), zlib.crc32(about))
