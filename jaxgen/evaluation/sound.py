"""Sound files."""

import wave
from pathlib import Path

import numpy as np
from jax import Array

from jaxgen.functional import companding

PAUSE = 0.1  # seconds of silence between two sounds


def write_wav(path: Path | str, codes: np.ndarray | Array, rate: int) -> None:
    """Writes sounds as a WAV file of one channel and 16 bits, one after the other.

    Args:
        path: the file.
        codes: mu-law codes ``(n, length)``; a pause of 0.1 seconds follows each sound.
        rate: samples a second.

    Raises:
        OSError: if the file cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "silence.wav"
    >>> write_wav(path, np.full((2, 8000), 128), 8000)
    >>> with wave.open(str(path)) as file:
    ...     file.getframerate(), file.getnframes() / 8000
    (8000, 2.2)
    """
    sound = companding.to_pcm(np.asarray(codes))
    sound = np.pad(sound, ((0, 0), (0, round(PAUSE * rate))))
    # Opened here: for a wrong path, wave.open leaves a writer that complains when it is deleted.
    with Path(path).open("wb") as stream, wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
