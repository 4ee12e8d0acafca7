"""What the arguments of the zoo's constructors mean, said once.

A constructor's docstring explains what is the paper's own; the arguments that it leaves out mean
what they mean everywhere, and ``help(jaxgen.zoo.maf)`` shows them all, in the signature's order.
"""

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

MEANINGS: dict[str, str] = {
    "event_shape": "the event's shape; every entry is a position of the chain.",
    "levels": "2 for binary data (Bernoulli), more for integer levels (categorical), None for real "
    "values (normal). Of a position's entries only a mixture of logistics is coupled; the other "
    "heads make them independent given the positions before, unless a ``frame`` is asked for, in "
    "the models that have one.",
    "components": "of a mixture for each position, of normals for real values and of discretized "
    "logistics for levels; None for no mixture.",
    "inputs": 'how the network reads one of more than 2 levels: ``"scalar"``, a number; '
    '``"one_hot"``, a vector of its own, as befits names (characters, categories); ``"both"``. '
    "None: one-hot under a categorical head, but for images a scalar.",
    "frame": "the network inside a position that is a vector, which models its entries one given "
    'another, see :class:`~jaxgen.models.Frame`: ``"nade"`` (after a recurrent network: RNN-NADE), '
    '``"made"`` with two hidden layers, or None for independent entries. A position is observed or '
    "missing as a whole.",
    "frame_width": "units of its hidden layers, and as many features that it gets of what came "
    "before.",
    "hidden": "widths of the hidden layers of every network.",
    "activation": "of the hidden layers.",
    "orders_per_batch": "how many of the orders a training batch meets.",
    "first_size": "the side of the first window.",
    "kernel_size": "the side of the other windows.",
    "out_width": "features of the last layer but one.",
    "bound": "soft bound of the log-scales; None for none.",
    "norm": 'between the layers: ``"actnorm"``, ``"batchnorm"`` (MAF\'s paper), or None for none.',
    "latents": "latent dimensions.",
    "network": 'of encoder and decoder: ``"mlp"``, multilayer perceptrons, or ``"conv"``, '
    "convolutional pyramids of images.",
    "widths": "of a convolutional pyramid, the channels at every resolution, each half of the one "
    "before it.",
    "blocks": "residual blocks at every resolution.",
    "prior": "of the latents: a constructor of the zoo by name; None for a standard normal.",
    "prior_args": "its hyperparameters.",
    "dropout": "rate in the hidden layers while training.",
    "bounds": "the interval of bounded data (``(0, 256)`` for dequantized 8-bit images), mapped to "
    "the real line by a logit; ``(0, None)`` for data that are bounded on one side, by a "
    "logarithm; a list of such pairs, one for each entry of a vector, None among them; None for "
    "no bounds.",
    "alpha": "the margin of logits, by which samples may miss the bounds; None for 0.05 of images, "
    "whose levels round it away, and 1e-6 of vectors.",
    "context_features": "the size of a context vector; None for an unconditional model.",
    "rngs": "where the initial weights come from.",
}

# What is meant by the same names where there are latents.
OF_LATENTS: dict[str, str] = {
    "event_shape": "the event's shape.",
    "levels": "of the data: 2 for binary ones (Bernoulli), more for integer levels (categorical), "
    "None for real values (normal).",
    "components": "of a mixture for each entry, of normals for real values and of discretized "
    "logistics for levels, 2 among them, which couples the channels of a pixel; None for no "
    "mixture.",
}

# Arguments that mean nothing unless another one is given, in every constructor that has both.
NEEDS: dict[str, str] = {
    "prior_args": "prior",
    "alpha": "bounds",
    "frame_width": "frame",
    "local": "context_features",
}

_ARGUMENTS = re.compile(r"^(?:Args:\n((?: .*\n?)+)|(?=Returns:|Raises:|>>>))", re.MULTILINE)
# An entry explains one argument or several ("width, depth: ..."), and may go on for lines.
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", re.MULTILINE)
_WRAPPER = textwrap.TextWrapper(
    96, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
)


def explained(constructor: Callable[..., Any]) -> str:
    """The docstring of a constructor, completed by what :data:`MEANINGS` says.

    Raises:
        TypeError: for an argument that neither of the two explains.

    >>> def model(event_shape, *, width=8, rngs):
    ...     '''Any model.
    ...
    ...     Args:
    ...         width: of its layers.
    ...     '''
    >>> print(explained(model))
    Any model.
    <BLANKLINE>
    Args:
        event_shape: the event's shape; every entry is a position of the chain.
        width: of its layers.
        rngs: where the initial weights come from.
    """
    doc = inspect.getdoc(constructor) or ""
    # Before the arguments, their own section if there is one, after them.
    before, own, after = (*_ARGUMENTS.split(doc, maxsplit=1), "", "")[:3]
    entries = _ENTRY.findall(own or "")
    meanings = {name: entry for entry in entries for name in entry[0].split(", ")}
    parameters = inspect.signature(constructor).parameters
    latent = not {"latents", "layer_sizes", "codes", "latent_width"}.isdisjoint(parameters)
    general = MEANINGS | OF_LATENTS if latent else MEANINGS
    lines: dict[str, None] = {}  # an entry that explains several arguments stands once
    for name in parameters:
        if name not in meanings and name not in general:
            raise TypeError(f"{constructor.__name__}: nothing says what {name} means")
        names, meaning = meanings.get(name) or (name, general[name])
        text = " ".join(f"{names}: {meaning}".split())
        lines["\n".join(_WRAPPER.wrap(text))] = None
    section = "\n".join(["Args:", *lines])
    return "\n\n".join(part.strip("\n") for part in (before, section, after) if part)
