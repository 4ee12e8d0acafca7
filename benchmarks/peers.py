"""Flows beside those of other libraries: density, sampling and training step.

    python benchmarks/peers.py [--torch PYTHON] [--repeats 30] [--small] [--out peers.json]

- A masked autoregressive flow of 43 dimensions: 5 affine layers, width 512 and depth 2, or 10 of
  width 100; beside FlowJAX and TensorFlow Probability (on JAX).
- A spline coupling flow of 43 dimensions: 10 layers with multilayer perceptrons of width 128 and
  depth 2, rational-quadratic splines of 8 bins on [-3, 3]; beside FlowJAX and distrax.
- Glow of 32x32x3 images, 3 levels of 8 steps, and a MADE of 784 binary entries, beside libraries of
  PyTorch (``torch_peers.py``, run by the Python of their own environment, see README.md).
- That Glow built in a process that has done nothing else; and the first flow called on one example
  outside of ``jax.jit``, as in a notebook, with how many programs the calls compile.

Density and sampling take 1000 examples, a training step takes 100 (Adam); of
images all take 16, of MADE 100.
Everything is float32 and jitted, with the parameters as arguments; layers keep each library's own
way (ours and FlowJAX scan, distrax and TFP unroll), and alternation, too (ours and TFP reverse the
entries, FlowJAX permutes them, distrax's couplings exchange roles). Calls take turns, also with
those of the other process, three in a row of which the last is timed, as in a loop; printed are
medians and spreads, and the ratio of our time to that of the fastest peer in the same round, beside
the aim.
"""

import argparse
import functools
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import equinox
import flowjax.bijections
import flowjax.distributions
import flowjax.flows
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from flax import nnx
from jax import Array
from tensorflow_probability.substrates import jax as tfp
from timing import Times, interleaved, milliseconds, ratio

from jaxgen import zoo
from jaxgen.bijectors import Chain, Coupling, Flip, Scan
from jaxgen.core import partition
from jaxgen.functional import masks
from jaxgen.models import Flow, StandardNormal
from jaxgen.networks import MLP
from jaxgen.testing import perturb
from jaxgen.transforms import RationalQuadraticSpline

BOUND, FLOOR = 3.0, 1e-3


class Sizes(NamedTuple):
    """The sizes of a flow, and of what it is given."""

    dimensions: int = 43
    layers: int = 10
    width: int = 128
    bins: int = 8
    batch: int = 1000
    training_batch: int = 100


class Peer(NamedTuple):
    """A flow as pure functions of its parameters."""

    params: Any
    log_prob: Callable[[Any, Array], Array]
    sample: Callable[[Any, Array, int], Array]


def of_jaxgen(flow: Flow) -> Peer:
    """Ours, with weights off their zero start."""
    params, rebuild = partition(perturb(flow, jax.random.key(1), 0.1))
    return Peer(
        params,
        lambda params, x: rebuild(params).log_prob(x),
        lambda params, key, num: rebuild(params).sample(key, num),
    )


def of_flowjax(flow: flowjax.distributions.AbstractDistribution) -> Peer:
    """FlowJAX's."""
    params, static = equinox.partition(flow, equinox.is_inexact_array)

    def rebuild(params: Any) -> flowjax.distributions.AbstractDistribution:
        return paramax.unwrap(equinox.combine(params, static))

    return Peer(
        params,
        lambda params, x: rebuild(params).log_prob(x),
        lambda params, key, num: rebuild(params).sample(key, (num,)),
    )


def of_bijector(params: Any, bijector: Callable[[Any], Any], dimensions: int) -> Peer:
    """A distrax bijector on a standard normal."""

    def flow(params: Any) -> distrax.Transformed:
        base = distrax.MultivariateNormalDiag(jnp.zeros(dimensions), jnp.ones(dimensions))
        return distrax.Transformed(base, bijector(params))

    return Peer(
        params,
        lambda params, x: flow(params).log_prob(x),
        lambda params, key, num: flow(params).sample(seed=key, sample_shape=(num,)),
    )


def dense_layers(key: Array, *widths: int) -> list[tuple[Array, Array]]:
    """Weights and biases of a multilayer perceptron, the last layer close to zero."""
    layers = []
    for below, above in itertools.pairwise(widths):
        key, sub = jax.random.split(key)
        scale = 0.01 if len(layers) == len(widths) - 2 else (2.0 / below) ** 0.5
        layers.append((scale * jax.random.normal(sub, (below, above)), jnp.zeros(above)))
    return layers


def dense(layers: list[tuple[Array, Array]], x: Array) -> Array:
    """The multilayer perceptron."""
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def spline_couplings(sizes: Sizes) -> dict[str, Peer]:
    """The spline coupling flow in three libraries."""
    dimensions, width = sizes.dimensions, sizes.width
    half = dimensions // 2

    def step(rngs: nnx.Rngs) -> Chain:
        def network(n: int, m: int) -> MLP:
            return MLP(n, m, hidden=(width, width), rngs=rngs)

        spline = RationalQuadraticSpline(sizes.bins, BOUND)
        coupling = Coupling((dimensions,), network, spline)
        return Chain([coupling, Flip()])

    ours = Flow(Scan(step, sizes.layers, rngs=nnx.Rngs(0)), StandardNormal((dimensions,)))
    theirs = flowjax.flows.coupling_flow(
        jax.random.key(0),
        base_dist=flowjax.distributions.StandardNormal((dimensions,)),
        transformer=flowjax.bijections.RationalQuadraticSpline(
            knots=sizes.bins - 1, interval=BOUND
        ),
        flow_layers=sizes.layers,
        nn_width=width,
        nn_depth=2,
    )

    # Its halves exchange roles from layer to layer, instead of a permutation.
    params = []
    keys = jax.random.split(jax.random.key(0), sizes.layers)
    for key, swap in zip(keys, swaps(sizes.layers), strict=True):
        kept = dimensions - half if swap else half
        outputs = (dimensions - kept) * (3 * sizes.bins + 1)
        params.append(dense_layers(key, kept, width, width, outputs))

    def chain(params: Any) -> distrax.Bijector:
        def coupling(layers: Any, swap: bool) -> distrax.Bijector:
            def conditioner(kept: Array) -> Array:
                out = dense(layers, kept)
                return out.reshape(*kept.shape[:-1], -1, 3 * sizes.bins + 1)

            def spline(params: Array) -> distrax.Bijector:
                return distrax.RationalQuadraticSpline(
                    params, -BOUND, BOUND, "identity", 2.0 * BOUND * FLOOR, FLOOR
                )

            return distrax.SplitCoupling(half, 1, conditioner, spline, swap=swap)

        pairs = zip(params, swaps(len(params)), strict=True)
        return distrax.Chain([coupling(*pair) for pair in pairs])

    return {
        "jaxgen": of_jaxgen(ours),
        "FlowJAX": of_flowjax(theirs),
        "distrax": of_bijector(params, chain, dimensions),
    }


def swaps(layers: int) -> list[bool]:
    """Whether a layer changes the first half instead of the second."""
    return [bool(layer % 2) for layer in range(layers)]


def our_maf(sizes: Sizes) -> Flow:
    hidden = (sizes.width, sizes.width)
    return zoo.maf(
        (sizes.dimensions,), layers=sizes.layers, hidden=hidden, norm=None, rngs=nnx.Rngs(0)
    )


def autoregressive(sizes: Sizes) -> dict[str, Peer]:
    """The masked autoregressive flow in three libraries."""
    dimensions, width = sizes.dimensions, sizes.width
    theirs = flowjax.flows.masked_autoregressive_flow(
        jax.random.key(0),
        base_dist=flowjax.distributions.StandardNormal((dimensions,)),
        flow_layers=sizes.layers,
        nn_width=width,
        nn_depth=2,
    )

    rank = jnp.arange(dimensions)
    degrees = masks.hidden_degrees(width, dimensions, lowest=1)
    visible = [
        masks.mask(rank + 1, degrees),
        masks.mask(degrees, degrees),
        np.repeat(np.asarray(masks.mask(degrees, rank)), 2, axis=1),
    ]
    keys = jax.random.split(jax.random.key(0), sizes.layers)
    params = [dense_layers(key, dimensions, width, width, 2 * dimensions) for key in keys]

    def chain(params: Any) -> tfp.bijectors.Bijector:
        def made(layers: Any) -> tfp.bijectors.Bijector:
            masked = [(w * mask, b) for (w, b), mask in zip(layers, visible, strict=True)]

            def shift_and_log_scale(x: Array) -> Array:
                return dense(masked, x).reshape(*x.shape, 2)

            return tfp.bijectors.MaskedAutoregressiveFlow(shift_and_log_scale)

        reverse = tfp.bijectors.Permute(np.arange(dimensions)[::-1])
        return tfp.bijectors.Chain(
            [bijector for layers in params for bijector in (made(layers), reverse)]
        )

    def flow(params: Any) -> tfp.distributions.Distribution:
        base = tfp.distributions.MultivariateNormalDiag(jnp.zeros(dimensions))
        return tfp.distributions.TransformedDistribution(base, chain(params))

    return {
        "jaxgen": of_jaxgen(our_maf(sizes)),
        "FlowJAX": of_flowjax(theirs),
        "TFP": Peer(
            params,
            lambda params, x: flow(params).log_prob(x),
            lambda params, key, num: flow(params).sample(num, seed=key),
        ),
    }


def glow(sizes: Sizes) -> dict[str, Peer]:
    """Ours; the others' are in torch_peers.py."""
    return {"jaxgen": of_jaxgen(our_glow(sizes))}


def our_glow(sizes: Sizes) -> Flow:
    levels, steps = (2, 1) if sizes == SMALL else (3, 8)
    return zoo.glow(
        image_shape(sizes), levels=levels, steps=steps, width=sizes.width, rngs=nnx.Rngs(0)
    )


def image_shape(sizes: Sizes) -> tuple[int, int, int]:
    return (8, 8, 3) if sizes == SMALL else (32, 32, 3)


def made(sizes: Sizes) -> dict[str, Peer]:
    """Ours; the other's is in torch_peers.py."""
    hidden = (sizes.width,)  # and no connection from inputs to outputs, as theirs
    model = zoo.made((sizes.dimensions,), hidden=hidden, direct=False, rngs=nnx.Rngs(0))
    return {"jaxgen": of_jaxgen(model)}


def vectors(sizes: Sizes) -> Array:
    return jax.random.normal(jax.random.key(2), (sizes.batch, sizes.dimensions))


def images(sizes: Sizes) -> Array:
    return jax.random.normal(jax.random.key(2), (sizes.batch, *image_shape(sizes)))


def bits(sizes: Sizes) -> Array:
    return jax.random.bernoulli(jax.random.key(2), 0.5, (sizes.batch, sizes.dimensions)).astype(int)


class Comparison(NamedTuple):
    """What is built and scored, its sizes, the aims of its tasks, and who else runs elsewhere."""

    build: Callable[[Sizes], dict[str, Peer]]
    examples: Callable[[Sizes], Array]
    sizes: Sizes
    aims: dict[str, float]
    elsewhere: tuple[str, ...] = ()


SMALL = Sizes(3, 2, 4, 2, 4, 2)
COMPARISONS = {
    "maf": Comparison(
        autoregressive,
        vectors,
        Sizes(layers=5, width=512),
        {"density": 0.7, "train": 0.75, "sample": 0.05},
    ),
    "narrow maf": Comparison(autoregressive, vectors, Sizes(width=100), {"density": 0.9}),
    "splines": Comparison(
        spline_couplings, vectors, Sizes(), {"density": 0.5, "train": 0.55, "sample": 0.45}
    ),
    "glow": Comparison(
        glow,
        images,
        Sizes(width=64, batch=16, training_batch=16),
        {"density": 0.8, "train": 0.9, "sample": 0.8},
        ("normflows", "nflows"),
    ),
    "made": Comparison(made, bits, Sizes(784, width=500, batch=100), {"density": 1.0}, ("nflows",)),
}


def calls(
    peers: dict[str, Peer], x: Array, sizes: Sizes
) -> dict[str, dict[str, Callable[[], Any]]]:
    """What is timed: for each task, each library's jitted call."""
    key = jax.random.key(3)
    adam = optax.adam(1e-3)

    def density(peer: Peer) -> Callable[[], Any]:
        run = jax.jit(peer.log_prob)
        return lambda: run(peer.params, x)

    def sample(peer: Peer) -> Callable[[], Any]:
        run = jax.jit(peer.sample, static_argnums=2)
        return lambda: run(peer.params, key, sizes.batch)

    def train(peer: Peer) -> Callable[[], Any]:
        @jax.jit
        def step(params: Any, state: Any, x: Array) -> tuple[Any, Any, Array]:
            def loss(params: Any) -> Array:
                return -jnp.mean(peer.log_prob(params, x))

            value, gradients = jax.value_and_grad(loss)(params)
            updates, state = adam.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, value

        state, batch = adam.init(peer.params), x[: sizes.training_batch]
        return lambda: step(peer.params, state, batch)

    tasks = {"density": density, "train": train, "sample": sample}
    return {
        task: {name: make(peer) for name, peer in peers.items()} for task, make in tasks.items()
    }


class Elsewhere:
    """The libraries of PyTorch in a process of their own, see torch_peers.py."""

    def __init__(self, python: str, small: bool):
        script = pathlib.Path(__file__).with_name("torch_peers.py")
        command = [python, "-W", "ignore", str(script), *(["--small"] if small else [])]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def seconds(self, model: str, library: str, task: str) -> float:
        """Of one call there."""
        print(model, library, task, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def report(task: str, times: Times, aim: float | None) -> dict[str, Any]:
    """Prints every library's time, and ours in units of the fastest peer's."""
    for name, seconds in times.items():
        print(f"  {task:8} {name:9} {milliseconds(seconds)}")
    found = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
    if len(found) > 1:
        fastest = min((name for name in found if name != "jaxgen"), key=lambda name: found[name])
        quotient = ratio(times["jaxgen"], times[fastest])
        print(f"  {task:8} jaxgen / {fastest}: {quotient}, aim at most {aim}", flush=True)
        found |= {"ratio": found["jaxgen"] / found[fastest], "aim": aim}
    return found


def eager(flow: Flow, x: Array, repeats: int) -> dict[str, float]:
    """Prints the time of a call outside of jit, and how many programs repeated calls compile."""
    run, compiled = jax.jit(Flow.log_prob), []
    calls = {"jitted": lambda: run(flow, x), "eager": lambda: flow.log_prob(x)}
    interleaved(calls, 1)

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    times = interleaved(calls, repeats)
    for name, seconds in times.items():
        print(f"  {name:8} {milliseconds(seconds)}")
    print(f"  eager    {len(compiled)} programs compiled in {repeats} calls; aim 2 ms, and none")
    medians = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
    return medians | {"aim": 2.0, "compiled": len(compiled)}


def build_glow(sizes: Sizes) -> None:
    """Prints the seconds that it takes in a process that has done nothing else."""
    began = time.perf_counter()
    jax.block_until_ready(jax.tree.leaves(our_glow(sizes)))
    print(time.perf_counter() - began)


def building(python: str | None, small: bool) -> dict[str, Any]:
    """Prints the seconds to build a Glow from a cold start, here and in PyTorch's libraries."""
    command = [sys.executable, __file__, "--build", *(["--small"] if small else [])]
    ours = [float(subprocess.check_output(command, text=True)) for _ in range(3)]
    times = {"jaxgen": ours}
    for library in COMPARISONS["glow"].elsewhere if python else ():
        times[library] = [Elsewhere(python, small).seconds("glow", library, "build") for _ in ours]
    return report("build", times, 1.0)


def main() -> None:
    """Prints times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--torch", metavar="PYTHON", help="of the environment with PyTorch")
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=[*COMPARISONS])
    parser.add_argument("--out", type=pathlib.Path, help="where to write the medians, as JSON")
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        return build_glow(SMALL if options.small else COMPARISONS["glow"].sizes)
    found: dict[str, Any] = {}
    for name in options.only:
        comparison = COMPARISONS[name]
        sizes = SMALL if options.small else comparison.sizes
        print(f"{name}: {sizes}")
        x, peers, found[name] = comparison.examples(sizes), comparison.build(sizes), {}
        known = options.torch and comparison.elsewhere
        there = Elsewhere(options.torch, options.small) if known else None
        for task, timed in calls(peers, x, sizes).items():
            if task not in comparison.aims:
                continue
            for library in comparison.elsewhere if there else ():
                timed[library] = functools.partial(there.seconds, name, library, task)
            times = interleaved(timed, options.repeats, pause=0.02 if there else 0.0, lead=2)
            found[name][task] = report(task, times, comparison.aims[task])
        if name == "glow":
            found[name]["build"] = building(options.torch, options.small)
        if name == "maf":
            found[name]["eager"] = eager(our_maf(sizes), x[:1], options.repeats)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
