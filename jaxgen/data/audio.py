"""``audio:PATH[:LABELS]``: sound clips of a numpy archive as mu-law codes, one clip an example.

The archive holds clips of one channel, end to end:

- ``audio``: int16, all clips one after another;
- ``length``: integers, the samples of each clip; their sum is the length of ``audio``;
- ``index``: integers, optional: the number of the take. Takes 0 to 4 are the test split, 5 to 9 the
  validation split and all others the training split, the rule of the Free Spoken Digit Dataset
  (whose authors name the first five; the next five are ours). Without it, clips are shuffled and
  cut 80/10/10 as ``shuffled_rows`` does;
- ``rate``: optional, samples a second; 8000 without it, mu-law's home;
- LABELS names the array that becomes y, one entry a clip: integers as they are, text numbered in
  alphabetical order. Without LABELS there are no labels.

``x`` is uint8 ``(n, longest)``, with 256 levels (:mod:`jaxgen.functional.companding`).
``longest`` is the longest clip of the whole archive; shorter ones end in the code of silence, and
``lengths`` says where. A clip stays whole, so that a likelihood is that of the clip:
``Dataset.crops`` cuts pieces to train on.

``npz:PATH`` says where files are looked up.
"""

import numpy as np

from jaxgen.core import unknown
from jaxgen.data.npz import find, open_archive, read_array
from jaxgen.data.splits import shuffled_rows
from jaxgen.functional import companding

RATE = 8000

# x, y, levels, lengths, rate
LoadedAudio = tuple[np.ndarray, np.ndarray | None, int, np.ndarray, int]


def load_audio(path_and_labels: str, split: str) -> LoadedAudio:
    """One split of an archive of clips.

    Args:
        path_and_labels: ``PATH`` or ``PATH:LABELS``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x uint8 (n, longest), y (n,) or None, 256 levels, lengths (n,), and the samples a second.

    Raises:
        FileNotFoundError: no such file; the places tried are named.
        ValueError: the file is damaged or no such archive, or its arrays do not fit each other.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "clips.npz"
    >>> sound = np.array([0, 500, -500, 32767, -32768], np.int16)
    >>> np.savez(path, audio=sound, length=[2, 3], index=[7, 0], word=["yes", "no"])
    >>> x, y, levels, lengths, rate = load_audio(f"{path}:word", "valid")
    >>> x.tolist(), y.tolist(), levels, lengths.tolist(), rate
    ([[128, 164, 128]], [1], 256, [2], 8000)
    """
    given_path, _, labels = path_and_labels.partition(":")
    if not given_path:
        raise ValueError("expected audio:PATH or audio:PATH:LABELS, got no path")
    path = find(given_path)
    with open_archive(path) as file:
        for key in ("audio", "length", *([labels] if labels else [])):
            if key not in file:
                raise unknown(f"array of {path}", key, file)
        audio, lengths = read_array(file, path, "audio"), read_array(file, path, "length")
        y = _numbered(read_array(file, path, labels)) if labels else None
        take = read_array(file, path, "index") if "index" in file else None
        rate = int(read_array(file, path, "rate")) if "rate" in file else RATE
    _check(audio, lengths, {labels: y, "index": take}, str(path))
    rows = _rows(take, len(lengths), split)
    if not len(rows):
        raise ValueError(
            f"{path}: expected clips for the split {split!r}, got none; takes ('index') 0 to 4 are "
            f"the test split, 5 to 9 the validation split, all others the training split"
        )
    starts = np.cumsum(lengths) - lengths
    x = np.full((len(rows), lengths.max()), companding.SILENCE, np.uint8)
    for row, clip in zip(x, rows, strict=True):
        piece = audio[starts[clip] : starts[clip] + lengths[clip]]
        row[: len(piece)] = companding.from_pcm(piece)
    return x, None if y is None else y[rows], companding.LEVELS, lengths[rows], rate


def _rows(take: np.ndarray | None, num_clips: int, split: str) -> np.ndarray:
    if take is None:
        return shuffled_rows(num_clips, split)
    low, high = {"test": (0, 5), "valid": (5, 10), "train": (10, np.inf)}[split]
    return np.flatnonzero((take >= low) & (take < high))


def _numbered(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1] if labels.dtype.kind in "US" else labels


def _check(
    audio: np.ndarray, lengths: np.ndarray, others: dict[str, np.ndarray | None], source: str
) -> None:
    if audio.dtype != np.int16 or audio.ndim != 1:
        raise ValueError(
            f"{source}: expected 'audio' as int16 of one axis, clips end to end, got "
            f"{audio.dtype}{audio.shape}; convert it before storing"
        )
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or lengths.min(initial=1) < 1:
        raise ValueError(
            f"{source}: expected 'length' as integers of at least 1, one a clip, got "
            f"{lengths.dtype}{lengths.shape}"
        )
    if lengths.sum() != len(audio) or not len(lengths):
        raise ValueError(
            f"{source}: expected the lengths of the clips to sum to the {len(audio)} samples of "
            f"'audio', got {lengths.sum()}"
        )
    for name, array in others.items():
        if array is not None and (array.shape != lengths.shape or array.dtype.kind not in "iu"):
            raise ValueError(
                f"{source}: expected {len(lengths)} integers in {name!r}, one a clip, got "
                f"{array.dtype}{array.shape}"
            )
        if name == "index" and array is not None and array.min() < 0:
            raise ValueError(f"{source}: expected takes of 0 or more in 'index', got {array.min()}")
