"""The error for a name that is not among the known ones."""

import difflib
from collections.abc import Iterable


def unknown(
    what: str, got: str, available: Iterable[str], described: str | None = None
) -> ValueError:
    """The error to raise for an unknown name: it says the nearest match and what is available.

    Args:
      what: the kind of thing that was named, e.g. `"split"`.
      got: the name that was given.
      available: the names that would have been accepted.
      described: what to say of `available` where it is too long to list.

    Returns:
      A ValueError, to be raised by the caller.

    Example:
      >>> print(unknown("split", "tran", ["train", "valid", "test"]))
      unknown split 'tran': did you mean 'train'? Available: train, valid, test.
    """
    available = list(available)
    near = difflib.get_close_matches(got, available, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(available) if described is None else described
    return ValueError(f"unknown {what} {got!r}: {hint}Available: {listed}.")
