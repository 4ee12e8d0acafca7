"""The commands of ``jaxgen`` and their options."""

import argparse
import functools
from collections.abc import Callable
from typing import Any

from jaxgen import __version__
from jaxgen.cli import commands

_SPLITS = ("train", "valid", "test")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line. Its options say as ``run`` which function takes them."""
    whole = argparse.ArgumentParser(
        prog="jaxgen", description="Likelihood-based deep generative models for JAX and Flax."
    )
    whole.add_argument("--version", action="version", version=f"jaxgen {__version__}")
    parsers = whole.add_subparsers(required=True, metavar="COMMAND")
    # Half an option is a slip more often than a short form.
    add = functools.partial(parsers.add_parser, allow_abbrev=False)
    _train(add)
    _evaluate(add)
    _sample(add)
    _interpolate(add)
    _reconstruct(add)
    _traverse(add)
    _complete(add)
    _score(add)
    _ood(add)
    _calibrate(add)
    _compress(add)
    _decompress(add)
    _export(add)
    _push(add)
    _results(add)
    listing = add("list", help="list models, data sets, and recipes in ./experiments")
    listing.set_defaults(run=commands.list_all)
    return whole


def _train(add: Callable[..., argparse.ArgumentParser]) -> None:
    train = add(
        "train",
        help="train an experiment; the same command again goes on where it stopped",
        description="Trains an experiment into a run directory. The same command again continues.",
    )
    train.add_argument(
        "experiment",
        metavar="FILE[:NAME]",
        nargs="?",  # missing where --set took it, which the command says
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
    train.add_argument(
        "--tensorboard", action="store_true", help="write RUN/tensorboard, too (tensorboardX)"
    )
    train.add_argument(
        "--profile", type=int, metavar="STEPS", help="trace so many steps into RUN/profile"
    )
    _add_processes(train)
    _add_cache(train)
    train.set_defaults(run=commands.train_recipe, refuse=train.error)


def _add_processes(train: argparse.ArgumentParser) -> None:
    many = train.add_argument_group(
        "several processes", "every one runs the same command; the directory is on a shared disk"
    )
    many.add_argument(
        "--distributed", action="store_true", help="join the others, by jax.distributed"
    )
    many.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="of process 0; SLURM, Open MPI, Kubernetes and TPU pods tell it themselves, as the "
        "next two",
    )
    many.add_argument("--processes", type=int, metavar="N", help="how many there are")
    many.add_argument("--process", type=int, metavar="I", help="which this one is, from 0")
    many.add_argument(
        "--silence",
        type=int,
        default=100,
        metavar="SECONDS",
        help="after which a silent process counts as dead, and the others end (default 100)",
    )


def _evaluate(add: Callable[..., argparse.ArgumentParser]) -> None:
    evaluate = _of_a_run(add, "evaluate", "score the trained model of a run", commands.evaluate)
    evaluate.add_argument("--split", choices=_SPLITS, help="default: the run's")
    evaluate.add_argument(
        "--samples", type=int, help="importance samples for a model without an exact likelihood"
    )


def _sample(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "draw samples from a run's model, as a picture, sound, text or numbers"
    sample = _of_a_run(add, "sample", about, commands.draw_samples)
    sample.add_argument("--num", type=int, help="how many (default 64; 4 texts)")
    sample.add_argument(
        "--out",
        help="the picture (default samples.png); an .npy file, of rows a .csv file; for a run of "
        "sound a .wav file; for a run of text a .txt file (default: it is printed)",
    )
    _add_seed(sample)
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
    sample.add_argument("--label", help="of which class, by its name (default: all)")
    sample.add_argument(
        "--length", type=int, help="values of a signal, for a model that fits any length"
    )


def _interpolate(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "draw paths between test examples through a run's latent space"
    interpolate = _of_a_run(add, "interpolate", about, commands.interpolate)
    interpolate.add_argument("--num", type=int, default=8, help="points of a path (default 8)")
    interpolate.add_argument("--pairs", type=int, default=6, help="how many paths (default 6)")
    _add_out(interpolate, "interpolation.png", "the picture")
    _add_seed(interpolate)


def _reconstruct(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "draw test examples, and what comes back from their latents"
    reconstruct = _of_a_run(add, "reconstruct", about, commands.reconstruct)
    reconstruct.add_argument("--num", type=int, default=10, help="how many (default 10)")
    reconstruct.add_argument(
        "--draw", action="store_true", help="draw the latents; otherwise the posterior's centre"
    )
    _add_out(reconstruct, "reconstructions.png", "the picture")
    _add_seed(reconstruct)


def _traverse(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "draw a test example with single latent dimensions moved"
    traverse = _of_a_run(add, "traverse", about, commands.traverse)
    traverse.add_argument("--example", type=int, default=0, help="which test example (default 0)")
    traverse.add_argument("--num", type=int, default=9, help="values of a dimension (default 9)")
    traverse.add_argument(
        "--span", type=float, default=3.0, help="values go so far either way (default 3)"
    )
    traverse.add_argument(
        "--dimensions", type=int, default=8, help="how many, those that vary most (default 8)"
    )
    _add_out(traverse, "traversals.png", "the picture")


def _complete(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "fill in missing parts of test images, which are scored too, or of a table's rows"
    complete = _of_a_run(add, "complete", about, commands.complete)
    complete.add_argument(
        "--holes",
        nargs="+",
        help="what is missing: top, bottom, left, centre, random (default: each in turn)",
    )
    complete.add_argument(
        "--data", metavar="FILE", help="a .csv or .parquet file whose missing values are drawn"
    )
    complete.add_argument("--num", type=int, help="completions of each (default 6, of rows 1)")
    complete.add_argument("--examples", type=int, help="images shown (default 3)")
    complete.add_argument(
        "--out", help="the picture (default completion.png), the table (default completed.csv)"
    )
    _add_seed(complete)
    complete.set_defaults(refuse=complete.error)


def _score(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "write how strange each example of some data is to a run's model"
    score = _of_a_run(add, "score", about, commands.score)
    score.add_argument(
        "--data",
        metavar="SPEC",
        help="the data, or an .npy, .npz, .csv or .parquet file or a folder of pictures, all of "
        "which are scored in their order (default: the run's own test split)",
    )
    score.add_argument("--split", choices=_SPLITS, help="of data by a name (default: test)")
    score.add_argument(
        "--score", default="typicality", help="by its name in jaxgen.evaluation.ood (typicality)"
    )
    _add_background(score)
    score.add_argument("--num", type=int, help="how many examples, the first ones (default: all)")
    _add_out(score, "scores.csv", "the table")
    _add_seed(score)


def _ood(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "measure how well a run's model tells its own test data from others"
    ood = _of_a_run(add, "ood", about, commands.ood)
    ood.add_argument("--against", required=True, metavar="SPEC", help="the other data")
    ood.add_argument(
        "--scores", nargs="+", metavar="NAME", help="which (default: all that the model has)"
    )
    _add_background(ood)
    ood.add_argument(
        "--alpha", type=float, default=0.05, help="the share of false alarms (default 0.05)"
    )
    ood.add_argument("--num", type=int, help="examples of each set, the first ones (default: all)")
    _add_out(ood, "ood", "the folder of the numbers and pictures")
    _add_seed(ood)


def _add_background(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--background",
        metavar="RUN",
        help="the run of another model, for the score likelihood_ratio",
    )


def _calibrate(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "test whether held-out examples could come from a run's model"
    calibrate = _of_a_run(add, "calibrate", about, commands.calibrate)
    calibrate.add_argument("--split", choices=_SPLITS, help="default: the run's")
    calibrate.add_argument("--num", type=int, help="examples (default 1000, or all of fewer)")
    calibrate.add_argument(
        "--samples", type=int, help="draws for each label, or of a model without for all examples"
    )
    _add_out(calibrate, "calibration.png", "the picture")
    _add_seed(calibrate)


def _compress(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "write examples into a small file, without loss, by a run's model"
    compress = _of_a_run(add, "compress", about, commands.compress)
    _add_coded(compress)
    compress.add_argument("--num", type=int, help="the first so many examples (default: all)")
    compress.add_argument("--data", metavar="PATH", help="an .npy or .npz file of examples instead")


def _decompress(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "read the examples back from a file that compress wrote"
    decompress = _of_a_run(add, "decompress", about, commands.decompress)
    _add_coded(decompress)
    decompress.add_argument("--out", required=True, metavar="X.npy", help="the array to write")


def _add_coded(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="FILE", help="the file of compressed examples")
    command.add_argument(
        "--split",
        choices=_SPLITS,
        help="whose examples, or labels of them, are taken (default: the run's)",
    )
    command.add_argument("--labels", metavar="PATH", help="a file of contexts, if it takes any")


def _export(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "write a run's model, record and card into a folder to share"
    export = _of_a_run(add, "export", about, commands.export)
    export.add_argument("folder", metavar="DIR", help="the folder, made by this")
    export.add_argument("--license", metavar="NAME", help="of the model, such as apache-2.0")


def _push(add: Callable[..., argparse.ArgumentParser]) -> None:
    push = add("push", help="upload an exported model to the Hugging Face Hub")
    push.add_argument("folder", metavar="DIR", help="what jaxgen export wrote")
    push.add_argument("repository", metavar="OWNER/NAME", help="made if there is none")
    push.add_argument("--private", action="store_true", help="of a new one: for its owner only")
    push.set_defaults(run=commands.push)


def _results(add: Callable[..., argparse.ArgumentParser]) -> None:
    results = add("results", help="write the tables of committed records into a document")
    results.add_argument("document", metavar="FILE.md", help="with lines <!-- results: ... -->")
    results.add_argument(
        "--experiments", default="experiments", metavar="DIR", help="default: ./experiments"
    )
    results.set_defaults(run=commands.results)


def _of_a_run(
    add: Callable[..., argparse.ArgumentParser], name: str, about: str, run: Callable[..., Any]
) -> argparse.ArgumentParser:
    """A command over a run directory."""
    command = add(name, help=about)
    command.add_argument(
        "run_dir", metavar="RUN", help="the run directory, hf://OWNER/NAME or pretrained:NAME"
    )
    command.add_argument(
        "--file", metavar="FILE", help="the experiment file, for a run whose model is defined there"
    )
    _add_cache(command)
    command.set_defaults(run=run)
    return command


def _add_out(command: argparse.ArgumentParser, default: str, what: str) -> None:
    command.add_argument("--out", default=default, help=f"{what} (default {default})")


def _add_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, default=0)


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--no-cache",
        action="store_true",
        help="compile anew, and keep nothing of it in the cache folder (JAXGEN_CACHE)",
    )
