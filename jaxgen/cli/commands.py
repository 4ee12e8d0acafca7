"""What each command does with its options. It prints, and returns the exit status.

What is needed is imported where it is needed: ``jaxgen --help`` answers at once.
"""

import argparse
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

# What a scheduler that has ended a training by SIGTERM gets: saved, to be run again (EX_TEMPFAIL).
REQUEUE = 75


def train_recipe(options: argparse.Namespace) -> int:
    from jaxgen.runs import load_recipe, train

    if options.experiment is None:
        taken = [text for text in options.assignments if "=" not in text]
        why = f"; --set took {taken[-1]}, so give it first" if taken else ""
        options.refuse(f"expected FILE[:NAME]{why}")
    where = (options.coordinator, options.processes, options.process)
    if options.distributed:
        from jaxgen.training.processes import connect, is_first

        connect(*where, timeout=options.silence)
        if not is_first():
            warnings.simplefilter("ignore")  # the first says the same
    elif any(each is not None for each in where):
        options.refuse("expected --distributed with --coordinator, --processes, --process")
    recipe, file = load_recipe(options.experiment)
    assignments = list(options.assignments)
    if options.steps is not None:
        assignments.append(f"train.steps={options.steps}")
    if options.seed is not None:
        assignments.append(f"train.seed={options.seed}")
    recipe = recipe.override(assignments, file.functions)
    how = {"profile": options.profile, "tensorboard": options.tensorboard}
    result = train(recipe, options.out, file=file, progress=not options.quiet, **how)
    if result.interrupted:
        step = result.history[-1]["step"] if result.history else 0
        print(
            f"jaxgen: interrupted at step {step}; saved, the same command goes on from there",
            file=sys.stderr,
        )
        return REQUEUE if result.signal == signal.SIGTERM else 130
    return 0


def evaluate(options: argparse.Namespace) -> int:
    from jaxgen.runs import evaluate_run

    record = evaluate_run(
        options.run_dir, split=options.split, num_samples=options.samples, file=options.file
    )
    print(record)
    return 0


def draw_samples(options: argparse.Namespace) -> int:
    from jaxgen.runs import Run, joined, sample, sample_text

    how = _chosen(options, "seed", "temperature", "top_p", "length", "label", "file")
    if options.out is None and Run.read(options.run_dir).vocabulary is not None:
        texts = sample_text(options.run_dir, num=4 if options.num is None else options.num, **how)
        print(joined(texts), end="")
        return 0
    out = options.out or "samples.png"
    sample(options.run_dir, out, num=64 if options.num is None else options.num, **how)
    print(out)
    return 0


def interpolate(options: argparse.Namespace) -> int:
    from jaxgen.runs import interpolate_run

    how = _chosen(options, "num", "pairs", "seed", "file")
    interpolate_run(options.run_dir, options.out, **how)
    print(options.out)
    return 0


def reconstruct(options: argparse.Namespace) -> int:
    from jaxgen.runs import reconstruct_run

    how = _chosen(options, "num", "seed", "draw", "file")
    reconstruct_run(options.run_dir, options.out, **how)
    print(options.out)
    return 0


def traverse(options: argparse.Namespace) -> int:
    from jaxgen.runs import traverse_run

    how = _chosen(options, "example", "num", "span", "dimensions", "file")
    traverse_run(options.run_dir, options.out, **how)
    print(options.out)
    return 0


def complete(options: argparse.Namespace) -> int:
    from jaxgen.runs import complete_run, complete_table

    how = _chosen(options, "seed", "file", "holes", "num", "examples", "data")
    how = {name: value for name, value in how.items() if value is not None}
    if options.data is not None:
        if {"holes", "examples"} & how.keys():
            options.refuse("expected --data of rows, or --holes and --examples of images")
        out = options.out or "completed.csv"
        missing = complete_table(options.run_dir, out, **how)
        print(f"{out}: {missing} missing values")
        return 0
    out = options.out or "completion.png"
    records = complete_run(options.run_dir, out, **how)
    print(*records, out, sep="\n")
    return 0


def export(options: argparse.Namespace) -> int:
    from jaxgen.runs import export_run

    export_run(options.run_dir, options.folder, **_chosen(options, "license", "file"))
    print(options.folder)
    return 0


def push(options: argparse.Namespace) -> int:
    from jaxgen.runs import push as upload

    print(upload(options.folder, options.repository, private=options.private))
    return 0


def score(options: argparse.Namespace) -> int:
    from jaxgen.runs import score_run

    how = _chosen(options, "data", "split", "score", "num", "seed", "background", "file")
    count, usual = score_run(options.run_dir, options.out, **how)
    print(
        f"{options.out}: {count} examples, p-values from {1 / (1 + usual):.4f} on by {usual} of "
        f"the validation split"
    )
    return 0


def ood(options: argparse.Namespace) -> int:
    from jaxgen.runs import ood_run

    how = _chosen(options, "against", "scores", "alpha", "num", "seed", "background", "file")
    print(*ood_run(options.run_dir, options.out, **how), options.out, sep="\n")
    return 0


def calibrate(options: argparse.Namespace) -> int:
    from jaxgen.runs import calibrate_run

    how = _chosen(options, "split", "num", "samples", "seed", "file")
    print(*calibrate_run(options.run_dir, options.out, **how), options.out, sep="\n")
    return 0


def compress(options: argparse.Namespace) -> int:
    from jaxgen.runs import compress_run

    how = _chosen(options, "split", "labels", "num", "data", "file")
    print(compress_run(options.run_dir, options.path, **how))
    return 0


def decompress(options: argparse.Namespace) -> int:
    from jaxgen.runs import decompress_run

    how = _chosen(options, "split", "labels", "out", "file")
    print(decompress_run(options.run_dir, options.path, **how))
    return 0


def results(options: argparse.Namespace) -> int:
    from jaxgen.runs.results import fill_results

    document = Path(options.document)
    document.write_text(fill_results(document.read_text(), options.experiments))
    print(document)
    return 0


def list_all(options: argparse.Namespace) -> int:
    from jaxgen.runs.listing import listing

    print(listing(Path("experiments")))
    return 0


def _chosen(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """These options, by name."""
    return {name: vars(options)[name] for name in names}
