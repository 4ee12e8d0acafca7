"""Models of PyTorch's libraries, timed for peers.py in an environment of their own.

    python benchmarks/torch_peers.py [--small]

It reads lines ``model library task`` and answers each with the seconds of one call; the task
``build`` is to build the model anew. See README.md for the environment.

- ``glow``: images of 32x32x3, 3 levels of 8 steps, coupling networks of 3x3, 1x1 and 3x3
  convolutions with 64 features, LU-parametrised 1x1 convolutions, batches of 16; of normflows, and
  put together of nflows' parts.
- ``made``: 784 binary entries, one hidden layer of 500 units, batches of 100; of nflows.
"""

import argparse
import sys
import time
from collections.abc import Callable

import nflows.distributions
import nflows.flows
import nflows.transforms
import nflows.utils
import normflows
import torch
from nflows.transforms.made import MADE
from torch import Tensor, nn

# Side of an image, levels, steps of a level, features, batch; entries, units, batch.
Glow = tuple[int, int, int, int, int]
Made = tuple[int, int, int]


class Model:
    """A model, what its tasks are called with, and an optimizer."""

    def __init__(
        self,
        module: nn.Module,
        log_prob: Callable[[Tensor], Tensor],
        sample: Callable[[int], Tensor] | None,
        x: Tensor,
    ):
        self.module, self.x = module, x
        self.log_prob, self.draw = log_prob, sample
        with torch.no_grad():
            log_prob(x)  # activation normalisations start from it
            for parameter in module.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
        self.adam = torch.optim.Adam(module.parameters(), 1e-3)

    def density(self) -> None:
        with torch.no_grad():
            self.log_prob(self.x)

    def train(self) -> None:
        self.adam.zero_grad()
        (-self.log_prob(self.x).mean()).backward()
        self.adam.step()

    def sample(self) -> None:
        with torch.no_grad():
            self.draw(len(self.x))


def glow_of_normflows(sizes: Glow) -> Model:
    """Its own Glow blocks."""
    side, levels, steps, width, batch = sizes
    flows, merges, bases = [], [], []
    for i in range(levels):
        channels = 3 * 2 ** (levels + 1 - i)
        blocks = [normflows.flows.GlowBlock(channels, width) for _ in range(steps)]
        flows.append([*blocks, normflows.flows.Squeeze()])
        shape = (channels if i == 0 else channels // 2, *[side // 2 ** (levels - i)] * 2)
        bases.append(normflows.distributions.DiagGaussian(shape))
        if i > 0:
            merges.append(normflows.flows.Merge())
    module = normflows.MultiscaleFlow(bases, flows, merges)
    x = torch.randn(batch, 3, side, side)
    return Model(module, lambda x: module.log_prob(x, None), lambda num: module.sample(num)[0], x)


def glow_of_nflows(sizes: Glow) -> Model:
    """Its parts in Glow's order."""
    side, levels, steps, width, batch = sizes
    parts = nflows.transforms

    def network(before: int, after: int) -> nn.Module:
        return ConvNet(before, width, after)

    def step(channels: int) -> nn.Module:
        mask = nflows.utils.create_mid_split_binary_mask(channels)
        return parts.CompositeTransform(
            [
                parts.ActNorm(channels),
                parts.OneByOneConvolution(channels),
                parts.AffineCouplingTransform(mask, network),
            ]
        )

    scales = parts.MultiscaleCompositeTransform(levels)
    shape = (3, side, side)
    for _ in range(levels):
        squeeze = parts.SqueezeTransform()
        shape = squeeze.get_output_shape(*shape)
        level = [squeeze, *(step(shape[0]) for _ in range(steps))]
        shape = scales.add_transform(parts.CompositeTransform(level), shape)
    base = nflows.distributions.StandardNormal((3 * side * side,))
    flow = nflows.flows.Flow(scales, base)
    return Model(flow, flow.log_prob, flow.sample, torch.randn(batch, 3, side, side))


class ConvNet(nn.Module):
    """Glow's network, as nflows' couplings call it."""

    def __init__(self, before: int, width: int, after: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, after, 3, padding=1),
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(x)


def made_of_nflows(sizes: Made) -> Model:
    """Its MADE without a residual block has one hidden layer."""
    entries, units, batch = sizes
    module = MADE(entries, units, num_blocks=0, use_residual_blocks=False)
    loss = nn.BCEWithLogitsLoss(reduction="none")
    x = torch.randint(0, 2, (batch, entries)).float()
    return Model(module, lambda x: -loss(module(x), x).sum(-1), None, x)


BUILDERS = {
    ("glow", "normflows"): glow_of_normflows,
    ("glow", "nflows"): glow_of_nflows,
    ("made", "nflows"): made_of_nflows,
}
SIZES = {"glow": (32, 3, 8, 64, 16), "made": (784, 500, 100)}
SMALL = {"glow": (8, 2, 1, 4, 2), "made": (6, 4, 2)}


def main() -> None:
    """Answers until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run?")
    sizes = SMALL if parser.parse_args().small else SIZES
    models: dict[tuple[str, str], Model] = {}
    for line in sys.stdin:
        name, library, task = line.split()
        build = BUILDERS[name, library]
        if task != "build" and (name, library) not in models:
            models[name, library] = build(sizes[name])
        began = time.perf_counter()
        if task == "build":
            build(sizes[name])
        else:
            getattr(models[name, library], task)()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
