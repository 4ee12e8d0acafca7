"""Nonsense ends in one clear error, wherever it enters: constructors and calls, all members.

Every constructor is given every nonsensical value of every argument whose name says what it means,
and every method of small members is called with one argument after the other exchanged. Each of
these calls must end in a ValueError or a TypeError that jaxgen itself raised, in words that say
what was expected or what is available; a call that the tables mark as harmless may also give the
answer, finite and of the right shape. Nothing is drawn at random.

A slice of the calls is in the default suite; ``-m slow`` has all of them.
"""

import functools
import inspect
import linecache
import re
import reprlib
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
import registry
from flax import nnx

import jaxgen
from jaxgen import bijectors, conditionals, likelihoods, models, networks, transforms, zoo
from jaxgen.data import Dataset, load
from jaxgen.data.text import Vocabulary
from jaxgen.data.toy import draw
from jaxgen.functional import companding
from jaxgen.functional.autoregressive import Cache
from jaxgen.models.densities import Density

HOME = str(Path(jaxgen.__file__).parent)
COUNTS: Counter[str] = Counter()

# What an error must say: what was expected, or what there is.
WORDS = re.compile(
    "expected|Available:|needs|is unconditional|means nothing|only .* models|its generation "
    "order is fixed|not a permutation of|does not broadcast to|the data hold .* remove or fill them"
)

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module", autouse=True)
def counted(pytestconfig):
    """Says at the end how many calls there were, and how they ended."""
    yield
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and COUNTS:
        said = ", ".join(f"{count} {what}" for what, count in sorted(COUNTS.items()))
        with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
            reporter.write_line(f"\n{said}")


def clear_error(error):
    """Whether an error is one of ours that says what was expected, else what is wrong with it."""
    if not isinstance(error, ValueError | TypeError):
        return f"{type(error).__name__}: {error}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = last.filename.startswith(HOME) and "raise" in "".join(
        linecache.getline(last.filename, line) for line in range(last.lineno, last.end_lineno + 1)
    )
    if not ours:
        return f"raised by {last.filename}:{last.lineno}: {type(error).__name__}: {error}"
    if not WORDS.search(str(error)):
        return f"does not say what was expected: {error}"
    return None


def levels_of_latents(model):
    """Of latents that are integers."""
    return model.prior.levels if isinstance(model, models.VAE) else None


def wrong(call, name=""):
    """What is wrong with how a nonsensical call ended; None if it was refused clearly."""
    COUNTS["calls"] += 1
    try:
        answer = call()
    except Exception as error:
        problem = clear_error(error)
        if problem is None and name.removesuffix("s") not in str(error):
            problem = f"does not name {name}: {error}"
        COUNTS["clear errors" if problem is None else "raw errors"] += 1
        return problem
    COUNTS["accepted"] += 1
    return f"accepted: {str(answer)[:60]!r}"


def report(problems):
    text = "\n".join(f"{what}: {str(problem)[:200]}" for what, problem in problems)
    assert not problems, f"{len(problems)} calls did not end in a clear error:\n{text}"


# --- constructors ---

CONSTRUCTORS = {name: getattr(zoo, name) for name, _ in zoo.names()} | {
    each.__name__: each
    for module in (networks, conditionals, bijectors, models)
    for each in (getattr(module, name) for name in module.__all__)
    if inspect.isclass(each) and issubclass(each, nnx.Pytree)
}
CONSTRUCTORS |= {
    name: each
    for module, base in ((likelihoods, likelihoods.Likelihood), (transforms, transforms.Transform))
    for name, each in vars(module).items()
    if inspect.isclass(each) and issubclass(each, base) and "__init__" in vars(each)
}

NO_SIZES = (-1, 1.5, 2.0, "3", None, NAN, (2,), [3], 10**12, 2**70, np.zeros(2), {}, 1j, True)
NO_SEQUENCES = (8, "88", (4, -1), (4, 1.5), (4, None), {"a": 4}, None, (10**12,), (True,), NAN)
NO_SHAPES = (4, "44", (4, 0), (-4,), (2.5,), None, {}, (10**12,), ("4",), (None,), (True,), NAN)
NO_RATES = (-0.1, 1.0, 2, NAN, INF, "0.1", None, True, np.zeros(2), 0.1j, [0.1])
NO_FLAGS = (0, 1, "yes", None, 0.0, NAN)
NO_NAMES = (0, None, ("relu",), {}, "no such", NAN, True)
NO_MODULES = (None, 0, "maf", {}, np.zeros(2), object(), [])

# What no constructor takes for an argument of this name.
NONSENSE = {
    **dict.fromkeys(("event_shape", "grid_shape"), (*NO_SHAPES, ())),
    **dict.fromkeys(("position_shape", "input_shape", "output_shape", "context_shape"), NO_SHAPES),
    **dict.fromkeys(
        (
            *("bins", "components", "context_features", "couplings", "depth", "factor", "features"),
            *(
                "first_size",
                "frame_width",
                "heads",
                "in_features",
                "kernel_size",
                "layers",
                "levels",
                "mlp_ratio",
            ),
            *("num_classes", "num_orders", "num_params", "num_steps", "orders_per_batch"),
            *("marginal_bins", "out_features", "out_width", "patch", "reflections", "resolutions"),
            *("scales", "size", "skip_width", "upsampled", "width"),
            *("code_width", "codes", "latent_width", "latents", "num_layers", "pseudo_inputs"),
            "rank",
        ),
        (*NO_SIZES, 0),
    ),
    **dict.fromkeys(
        ("blocks", "channel_couplings", "encoder_blocks", "num_blocks", "upsampling_blocks"),
        NO_SIZES,
    ),
    "event_ndims": NO_SIZES,
    **dict.fromkeys(("hidden", "layer_hidden", "layer_sizes", "widths"), (*NO_SEQUENCES, (4, 0))),
    "dilations": (*NO_SEQUENCES, (4, 0), ()),
    "dropout": NO_RATES,
    "alpha": (-0.1, 0.5, 2, NAN, INF, "0.1", None, True, np.zeros(2), {}),
    "bound": (0, -1.0, NAN, INF, "3", True, np.zeros(2), (1.0, 2.0), {}),
    "bounds": (1, "01", (1, 0), (0, 0), (0, INF), (NAN, 1), (0,), (0, 1, 2), ("0", "1"), {}, NAN),
    "df": (0, -1, NAN, INF, "1", None, np.ones(2)),
    "eps": (0, -1, NAN, INF, "1", None, np.ones(2)),
    "low": (NAN, INF, "1", None, np.zeros(2), {}, 2.0),
    "high": (NAN, INF, "1", None, np.ones(2), {}, -1.0),
    "mean": (NAN, INF, "1", None, np.ones(3), {}, 1j, object()),
    "scale": (NAN, INF, "1", None, np.ones(3), {}, 1j, object(), 0, -1),
    **dict.fromkeys(
        ("min_bin_width", "min_bin_height", "min_derivative"), (0, 1, -1, NAN, "1", None)
    ),
    "location": (NAN, INF, "1", None, np.ones(3), {}, 1j),
    "concentration": (NAN, INF, "1", None, np.ones(3), {}, 1j, 0, -1),
    **dict.fromkeys(("scale_tril", "covariance"), (1, "1", np.eye(3), -np.eye(16))),
    "min_log_scale": (NAN, INF, "1", np.ones(2)),
    **dict.fromkeys(
        (
            *("attention", "circular", "connectivity_agnostic", "direct", "flat", "local", "lu"),
            *("order_features", "rescale", "shared", "swap", "weight_norm"),
        ),
        NO_FLAGS,
    ),
    **dict.fromkeys(
        ("activation", "cell", "layer", "method", "pattern", "positions", "structure"), NO_NAMES
    ),
    **dict.fromkeys(("frame", "norm"), (0, ("actnorm",), {}, "no such", NAN)),
    "base": (0, "no such", {}, np.zeros(2), NAN),
    "parents": (-1, 1.5, "1", None, {}, NAN, ((0,),), (5,), ((9,),) * 4, [["0"]] * 4),
    "values": (1, "01", (0.0,), (1.0, 0.0), (0.0, 1.0, 5.0), (NAN, 1.0), {}, ("a", "b")),
    "permutation": (1, "01", (0, 0, 1, 2), (0.0, 1.0), {}, NAN, (-1, 0, 1, 2), np.ones((2, 2))),
    "orders": (1, "no such", {}, np.zeros((2, 3), int), np.full((1, 4), NAN), [[0, 1, 2, "3"]], []),
    "rngs": (0, "rngs", np.zeros(2), {}, (0,)),
    **dict.fromkeys(
        ("bijector", "conditional", "flow", "inner", "large", "likelihood"), NO_MODULES
    ),
    **dict.fromkeys(("model", "small", "transform", "network"), NO_MODULES),
    **dict.fromkeys(("make_network", "make_step", "matrix"), NO_MODULES),
    "noise": NO_MODULES[1:],
    "layers of bijectors": (None, 0, "maf", {}, np.zeros(2), object(), [], [None], ["maf"]),
}
# Enough of the other arguments to get as far as to this one.
GIVEN = {
    "output_shape": (4, 4, 1),
    "event_shape": (4, 4, 1),
    "grid_shape": (4, 4),
    "position_shape": (1,),
    "num_params": 2,
    "in_features": 2,
    "out_features": 2,
    "num_classes": 2,
    "features": 2,
    "factor": 2,
    "input_shape": (4, 4, 1),
    "size": 4,
    "components": 2,
    "heads": 1,
    "levels": 4,
    "likelihood": likelihoods.Bernoulli(),
    "transform": transforms.Affine(),
}
BINARY = zoo.made((4,), hidden=(4,), rngs=nnx.Rngs(0))
STATIONARY = zoo.recurrent((4,), levels=3, width=4, rngs=nnx.Rngs(0))
# What some need otherwise than the others.
OWN = {
    **{
        name: {"grid_shape": (4,)}
        for name in ("MADE", "NADE", "FVSBN", "Growing", "EoNADE", "Markov")
    },
    **{name: {"grid_shape": (4,)} for name in ("Recurrent", "WaveNet", "CausalTransformer")},
    **{
        name: {"event_shape": (4,)}
        for name in ("wavenet", "recurrent", "markov", "tabular", "Permutation")
    },
    "Embedded": {"model": zoo.made((4,), hidden=(4,), context_features=2, rngs=nnx.Rngs(0))}
    | {"network": networks.Embedding(2, 2, rngs=nnx.Rngs(0))},
    "Ensemble": {"model": BINARY, "orders": np.arange(4)[None]},
    "cylinder": {"event_shape": (4,), "angles": (0,)},
    "Cylinder": {
        "angles": models.VonMises((1,)),
        "rest": zoo.maf((3,), layers=1, hidden=(4,), context_features=2, rngs=nnx.Rngs(0)),
        "places": (0,),
        "turns": ((0.0, 1.0),),
    },
    "MaskedAutoregressive": {"conditional": conditionals.MADE((4,), 2, rngs=nnx.Rngs(0))},
    "Autoregressive": {"conditional": BINARY.conditional},
    "Frame": {"conditional": conditionals.NADE((4,), 1, context_features=2, rngs=nnx.Rngs(0))},
    "Split": {"inner": bijectors.Flip(), "event_shape": (4,)},
    "Flow": {"bijector": bijectors.ActNorm((4,))},
    "Dequantized": {"flow": models.StandardNormal((4,))},
    "Conv1x1": {"event_shape": (4,)},
    "Bounded": {"bounds": (0.0, 1.0)},
    # So that they are quickly built as far as to what is refused late.
    "jet": {"patch": 2, "couplings": 2, "channel_couplings": 1, "width": 4, "heads": 1, "depth": 1},
    "lmconv": {"width": 4, "depth": 1},
    "multiscale_pixelrnn": {"width": 4, "depth": 1, "out_width": 4, "upsampled": 4},
    "fvae": {"width": 4, "widths": (4,), "layer_hidden": (4,), "scales": 1, "steps": 1},
    "vqvae": {
        "widths": (4,),
        "prior_args": {"width": 4, "depth": 1, "out_width": 4, "first_size": 3},
    },
    "Nearest": {"network": networks.MLP(4, 8, rngs=nnx.Rngs(0)), "event_shape": (4,)}
    | {"codes": 4, "width": 2, "context_shape": (4,)},
    "vdvae": {"blocks": (0, 1), "width": 4},
    "FeaturePyramid": {"blocks": (0, 1), "width": 4},
    "Update": {"grids": ((4, 4),), "width": 4, "num_layers": 2},
    "Coupling": {
        "event_shape": (4,),
        "make_network": lambda n, m: networks.MLP(n, m, rngs=nnx.Rngs(0)),
    },
}


# Of a scalar event.
SCALARS = {models.Mixture, *Density.__subclasses__()}


def parameters_of(build):
    signature = inspect.signature(build.__init__ if inspect.isclass(build) else build)
    return {
        name: each
        for name, each in signature.parameters.items()
        if name != "self"
        and each.kind is not each.VAR_KEYWORD
        and each.kind is not each.VAR_POSITIONAL
    }


def nonsense_for(name, parameter):
    annotation = str(parameter.annotation)
    if name == "layers" and "Bijector" in annotation:
        name = "layers of bijectors"
    values = NONSENSE.get(name, ())
    if name == "steps":
        values = (*NO_SIZES, 0)
    if name in {"blocks", "steps"} and "Sequence" in annotation:
        values = NO_SEQUENCES
    return [v for v in values if v is not None or "None" not in annotation]


@pytest.mark.parametrize("builder", sorted(CONSTRUCTORS))
def test_constructors(builder):
    build = CONSTRUCTORS[builder]
    parameters = parameters_of(build)
    required = {name for name, each in parameters.items() if each.default is each.empty}
    problems = []
    for name, parameter in parameters.items():
        for value in nonsense_for(name, parameter):
            if name == "event_shape" and value == () and build in SCALARS:
                continue  # a scalar
            given = GIVEN | {"rngs": nnx.Rngs(0)}
            given = {other: given[other] for other in given.keys() & required}
            given |= OWN.get(builder, {}) | {name: value}
            problem = wrong(functools.partial(build, **given), name)
            if problem is not None:
                problems.append((f"{builder}({name}={reprlib.repr(value)})", problem))
    report(problems)


# --- calls ---

KEY = jax.random.key(0)


def no_arrays(good):
    """What is no array of numbers of the right shape."""
    good = np.asarray(good)
    return [
        None,
        "x",
        ["x", "y"],
        {},
        {"x": good},
        object(),
        set(),
        [[1.0], [1.0, 2.0]],
        good.astype(object),
        good.astype(complex),
        good.astype(str),
        good.astype("datetime64[s]"),
        np.ma.masked_array(good, np.ones(good.shape, bool)),
        jax.random.split(KEY, 3),
        nnx.Rngs(0),
    ]


NUM_KINDS = len(no_arrays(0.0))


def no_shapes(good):
    """What is no batch of events."""
    wrong_shapes = [np.zeros((*good.shape, 7), good.dtype), good[..., None][..., :0]]
    wrong_shapes += [good.ravel()[0]] if good.ndim > 1 or good.size > 1 else []
    return no_arrays(good) + wrong_shapes


def no_data(good, levels):
    """What is no batch of events with a density."""
    return no_shapes(good) + no_values(good, levels)


def no_values(good, levels):
    if levels is None:
        bad = np.array(good)
        beyond = np.full(bad.shape, 1e300)
        infinite = (np.full_like(bad, value) for value in (NAN, INF, -INF))
        return [beyond, bad.astype(int), bad > 0, *infinite]
    values = (-1, levels, 10**12, 2**32)
    return [good + 0.5, *(np.full(good.shape, value) for value in values)]


NO_KEYS = (0, 1.5, "key", None, {}, [0, 1], np.zeros(2), np.zeros(3, np.uint32), True)
NO_KEYS += (jax.random.split(KEY, 3), nnx.Rngs(0), np.zeros((2, 2), np.uint32))
NO_COUNTS = (-1, 1.5, "2", None, (2,), NAN, 10**12, True, [2], {}, np.zeros(2))
NO_METHODS = ("no such", 0, None, {}, ("auto",), NAN)
NO_TEMPERATURES = (0, -1.0, NAN, INF, "1", {}, None, 1j, np.ones(2))


def no_orders(size):
    wrong = [np.zeros(size, int), np.arange(size) - 1, np.arange(size) + 1, np.arange(size + 1)]
    wrong += [np.arange(size) / 1.0, np.arange(size) + 0.5, np.arange(size)[None], 0]
    return no_arrays(np.arange(size))[1:] + (wrong if size > 1 else wrong[1:])


def no_masks(grid):
    return [
        *no_arrays(np.zeros(grid)),
        np.zeros(grid),
        np.zeros(grid, int),
        np.full(grid, NAN),
        np.zeros((*grid, 7), bool),
        True,
        np.zeros((3, 3, *grid), bool),
    ]


def no_contexts(good, *, any_batch=False):
    if good is None:
        return [np.zeros(2), np.zeros(()), "x", {}]
    wrong = [np.zeros((*good.shape, 7))]
    wrong += [] if any_batch else [np.zeros((9, *good.shape))]
    if good.dtype.kind == "i":
        wrong += [good + 0.5, good - 5, good + 100, np.full(good.shape, 10**12)]
    wrong += [np.full(good.shape, value) for value in (NAN, INF, -INF, 1e300)]
    return no_arrays(good) + wrong


class Call(NamedTuple):
    """A method, arguments that are good, and what is no good for each."""

    method: str
    good: dict[str, object]
    bad: dict[str, list]
    positional: int = 0


def calls_of_model(model, example):
    x, context = example.data(model.levels), example.context(model)
    if model.levels is None:
        x = x.astype(np.float32)
    given = {} if context is None else {"context": context}
    bad = {"x": no_data(x, model.levels), "context": no_contexts(context), "key": NO_KEYS}
    bad |= {"num_samples": NO_COUNTS, "method": NO_METHODS, "temperature": NO_TEMPERATURES}
    bad["optional key"] = [key for key in NO_KEYS if key is not None]
    if isinstance(model, Density):  # of whole numbers, and of infinite ones, it is right
        bad["x"] = [*no_data(x, None)[:-5], np.full_like(x, NAN)]
    head = getattr(getattr(model, "model", None), "likelihood", None)
    if isinstance(head, likelihoods.Columns):  # of which a row may hold whole numbers alone
        beyond, _, _, *infinite = no_values(x, None)
        bad["x"] = [*no_shapes(x), beyond, *infinite]
    shapes = {"x": no_shapes(x), "key": NO_KEYS, "context": bad["context"][:NUM_KINDS]}
    if model.exactness == "exact":
        yield Call("log_prob", {"x": x, **given}, bad | {"key": bad["optional key"]})
    yield Call("elbo", {"x": x, "key": KEY, **given}, bad | {"dropout_key": bad["optional key"]})
    yield Call("importance_log_prob", {"x": x, "key": KEY, "num_samples": 2, **given}, bad)
    one = {} if context is None else {"context": context[0]}
    # Samples may be given any batch of contexts.
    bad_here = bad | {"context": no_contexts(context, any_batch=True)}
    yield Call("sample", {"key": KEY, "num_samples": 2, **one}, bad_here)
    bad_pairs = {name: bad_here[name] for name in ("key", "num_samples", "context", "method")}
    if model.exactness == "exact":
        yield Call("sample_and_log_prob", {"key": KEY, "num_samples": 2, **one}, bad_pairs)
    if model.has_cdf:
        yield Call("conditional_cdf", {"x": x, **given}, bad)
    yield Call("initialize", {"x": x, "key": KEY, **given}, shapes)
    yield Call("calibrate", {"x": x, "key": KEY, **given}, shapes)
    if model.latent_shape is not None:
        z = np.zeros((4, *model.latent_shape), np.float32)
        yield Call("infer", {"x": x, **given}, bad | {"key": bad["optional key"]})
        yield Call("decode", {"z": z, **given}, bad | {"z": no_data(z, levels_of_latents(model))})
        yield Call("reconstruct", {"x": x, **given}, bad | {"key": bad["optional key"]})
    if model.grid_shape is not None:
        observed = np.zeros(model.grid_shape, bool)
        bad |= {"observed": no_masks(model.grid_shape)}
        given |= {"x": x, "observed": observed}
        # What is missing is not read.
        there = bad | {"x": no_arrays(x)}
        yield Call("complete", {"key": KEY, "num_samples": 1, **given}, there)
        yield Call("conditional_log_prob", given, bad)


def calls_of_bijector(bijector, example):
    x, context = example.data().astype(np.float32), example.context(bijector)
    given = {} if context is None else {"context": context}
    bad_context = no_contexts(context) if context is not None else ["x", {}, object()]
    base = bijector.side_shape("base")
    z = np.zeros((4, *(example.event if base is None else base)), np.float32)
    no_shape = bijector.side_shape("data") is None
    for name, value in (("x", x), ("z", z)):
        bad = no_arrays(value) + no_values(value, None)[:3]
        bad += [] if no_shape else [np.zeros((*value.shape, 7), np.float32)]
        bad += [] if bijector.event_ndims == 0 else [np.float32(0)]
        methods = ("inverse", "inverse_log_det", "initialize", "calibrate")
        for method in methods if name == "x" else ("forward", "forward_and_log_det"):
            own = next(iter(inspect.signature(getattr(bijector, method)).parameters))
            bad_arguments = {own: bad, "context": bad_context}
            yield Call(method, {own: value, **given}, bad_arguments, positional=1)


def calls_of_conditional(conditional, example):
    x, context = example.data().astype(np.float32), example.context(conditional)
    given = {} if context is None else {"context": context}
    size, batch = conditional.num_positions, (4,)
    bad = {"x": no_shapes(x), "order": no_orders(size)}
    bad |= {"context": no_contexts(context) if context is not None else ["x", {}, object()]}
    bad |= {"key": [key for key in NO_KEYS if key is not None]}
    bad |= {"n": (-1, size + 1, 1.5, "1", None, True, {}, NAN, np.zeros(2, int))}
    bad |= {"batch": (None, 4, "44", (-1,), (1.5,), (None,), NAN, ("4",))}
    bad |= {"cache": (None, 0, {}, (1, 2), np.zeros(4), "cache")}
    bad |= {"t": (-1, size, 0.5, "0", None, {}, NAN, np.zeros(2, int))}
    bad |= {"method": NO_METHODS, "emit": (None, "emit", 0, {})}
    shape = (4, *conditional.position_shape)
    bad |= {"x_previous": no_arrays(np.zeros(shape))}
    bad["x_previous"] += [np.zeros((*shape, 7))] if conditional.position_shape else []
    yield Call("__call__", {"x": x, **given}, bad)
    yield Call("init_cache", {"batch": batch, **given}, bad)
    yield Call("prefill", {"x": x, "n": 1, **given}, bad)
    yield Call("generate", {"emit": lambda t, params: (0, 0), "batch": batch, **given}, bad)
    cache = Cache(None, None)
    yield Call("step", {"cache": cache, "t": 0, "x_previous": np.zeros(shape)}, bad)


def problems_of(member, calls):
    problems = []
    for call in calls:
        method = getattr(member, call.method)
        names = inspect.signature(method).parameters
        for name in (name for name in names if name in call.bad):
            for value in call.bad[name]:
                given = call.good | {name: value}
                first = [given.pop(each) for each in list(names)[: call.positional]]
                problem = wrong(functools.partial(method, *first, **given))
                if problem is not None:
                    what = f"{type(member).__name__}.{call.method}({name}={reprlib.repr(value)})"
                    problems.append((what, problem))
    return problems


CALLS = {
    "bijector": (registry.BIJECTORS, calls_of_bijector),
    "conditional": (registry.CONDITIONALS, calls_of_conditional),
    "model": (registry.MODELS, calls_of_model),
}
# Members that differ in the code that their arguments meet first.
QUICK = {
    "model": ("standard normal", "class-conditional normal", "maf", "nade", "rnade", "fvsbn"),
    "bijector": ("actnorm image", "chain", "maf context", "scan", "squeeze", "tanh"),
    "conditional": ("made", "made context", "nade", "lstm"),
}


def members():
    for kind, (examples, _) in CALLS.items():
        for name in examples:
            marks = () if name in QUICK[kind] else pytest.mark.slow
            yield pytest.param(kind, name, marks=marks, id=f"{kind} {name}")


@pytest.mark.parametrize(("kind", "name"), list(members()))
def test_calls(kind, name):
    examples, calls_of = CALLS[kind]
    member = examples[name].make(nnx.Rngs(0))
    report(problems_of(member, calls_of(member, examples[name])))


TRANSFORMS_AND_HEADS = {
    **{f"transform {name}": make for name, make in registry.TRANSFORMS.items()},
    **{f"likelihood {name}": make for name, make in registry.LIKELIHOODS.items()},
}


@pytest.mark.parametrize("name", TRANSFORMS_AND_HEADS)
def test_calls_with_parameters(name):
    member = TRANSFORMS_AND_HEADS[name]()
    count = member.num_params(())
    values = np.zeros(3, int if getattr(member, "levels", None) else np.float32)
    params = np.zeros((3, count), np.float32)
    no_params = [*no_arrays(params), params[:, :-1], np.zeros((4, count)), np.zeros((3, count, 7))]
    no_params += [params.astype(int), np.float32(0)]
    bad = {"params": no_params, "value": no_arrays(values), "z": no_arrays(values)}
    bad |= {"x": bad["z"], "noise": no_arrays(params), "position_shape": (4, "4", (-1,), None, NAN)}
    good = {"value": values, "params": params, "noise": params, "position_shape": ()}
    methods = ("log_prob", "sample", "check") if "likelihood" in name else ("forward", "inverse")
    calls = []
    for method in methods:
        names = inspect.signature(getattr(member, method)).parameters
        own = {each: good.get(each, values) for each in names}
        calls.append(Call(method, own, {each: bad[each] for each in names}, len(names)))
    report(problems_of(member, calls))


# --- data ---

REALS, LEVELS = np.zeros((6, 4), np.float32), np.zeros((6, 4), int)
NO_WORDS = (None, 5, {}, "no such", NAN)
NO_TABLES = [*no_arrays(REALS), 5, NAN, np.zeros((0, 4)), np.zeros(())]
NO_LABELS = ("x", 5, {}, [1, 2], np.zeros(6), np.zeros((6, 1), int), np.full(6, 10**12))
NO_LEVELS = (0, 1, -1, 1.5, "x", {}, NAN, True, 10**30)
SMALL = Dataset("small", "train", LEVELS, levels=4)

DATA = {
    "real data": (
        Dataset,
        {"name": "any", "split": "train", "x": REALS},
        {
            "x": [*NO_TABLES, np.full((6, 4), NAN), LEVELS, REALS > 0],
            "split": NO_WORDS,
            "y": NO_LABELS,
            "levels": NO_LEVELS,
        },
    ),
    "levels": (
        Dataset,
        {"name": "any", "split": "train", "x": LEVELS, "levels": 4},
        {
            "x": [*NO_TABLES, LEVELS - 1, LEVELS + 4, LEVELS + 0.5],
            "levels": NO_LEVELS,
            "lengths": ("x", 5, {}, [1, 2], np.zeros(6), np.zeros(6, int), np.full(6, 9)),
            "rate": (-1, 0, "x", NAN, {}, 1.5),
        },
    ),
    "crops": (SMALL.crops, {}, {"size": (0, -1, 1.5, "x", None, {}, 10**12, NAN, True, 5)}),
    "quantized": (SMALL.quantized, {}, {"levels": (0, 1, -1, 1.5, "x", None, {}, 10**12, NAN)}),
    "binarized": (SMALL.binarized, {}, {"seed": (-1, 1.5, "x", None, {}, NAN)}),
    "reshaped": (
        SMALL.reshaped,
        {},
        {"event_shape": ((3,), 5, "x", None, (2.0, 2.0), (-1, -4), {}, NAN, (2, -1), ())},
    ),
    "load": (load, {"spec": "toy:rings"}, {"spec": (*NO_WORDS, "toy:no", ""), "split": NO_WORDS}),
    "draw": (
        draw,
        {"name": "rings", "rng": np.random.default_rng(0), "num_examples": 3},
        {
            "name": NO_WORDS,
            "rng": (None, 0, "x", KEY),
            "num_examples": (-1, 1.5, "x", None, NAN, 10**15, True),
        },
    ),
    **{
        f"mu-law {function.__name__}": (function, {}, {name: no_arrays(REALS)[:-5] + more})
        for function, name, more in (
            (companding.encode, "x", [LEVELS, REALS + NAN, REALS - 1000]),
            (companding.decode, "codes", [REALS, LEVELS - 1, LEVELS + 256]),
            (companding.from_pcm, "pcm", [REALS, LEVELS]),
            (companding.to_pcm, "codes", [REALS, LEVELS - 1, LEVELS + 256]),
        )
    },
}


@pytest.mark.parametrize("name", DATA)
def test_data(name):
    function, good, bad = DATA[name]
    problems = []
    for argument, values in bad.items():
        for value in values:
            problem = wrong(functools.partial(function, **good | {argument: value}))
            if problem is not None:
                problems.append((f"{name}({argument}={reprlib.repr(value)})", problem))
    report(problems)


# --- helpers ---

NO_LENGTHS = (0, -1, 2.5, "3", None, NAN, True, (3,), 10**12, np.zeros(2), {})
NO_DTYPES = ("bf16", int, "no such", 3, {}, object(), np.zeros(2), bool)
HELPERS = {
    "summary": (jaxgen.summary, {"module": BINARY}, {"module": NO_MODULES}),
    "num_parameters": (jaxgen.num_parameters, {"model": BINARY}, {"model": NO_MODULES}),
    "compute_in": (
        jaxgen.compute_in,
        {"model": BINARY, "dtype": "bfloat16"},
        {"model": NO_MODULES, "dtype": NO_DTYPES},
    ),
    "freeze": (
        jaxgen.freeze,
        {"model": BINARY, "where": None},
        {"model": NO_MODULES, "where": (3, {}, NAN, ("a",), np.zeros(2), True)},
    ),
    "a vocabulary": (Vocabulary, {}, {"characters": (5, ("a", "b"), {}, NAN, b"ab", True)}),
    "encode": (Vocabulary("abc").encode, {}, {"text": (5, None, ["a"], b"a", {}, NAN)}),
    "encode bytes": (Vocabulary().encode, {}, {"text": (5, None, ["a"], b"a", {}, NAN)}),
    "decode": (
        Vocabulary("abc").decode,
        {},
        {"levels": (5, None, [1.5], "a", [None], [NAN], np.ones(2), np.ones((2, 2), int), [-1])},
    ),
    "a model of another length": (STATIONARY.with_length, {}, {"length": NO_LENGTHS}),
    "a network of another length": (STATIONARY.conditional.with_length, {}, {"length": NO_LENGTHS}),
}


@pytest.mark.parametrize("name", HELPERS)
def test_helpers(name):
    function, good, bad = HELPERS[name]
    problems = []
    for argument, values in bad.items():
        for value in values:
            call = functools.partial(function, **good | {argument: value})
            problem = wrong(call, argument)
            if problem is not None:
                problems.append((f"{name}({argument}={reprlib.repr(value)})", problem))
    report(problems)


# --- what is as good as an array ---

FORMS = {
    "a list": lambda x: x.tolist(),
    "double precision": lambda x: x.astype(np.float64 if x.dtype.kind == "f" else np.int64),
    "another byte order": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "a view backwards": lambda x: x[::-1].copy()[::-1],
    "a masked array that masks nothing": lambda x: np.ma.masked_array(x),
    "jax's": lambda x: jax.numpy.asarray(x),
}


@pytest.mark.parametrize("name", ["diagonal normal", "flow", "fvsbn"])
def test_other_forms_of_the_data_give_the_same_answer(name):
    example = registry.MODELS[name]
    model = example.make(nnx.Rngs(0))
    x = example.data(model.levels)
    x = x.astype(np.float32 if model.levels is None else np.uint16)
    expected = model.log_prob(x)
    assert np.isfinite(expected).all()
    for what, form in FORMS.items():
        COUNTS["calls"] += 1
        np.testing.assert_allclose(model.log_prob(form(x)), expected, rtol=1e-6, err_msg=what)
        COUNTS["right answers"] += 1
