"""Floor 9: the command line, ``jaxgen`` or ``python -m jaxgen``."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from jaxgen.cli.parser import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status. A user's mistake ends in one line, not a trace."""
    options = parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        distributed = vars(options).get("distributed", False)
        try:
            if not vars(options).get("no_cache", True):
                from jaxgen.runs import keep_programs

                keep_programs()
            return options.run(options)
        except (ValueError, OSError, FloatingPointError, ImportError) as error:
            print(f"jaxgen: {_said(error, options)}", file=sys.stderr)
        except (MemoryError, RecursionError) as error:
            print(f"jaxgen: {type(error).__name__}: {error}", file=sys.stderr)
        except RuntimeError as error:
            if type(error).__name__ != "JaxRuntimeError":
                raise
            # Of a device, or of another process.
            print(f"jaxgen: {' '.join(str(error).split())}", file=sys.stderr)
        except KeyboardInterrupt:
            print("jaxgen: interrupted", file=sys.stderr)
            return 130
    if distributed:
        from jaxgen.training.processes import abandon

        abandon(1)
    return 1


def _said(error: Exception, options: argparse.Namespace) -> str:
    """What went wrong, in a line; of what an experiment file raised, where in it."""
    given = vars(options).get("experiment") or vars(options).get("file")
    text = " ".join(str(error).split())
    if given is None:
        return text
    from jaxgen.runs.files import experiment_path, line_of

    path = experiment_path(given)
    line = line_of(error, path)
    return text if line is None else f"{path}: line {line}: {type(error).__name__}: {text}"


def _warn(message: Warning | str, *where: Any, **more: Any) -> None:
    """Prints a warning as an error is printed, without the line of code that gave it."""
    print(f"jaxgen: warning: {message}", file=sys.stderr)
