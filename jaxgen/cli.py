"""Floor 9: the command line, ``jaxgen`` or ``python -m jaxgen``."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxgen import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status. A user's mistake ends in one line, not a trace."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            if not vars(options).get("no_cache", True):
                from jaxgen.runs import keep_programs

                keep_programs()
            return options.run(options)
        except (ValueError, OSError, FloatingPointError) as error:
            print(f"jaxgen: {_said(error, options)}", file=sys.stderr)
            return 1
        except (MemoryError, RecursionError) as error:
            print(f"jaxgen: {type(error).__name__}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("jaxgen: interrupted", file=sys.stderr)
            return 130


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxgen", description="Likelihood-based deep generative models for JAX and Flax."
    )
    parser.add_argument("--version", action="version", version=f"jaxgen {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train an experiment; the same command again goes on where it stopped",
        description="Trains an experiment into a run directory. The same command again continues.",
    )
    train.add_argument(
        "experiment",
        metavar="FILE[:NAME]",
        nargs="?",  # missing where --set took it, which _train says
        help="a Python file that defines a Recipe, or several by name",
    )
    train.add_argument("--out", required=True, metavar="RUN", help="the run directory")
    train.add_argument("--steps", type=int, help="short for --set train.steps=STEPS")
    train.add_argument("--seed", type=int, help="short for --set train.seed=SEED")
    train.add_argument(
        "--set",
        dest="assignments",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override the configuration: learning_rate=1e-3, model_args.steps=4, ...",
    )
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.set_defaults(run=_train, refuse=train.error)

    evaluate = commands.add_parser("evaluate", help="score the trained model of a run")
    evaluate.add_argument("run_dir", metavar="RUN", help="the run directory")
    evaluate.add_argument("--split", choices=("train", "valid", "test"), help="default: the run's")
    evaluate.add_argument(
        "--samples", type=int, help="importance samples for a model without an exact likelihood"
    )
    _add_file(evaluate)
    evaluate.set_defaults(run=_evaluate)

    sample = commands.add_parser(
        "sample", help="draw samples from a run's model, as a picture, sound or text"
    )
    sample.add_argument("run_dir", metavar="RUN", help="the run directory")
    sample.add_argument("--num", type=int, help="how many (default 64; 4 texts)")
    sample.add_argument(
        "--out",
        help="the picture (default samples.png), for a run of sound also a .wav file; for a run of "
        "text a .txt file (default: it is printed)",
    )
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="below 1 for likelier, less varied samples (default 1)",
    )
    sample.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        help="draw among the likeliest levels that together have this probability (default 1)",
    )
    sample.add_argument(
        "--length", type=int, help="values of a signal, for a model that fits any length"
    )
    _add_file(sample)
    sample.set_defaults(run=_sample)

    interpolate = commands.add_parser(
        "interpolate", help="draw paths between test examples through a run's latent space"
    )
    interpolate.add_argument("run_dir", metavar="RUN", help="the run directory")
    interpolate.add_argument("--num", type=int, default=8, help="points of a path (default 8)")
    interpolate.add_argument("--pairs", type=int, default=6, help="how many paths (default 6)")
    interpolate.add_argument(
        "--out", default="interpolation.png", help="the picture (default interpolation.png)"
    )
    interpolate.add_argument("--seed", type=int, default=0)
    _add_file(interpolate)
    interpolate.set_defaults(
        run=_latents, drawn_by=lambda runs: runs.interpolate_run, takes=("num", "pairs", "seed")
    )

    reconstruct = commands.add_parser(
        "reconstruct", help="draw test examples, and what comes back from their latents"
    )
    reconstruct.add_argument("run_dir", metavar="RUN", help="the run directory")
    reconstruct.add_argument("--num", type=int, default=10, help="how many (default 10)")
    reconstruct.add_argument(
        "--draw", action="store_true", help="draw the latents; otherwise the posterior's centre"
    )
    reconstruct.add_argument(
        "--out", default="reconstructions.png", help="the picture (default reconstructions.png)"
    )
    reconstruct.add_argument("--seed", type=int, default=0)
    _add_file(reconstruct)
    reconstruct.set_defaults(
        run=_latents, drawn_by=lambda runs: runs.reconstruct_run, takes=("num", "seed", "draw")
    )

    traverse = commands.add_parser(
        "traverse", help="draw a test example with single latent dimensions moved"
    )
    traverse.add_argument("run_dir", metavar="RUN", help="the run directory")
    traverse.add_argument("--example", type=int, default=0, help="which test example (default 0)")
    traverse.add_argument("--num", type=int, default=9, help="values of a dimension (default 9)")
    traverse.add_argument(
        "--span", type=float, default=3.0, help="values go so far either way (default 3)"
    )
    traverse.add_argument(
        "--dimensions", type=int, default=8, help="how many, those that vary most (default 8)"
    )
    traverse.add_argument(
        "--out", default="traversals.png", help="the picture (default traversals.png)"
    )
    _add_file(traverse)
    traverse.set_defaults(
        run=_latents,
        drawn_by=lambda runs: runs.traverse_run,
        takes=("example", "num", "span", "dimensions"),
    )

    complete = commands.add_parser(
        "complete", help="fill in missing parts of test images, and score them given the rest"
    )
    complete.add_argument("run_dir", metavar="RUN", help="the run directory")
    complete.add_argument(
        "--holes",
        nargs="+",
        help="what is missing: top, left, centre, random (default: each in turn)",
    )
    complete.add_argument("--num", type=int, default=6, help="completions of each (default 6)")
    complete.add_argument("--examples", type=int, default=3, help="images shown (default 3)")
    complete.add_argument(
        "--out", default="completion.png", help="the picture (default completion.png)"
    )
    complete.add_argument("--seed", type=int, default=0)
    _add_file(complete)
    complete.set_defaults(run=_complete)

    compress = commands.add_parser(
        "compress", help="write examples into a small file, without loss, by a run's model"
    )
    decompress = commands.add_parser(
        "decompress", help="read the examples back from a file that compress wrote"
    )
    for command in (compress, decompress):
        command.add_argument("run_dir", metavar="RUN", help="the run directory")
        command.add_argument("path", metavar="FILE", help="the file of compressed examples")
        command.add_argument(
            "--split",
            choices=("train", "valid", "test"),
            help="whose examples, or labels of them, are taken (default: the run's)",
        )
        command.add_argument("--labels", metavar="PATH", help="a file of contexts, if it takes any")
        _add_file(command)
    compress.add_argument("--num", type=int, help="the first so many examples (default: all)")
    compress.add_argument("--data", metavar="PATH", help="an .npy or .npz file of examples instead")
    compress.set_defaults(
        run=_coded,
        coded_by=lambda runs: runs.compress_run,
        takes=("split", "labels", "num", "data"),
    )
    decompress.add_argument("--out", required=True, metavar="X.npy", help="the array to write")
    decompress.set_defaults(
        run=_coded, coded_by=lambda runs: runs.decompress_run, takes=("split", "labels", "out")
    )

    for command in (
        train,
        evaluate,
        sample,
        interpolate,
        reconstruct,
        traverse,
        complete,
        compress,
        decompress,
    ):
        command.add_argument(
            "--no-cache",
            action="store_true",
            help="compile anew, and keep nothing of it in the cache folder (JAXGEN_CACHE)",
        )

    listing = commands.add_parser(
        "list", help="list models, data sets, and recipes in ./experiments"
    )
    listing.set_defaults(run=_list)
    return parser


def _add_file(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--file", metavar="FILE", help="the experiment file, for a run whose model is defined there"
    )


def _train(options: argparse.Namespace) -> int:
    from jaxgen.runs import load_recipe, train

    if options.experiment is None:
        taken = [text for text in options.assignments if "=" not in text]
        why = f"; --set took {taken[-1]}, so give it first" if taken else ""
        options.refuse(f"expected FILE[:NAME]{why}")
    recipe, file = load_recipe(options.experiment)
    assignments = list(options.assignments)
    if options.steps is not None:
        assignments.append(f"train.steps={options.steps}")
    if options.seed is not None:
        assignments.append(f"train.seed={options.seed}")
    recipe = recipe.override(assignments, file.functions)
    result = train(recipe, options.out, file=file, progress=not options.quiet)
    if result.interrupted:
        step = result.history[-1]["step"] if result.history else 0
        print(
            f"jaxgen: interrupted at step {step}; saved, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from jaxgen.runs import evaluate_run

    record = evaluate_run(
        options.run_dir, split=options.split, num_samples=options.samples, file=options.file
    )
    print(record)
    return 0


def _sample(options: argparse.Namespace) -> int:
    from jaxgen.runs import Run, joined, sample, sample_text

    how = {
        "seed": options.seed,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "length": options.length,
        "file": options.file,
    }
    if options.out is None and Run.read(options.run_dir).vocabulary is not None:
        texts = sample_text(options.run_dir, num=4 if options.num is None else options.num, **how)
        print(joined(texts), end="")
        return 0
    out = options.out or "samples.png"
    sample(options.run_dir, out, num=64 if options.num is None else options.num, **how)
    print(out)
    return 0


def _latents(options: argparse.Namespace) -> int:
    from jaxgen import runs

    draw = options.drawn_by(runs)
    own = {name: vars(options)[name] for name in options.takes}
    draw(options.run_dir, options.out, file=options.file, **own)
    print(options.out)
    return 0


def _complete(options: argparse.Namespace) -> int:
    from jaxgen.runs import complete_run

    records = complete_run(
        options.run_dir,
        options.out,
        holes=options.holes,
        num=options.num,
        examples=options.examples,
        seed=options.seed,
        file=options.file,
    )
    print(*records, options.out, sep="\n")
    return 0


def _coded(options: argparse.Namespace) -> int:
    from jaxgen import runs

    code = options.coded_by(runs)
    own = {name: vars(options)[name] for name in options.takes}
    print(code(options.run_dir, options.path, file=options.file, **own))
    return 0


def _list(options: argparse.Namespace) -> int:
    from jaxgen.runs.listing import listing

    print(listing(Path("experiments")))
    return 0
