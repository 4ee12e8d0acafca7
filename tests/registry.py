"""Small examples of every member: adding a member to the library is adding a line here.

An entry is a factory ``rngs -> member``; the data that a check needs are made to fit. Members are
tiny, because a check costs what it compiles.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen import likelihoods, transforms, zoo
from jaxgen.bijectors import (
    ActNorm,
    Alternating,
    BatchNorm,
    Bounded,
    Chain,
    Channels,
    Checkerboard,
    Circle,
    Conv1x1,
    Coupling,
    DenseMatrix,
    Elementwise,
    Flip,
    HouseholderMatrix,
    Inverse,
    Logit,
    MaskedAutoregressive,
    Permutation,
    Planar,
    Random,
    Reshape,
    Rotation,
    Scan,
    Split,
    Squeeze,
    Standardize,
    Sylvester,
    Tanh,
    Tokens,
    from_distrax,
)
from jaxgen.conditionals import (
    FVSBN,
    MADE,
    NADE,
    CausalTransformer,
    DiagonalBiLSTM,
    EoNADE,
    GatedPixelCNN,
    Growing,
    Independent,
    LMConv,
    Markov,
    PeriodicConditional,
    PixelCNN,
    PixelCNNPP,
    Recurrent,
    RowLSTM,
    WaveNet,
)
from jaxgen.models import (
    VAE,
    Autoregressive,
    ClassConditionalNormal,
    Cylinder,
    Dequantized,
    DiagonalNormal,
    Embedded,
    Ensemble,
    Factorized,
    Flow,
    Logistic,
    Mixture,
    MultiScale,
    MultivariateNormal,
    Nearest,
    StandardNormal,
    StudentT,
    TopDown,
    Uniform,
    VampPrior,
    VonMises,
)
from jaxgen.networks import (
    MLP,
    ConvResNet,
    Embedding,
    FeaturePyramid,
    FirstState,
    GatedResNet,
    Periodic,
    Readout,
    Update,
    Upsampling,
    VisionTransformer,
)


class Example(NamedTuple):
    """A member and what its check needs to know."""

    make: Callable[[nnx.Rngs], Any]
    event: tuple[int, ...]
    bounds: Any = None  # of real data, (low, high) for all or each; None for the whole line
    options: dict[str, Any] = {}  # noqa: RUF012  # passed on to the check; eager is False else
    labels: int | None = None  # contexts are labels of so many classes; None for real contexts
    slow: bool = False

    def data(self, levels: int | None = None) -> np.ndarray:
        """Four examples."""
        rng = np.random.default_rng(1)
        if levels is not None:
            return rng.integers(0, min(levels, 1000), (4, *self.event))
        if self.bounds is not None:
            return self._inside(rng, *np.asarray(self.bounds, float).T)
        return rng.normal(size=(4, *self.event))

    def _inside(self, rng: np.random.Generator, low: Any, high: Any) -> np.ndarray:
        """Data between ends, of which any may be infinite."""
        normal, above, below = (
            rng.normal(size=(4, *self.event)),
            np.isfinite(low),
            np.isfinite(high),
        )
        share = np.random.default_rng(1).uniform(0.02, 0.98, normal.shape)
        with np.errstate(invalid="ignore"):
            both = low + (high - low) * share
            half = np.where(above, low + np.exp(normal), high - np.exp(normal))
        return np.where(above & below, both, np.where(above | below, half, normal))

    def context(self, member: Any) -> np.ndarray | None:
        """Contexts for the four examples, if the member takes any."""
        if member.context_shape is None:
            return None
        if self.labels is not None:
            return np.random.default_rng(2).integers(0, self.labels, (4, *member.context_shape))
        return np.random.default_rng(2).normal(size=(4, *member.context_shape))


# The dearest to compile. What they are made of has cheaper examples here, or tests of its own.
slow = partial(Example, slow=True)


def uniform(low, high, *event):
    """Draws of a base in an interval, for the check of a bijector."""
    return np.random.default_rng(3).uniform(low, high, (64, *event))


def mlp(rngs, **options):
    return lambda n, m: MLP(n, m, hidden=(6,), activation="tanh", rngs=rngs, **options)


def resnet(rngs, **options):
    return lambda n, m: ConvResNet(n, m, width=4, num_blocks=1, rngs=rngs, **options)


def gated(rngs, **options):
    return lambda n, m: GatedResNet(n, m, width=4, num_blocks=2, heads=2, rngs=rngs, **options)


def made(shape, num_params=2, hidden=(5,), **options):
    return MADE(shape, num_params, hidden=hidden, activation="tanh", **options)


def maf(shape, rngs, **options):
    return MaskedAutoregressive(made(shape, rngs=rngs, **options))


def vit(rngs, grid, **options):
    return lambda n, m: VisionTransformer(
        n, m, grid_shape=grid, width=4, depth=1, heads=2, mlp_ratio=2, rngs=rngs, **options
    )


def attention(grid, position=(), num_params=2, width=8, depth=1, **options):
    return CausalTransformer(
        grid, position, num_params, width=width, depth=depth, heads=2, mlp_ratio=2, **options
    )


def pixelcnn(grid, num_params, **options):
    return PixelCNN(grid, num_params, width=4, first_size=3, out_width=3, **options)


def gated_pixelcnn(grid, num_params, position=(1,), **options):
    return GatedPixelCNN(
        grid, position, num_params, width=4, depth=2, first_size=3, out_width=3, **options
    )


PIXELRNN: dict[str, Any] = {"width": 4, "depth": 1, "first_size": 3, "out_width": 3}


def multi_scale(rngs):
    """Of images so small that they can be enumerated."""
    context = {"context_features": 2, "context_grid": (2, 4)}
    network = DiagonalBiLSTM((2, 4), (1,), 1, **PIXELRNN, **context, rngs=rngs)
    upsampling = Upsampling((1, 2, 1), 2, 2, width=3, num_blocks=1, rngs=rngs)
    large = Embedded(Autoregressive(network, likelihoods.Bernoulli()), upsampling)
    return MultiScale(zoo.fvsbn((1, 2, 1), rngs=rngs), large)


def pixelcnnpp(grid, num_params, position=(1,), resolutions=1, **options):
    options = {"width": 4, "blocks": 1, "resolutions": resolutions} | options
    return PixelCNNPP(grid, position, num_params, **options)


def wavenet(grid, num_params, position=(), dilations=(1, 2), **options):
    return WaveNet(
        grid, position, num_params, width=3, skip_width=8, dilations=dilations, **options
    )


def scan_step(rngs):
    """A step with a constant of its own, a data-dependent start and an alternation."""
    return Chain([Flip(), Permutation((3,), rngs=rngs), maf((3,), rngs), ActNorm((3,))])


def masked_coupling(network):
    """A coupling of distrax; imported here, because most who read the registry do not need it."""
    import distrax

    def affine(params):
        shift, log_scale = jnp.split(params, 2, axis=-1)
        return distrax.ScalarAffine(shift, log_scale=log_scale)

    return distrax.MaskedCoupling(jnp.array([True, False, True]), network, affine)


def triangular_step(rngs):
    """The two triangular layers that alternate."""
    options = {"context_features": 2, "rngs": rngs}
    one = Sylvester((3,), "triangular", **options)
    return Chain([one, Sylvester((3,), "triangular", reverse=True, **options)])


ADDITIVE = transforms.Additive()


def autoencoder(rngs, likelihood, entries=4, latent=1, context=0, prior=None, posterior=None):
    """A VAE of vectors, with one latent dimension so that it can be integrated out."""

    def factorized(seen, likelihood, entries):
        network = MLP(
            seen, entries * likelihood.num_params(()), hidden=(5,), activation="tanh", rngs=rngs
        )
        return Factorized(network, likelihood, (entries,), context_shape=(seen,))

    return VAE(
        StandardNormal((latent,)) if prior is None else prior,
        factorized(latent + context, likelihood, entries),
        factorized(entries + context, likelihoods.Normal(), latent)
        if posterior is None
        else posterior,
        context_features=context or None,
    )


def iaf_posterior(rngs, entries=4):
    """An inverse autoregressive flow on a normal, both of which see the data."""
    network = MADE((2,), 2, hidden=(5,), activation="tanh", context_features=entries, rngs=rngs)
    linear = MLP(entries, 4, hidden=(), rngs=rngs)
    base = Factorized(linear, likelihoods.Normal(), (2,), context_shape=(entries,))
    return Flow(Inverse(MaskedAutoregressive(network)), base)


def hierarchy(rngs, layers=1, context=None):
    """Flows as priors and posteriors of a latent each, between states of one pixel."""

    def layer(seen):
        linear = nnx.Linear(seen, 2, rngs=rngs)
        base = Factorized(linear, likelihoods.Normal(), (1, 1), (1,), context_shape=(1, 1, seen))
        return Flow(ActNorm((1, 1, 1)), base)

    options = {"width": 4, "rngs": rngs}
    own = {"context_features": context, "rngs": rngs}
    state = (1, 1, 4)
    return TopDown(
        FirstState(state, **own),
        FeaturePyramid((1, 1, 3), (layers,), width=4, **own),
        [layer(4) for _ in range(layers)],
        [layer(8) for _ in range(layers)],
        [Update([(1, 1)], 1, num_layers=layers, **options) for _ in range(layers)],
        Factorized(
            Readout(state, 3, rngs=rngs),
            likelihoods.Bernoulli(),
            (1, 1),
            (3,),
            context_shape=state,
        ),
    )


BIJECTORS: dict[str, Example] = {
    "actnorm vector": Example(lambda r: ActNorm((3,)), (3,)),
    "actnorm image": Example(lambda r: ActNorm((2, 3, 2)), (2, 3, 2)),
    "batchnorm vector": Example(lambda r: BatchNorm((3,)), (3,)),
    "batchnorm image": Example(lambda r: BatchNorm((2, 3, 2), eps=0.1), (2, 3, 2)),
    "scan of batchnorm": Example(
        lambda r: Scan(lambda r: Chain([Coupling((3,), mlp(r)), BatchNorm((3,))]), 2, rngs=r), (3,)
    ),
    "conv1x1 lu vector": Example(lambda r: Conv1x1((3,), rngs=r), (3,)),
    "conv1x1 lu image": Example(lambda r: Conv1x1((2, 3, 3), rngs=r), (2, 3, 3)),
    "conv1x1 dense vector": Example(lambda r: Conv1x1((3,), DenseMatrix, rngs=r), (3,)),
    "conv1x1 dense image": Example(lambda r: Conv1x1((2, 2, 3), DenseMatrix, rngs=r), (2, 2, 3)),
    "conv1x1 householder vector": Example(lambda r: Conv1x1((3,), HouseholderMatrix, rngs=r), (3,)),
    "conv1x1 householder image, few": Example(
        lambda r: Conv1x1((2, 2, 3), lambda n, rngs: HouseholderMatrix(n, 2, rngs=rngs), rngs=r),
        (2, 2, 3),
    ),
    "squeeze": Example(lambda r: Squeeze((4, 2, 2)), (4, 2, 2)),
    "squeeze by 3": Example(lambda r: Squeeze((3, 6, 1), 3), (3, 6, 1)),
    "unsqueeze": Example(lambda r: Inverse(Squeeze((4, 2, 1))), (2, 1, 4)),
    "flip": Example(lambda r: Flip(), (3,)),
    "flip image": Example(lambda r: Flip(3), (2, 2, 2)),
    "permutation": Example(lambda r: Permutation((5,), rngs=r), (5,)),
    "permutation of channels": Example(
        lambda r: Permutation((2, 2, 3), jnp.array([2, 0, 1])), (2, 2, 3)
    ),
    "logit": Example(lambda r: Logit(), (3,), (0.0, 1.0)),
    "logit image": Example(lambda r: Logit(-1.0, 255.0, 1e-6, 3), (2, 2, 1), (-1.0, 255.0)),
    "bounded": Example(
        lambda r: Bounded((4,), [(None, None), (1.0, None), (None, -2.0), (0.0, 5.0)], alpha=0.01),
        (4,),
        [(-np.inf, np.inf), (1.0, np.inf), (-np.inf, -2.0), (0.0, 5.0)],
    ),
    "bounded image": Example(
        lambda r: Bounded((2, 1, 2), [(0.0, None), (None, None)]),
        (2, 1, 2),
        [(0.0, np.inf), (-np.inf, np.inf)],
    ),
    "circle": Example(
        lambda r: Circle((2,), [(0.0, 360.0), (-1.0, 1.0)]),
        (2,),
        [(0.0, 360.0), (-1.0, 1.0)],
        options={"z": uniform(-np.pi, np.pi, 2)},
    ),
    "rotation": Example(
        lambda r: Rotation((3,), rngs=r),
        (3,),
        (-np.pi, np.pi),
        options={"z": uniform(-np.pi, np.pi, 3)},
    ),
    "coupling periodic": Example(
        lambda r: Coupling(
            (3,),
            lambda n, m: Periodic(n, m, mlp(r)),
            transforms.RationalQuadraticSpline(3, float(np.pi), circular=True),
        ),
        (3,),
        (-np.pi, np.pi),
        options={"z": uniform(-np.pi, np.pi, 3)},
    ),
    "tanh": Example(lambda r: Tanh(), (3,), (-1.0, 1.0)),
    "planar": Example(lambda r: Planar((3,), rngs=r), (3,)),
    "planar context": Example(lambda r: Planar((3,), context_features=2, rngs=r), (3,)),
    "scan of planar": Example(
        lambda r: Scan(lambda r: Planar((2,), context_features=2, rngs=r), 3, rngs=r), (2,)
    ),
    "sylvester orthogonal": Example(lambda r: Sylvester((4,), rank=2, rngs=r), (4,)),
    "sylvester orthogonal, context": Example(
        lambda r: Sylvester((3,), context_features=2, rngs=r), (3,)
    ),
    "sylvester householder": Example(lambda r: Sylvester((3,), "householder", rngs=r), (3,)),
    "sylvester householder, few, context": Example(
        lambda r: Sylvester((3,), "householder", reflections=2, context_features=2, rngs=r), (3,)
    ),
    "sylvester triangular": Example(lambda r: Sylvester((3,), "triangular", rngs=r), (3,)),
    "scan of triangular sylvesters, context": Example(
        lambda r: Scan(triangular_step, 2, rngs=r), (3,)
    ),
    "inverse of logit": Example(
        lambda r: Inverse(Logit()), (2,), options={"z": uniform(0.0, 1.0, 2)}
    ),
    "standardize": Example(lambda r: Standardize((2, 2, 1), mean=1.0, scale=2.0), (2, 2, 1)),
    "elementwise affine": Example(lambda r: Elementwise((2, 2, 1), transforms.Affine()), (2, 2, 1)),
    "elementwise spline": Example(
        lambda r: Elementwise((2,), transforms.RationalQuadraticSpline(4)), (2,)
    ),
    "coupling vector": Example(lambda r: Coupling((4,), mlp(r)), (4,)),
    "coupling odd": Example(lambda r: Coupling((5,), mlp(r)), (5,)),
    "coupling odd swapped": Example(
        lambda r: Coupling((5,), mlp(r), split=Channels(swap=True)), (5,)
    ),
    "coupling alternating": Example(lambda r: Coupling((5,), mlp(r), split=Alternating()), (5,)),
    "coupling alternating channels, swapped": Example(
        lambda r: Coupling((2, 2, 3), resnet(r), split=Alternating(swap=True)), (2, 2, 3)
    ),
    "coupling random": Example(lambda r: Coupling((5,), mlp(r), split=Random(5, rngs=r)), (5,)),
    "scan of random couplings": Example(
        lambda r: Scan(lambda r: Coupling((3,), mlp(r), split=Random(3, True, rngs=r)), 2, rngs=r),
        (3,),
    ),
    "coupling additive": Example(lambda r: Coupling((3,), mlp(r), ADDITIVE), (3,)),
    "coupling unbounded": Example(
        lambda r: Coupling((3,), mlp(r), transforms.Affine(bound=None)), (3,)
    ),
    "coupling mixture": Example(lambda r: Coupling((5,), mlp(r), transforms.MixtureCDF(3)), (5,)),
    # Seen from the data this is the numerical inverse, to rounding, and its gradients.
    "coupling mixture, inverse": slow(
        lambda r: Inverse(Coupling((3,), mlp(r), transforms.MixtureCDF(2))), (3,)
    ),
    "coupling spline": Example(
        lambda r: Coupling((5,), mlp(r), transforms.RationalQuadraticSpline(4, 2.0)), (5,)
    ),
    "coupling spline, circular": Example(
        lambda r: Coupling((3,), mlp(r), transforms.RationalQuadraticSpline(3, 2.0, circular=True)),
        (3,),
        (-2.0, 2.0),
        options={"z": uniform(-2.0, 2.0, 3)},
    ),
    "coupling gated": slow(
        lambda r: Coupling((2, 3, 2), gated(r, grid_shape=(2, 3), dropout=0.5)), (2, 3, 2)
    ),
    "coupling gated, image context": slow(
        lambda r: Coupling(
            (2, 2, 1),
            gated(r, grid_shape=(2, 2), context_features=2, context_grid=(2, 2)),
            split=Checkerboard((2, 2, 1)),
        ),
        (2, 2, 1),
    ),
    "coupling gated without attention, context": Example(
        lambda r: Coupling((2, 2, 2), gated(r, attention=False, context_features=3)), (2, 2, 2)
    ),
    "coupling weight norm, image context": Example(
        lambda r: Coupling(
            (2, 3, 2), resnet(r, weight_norm=True, context_features=2, context_grid=(2, 3))
        ),
        (2, 3, 2),
    ),
    "coupling context": Example(lambda r: Coupling((3,), mlp(r, context_features=2)), (3,)),
    "coupling dropout": Example(lambda r: Coupling((3,), mlp(r, dropout=0.5)), (3,)),
    "coupling channels": Example(lambda r: Coupling((2, 3, 3), resnet(r)), (2, 3, 3)),
    "coupling checkerboard": Example(
        lambda r: Coupling((3, 3, 1), resnet(r), split=Checkerboard((3, 3, 1))), (3, 3, 1)
    ),
    "coupling checkerboard swapped, context": Example(
        lambda r: Coupling(
            (2, 2, 2),
            resnet(r, context_features=3),
            split=Checkerboard((2, 2, 2), swap=True),
        ),
        (2, 2, 2),
    ),
    "coupling checkerboard vector": Example(
        lambda r: Coupling((5,), mlp(r), split=Checkerboard((5,))), (5,)
    ),
    "coupling tokens, checkerboard": slow(
        lambda r: Coupling((2, 3, 2), vit(r, (3,)), split=Tokens((2, 3))), (2, 3, 2)
    ),
    "coupling tokens, rows, context": slow(
        lambda r: Coupling(
            (2, 2, 1), vit(r, (2,), context_features=2), split=Tokens((2, 2), "rows")
        ),
        (2, 2, 1),
    ),
    "coupling tokens, columns swapped": Example(
        lambda r: Coupling(
            (1, 4, 1),
            vit(r, (2,)),
            transforms.Affine(None, "sigmoid"),
            Tokens((1, 4), "columns", swap=True),
        ),
        (1, 4, 1),
    ),
    "coupling channels, transformer": Example(
        lambda r: Coupling((2, 2, 2), vit(r, (2, 2), dropout=0.5)), (2, 2, 2)
    ),
    "maf": Example(lambda r: maf((4,), r), (4,)),
    "maf attention, tokens": slow(
        lambda r: MaskedAutoregressive(attention((2, 2), (2,), 4, rngs=r)), (2, 2, 2)
    ),
    "maf attention, context": slow(
        lambda r: MaskedAutoregressive(attention((3,), context_features=2, rngs=r)), (3,)
    ),
    "maf context": Example(
        lambda r: maf((3,), r, context_features=2), (3,), options={"eager": True}
    ),
    "maf image, additive": Example(
        lambda r: MaskedAutoregressive(made((2, 2, 1), 1, rngs=r), ADDITIVE), (2, 2, 1)
    ),
    "maf spline": Example(
        lambda r: MaskedAutoregressive(
            made((3,), 8, rngs=r), transforms.RationalQuadraticSpline(3, 2.0)
        ),
        (3,),
    ),
    "iaf": Example(lambda r: Inverse(maf((3,), r)), (3,)),
    "from_distrax": Example(lambda r: from_distrax(masked_coupling(mlp(r)(3, 6))), (3,)),
    "from_distrax with params": Example(
        lambda r: from_distrax(masked_coupling, (3,), params=mlp(r)(3, 6)), (3,)
    ),
    "chain": Example(lambda r: Chain([ActNorm((3,)), Flip(), Conv1x1((3,), rngs=r)]), (3,)),
    "chain of mixed event_ndims": Example(
        lambda r: Chain([Squeeze((2, 2, 1)), ActNorm((2, 2, 1)), Tanh()]),
        (2, 2, 1),
        (-0.95, 0.95),
        options={"eager": True},
    ),
    "chain context": Example(
        lambda r: Chain([maf((3,), r, context_features=2), Flip(), Coupling((3,), mlp(r))]), (3,)
    ),
    "scan": Example(lambda r: Scan(scan_step, 3, rngs=r), (3,), options={"eager": True}),
    "scan without parameters": Example(
        lambda r: Scan(lambda r: Tanh(), 2, rngs=r), (2,), (-0.7, 0.7)
    ),
    "scan context": Example(
        lambda r: Scan(lambda r: Coupling((3,), mlp(r, context_features=2)), 2, rngs=r), (3,)
    ),
    "scan.stack": Example(lambda r: Scan.stack([scan_step(r), scan_step(r)]), (3,)),
    "reshape": Example(lambda r: Reshape(ActNorm((4,)), (2, 2, 1)), (2, 2, 1)),
    "reshape context": Example(lambda r: Reshape(maf((4,), r, context_features=2), (2, 2)), (2, 2)),
    "split": Example(lambda r: Split(ActNorm((2,)), (4,)), (4,)),
    "split odd, prior": Example(lambda r: Split(ActNorm((2,)), (5,), mlp(r)(2, 6)), (5,)),
    "split image, prior, context": Example(
        lambda r: Split(Conv1x1((2, 2, 2), rngs=r), (2, 2, 4), resnet(r, context_features=2)(2, 4)),
        (2, 2, 4),
    ),
}

SPARSE = {"dense": False}
FEW = {"num_samples": 500}  # of the models with convolutions


def chain(size, order):
    """Which positions a Markov chain's positions depend on."""
    distance = np.arange(size)[:, None] - np.arange(size)
    return (distance >= 1) & (distance <= order)


# A pixel of a grid (3, 4) sees two columns to either side above it, and two to its left.
SEEN_BY_GATED = np.array(
    [
        [
            (i // 4 > j // 4 and abs(i % 4 - j % 4) <= 2) or (i // 4 == j // 4 and 0 < i - j <= 2)
            for j in range(12)
        ]
        for i in range(12)
    ]
)
# With one layer of the Row LSTM it sees a triangle: one column more to either side in every row
# above it, and two to its left.
SEEN_BY_ROW = np.array(
    [
        [j < i and -2 - (i // 4 - j // 4) <= j % 4 - i % 4 <= i // 4 - j // 4 for j in range(12)]
        for i in range(12)
    ]
)


CONDITIONALS: dict[str, Example] = {
    "made no hidden, direct": Example(lambda r: made((4,), 1, (), direct=True, rngs=r), (4,)),
    "made": Example(lambda r: made((5,), 2, (7, 9), rngs=r), (5,)),
    "made relu": Example(lambda r: MADE((4,), 1, hidden=(24, 24), rngs=r), (4,)),
    "made narrow": slow(lambda r: made((6,), 2, (2, 3), rngs=r), (6,), options=SPARSE),
    "made narrow, direct": slow(lambda r: made((6,), 1, (3,), direct=True, rngs=r), (6,)),
    "made order features": Example(lambda r: made((4,), 1, order_features=True, rngs=r), (4,)),
    "made context": Example(
        lambda r: made((3,), 2, context_features=2, rngs=r), (3,), options={"eager": True}
    ),
    "made no hidden, context": Example(
        lambda r: made((3,), 1, (), direct=True, context_features=2, rngs=r), (3,)
    ),
    "periodic made": Example(
        lambda r: PeriodicConditional(made((3, 2), 2, (7,), context_features=2, rngs=r)), (3,)
    ),
    "made image grid": Example(lambda r: made((2, 2, 1), 3, rngs=r), (2, 2, 1)),
    "made dropout": Example(lambda r: made((3,), 1, dropout=0.5, rngs=r), (3,)),
    "made one position": Example(
        lambda r: made((1,), 2, rngs=r),
        (1,),
        options={"unused": ("kernels", "biases", "out_kernel")},
    ),
    "fvsbn": Example(lambda r: FVSBN((4,), 2, rngs=r), (4,)),
    "fvsbn context": Example(lambda r: FVSBN((2, 2), 1, context_features=2, rngs=r), (2, 2)),
    "gated pixelcnn, image context": Example(
        lambda r: gated_pixelcnn((3, 3), 1, context_features=2, context_grid=(3, 3), rngs=r),
        (3, 3, 1),
    ),
    "growing": Example(lambda r: Growing((4,), 2, width=3, rngs=r), (4,)),
    "made of vectors, direct": Example(
        lambda r: made((3,), 2, direct=True, position_shape=(2,), rngs=r), (3, 2)
    ),
    "growing of vectors": slow(
        lambda r: Growing((3,), 2, width=3, position_shape=(2,), rngs=r), (3, 2)
    ),
    "nade of vectors": Example(
        lambda r: NADE((3,), 2, width=3, position_shape=(2,), rngs=r), (3, 2)
    ),
    "eonade of vectors": slow(
        lambda r: EoNADE((3,), 2, hidden=(5,), activation="tanh", position_shape=(2,), rngs=r),
        (3, 2),
    ),
    "growing context, dropout": Example(
        lambda r: Growing((2, 2), 1, width=3, context_features=2, dropout=0.5, rngs=r), (2, 2)
    ),
    "nade": Example(lambda r: NADE((4,), 2, width=3, rngs=r), (4,)),
    "eonade": Example(lambda r: EoNADE((4,), 2, hidden=(5, 4), activation="tanh", rngs=r), (4,)),
    "eonade context, dropout": slow(
        lambda r: EoNADE((3,), 1, hidden=(5,), context_features=2, dropout=0.5, rngs=r),
        (3,),
        options=SPARSE,
    ),
    "nade rescaled, context, dropout": slow(
        lambda r: NADE((3,), 1, width=3, rescale=True, context_features=2, dropout=0.5, rngs=r),
        (3,),
    ),
    "nade of several segments": slow(lambda r: NADE((6, 10), 1, width=2, rngs=r), (6, 10)),
    "lmconv": Example(
        lambda r: LMConv((2, 5), (1,), 2, width=4, depth=1, rngs=r), (2, 5, 1), options=SPARSE
    ),
    "lmconv, all in reach, context, dropout": slow(
        lambda r: LMConv(
            (2, 3), (), 1, width=4, depth=2, kernel_size=5, context_features=2, dropout=0.5, rngs=r
        ),
        (2, 3),
    ),
    "lmconv of channels": slow(
        lambda r: LMConv((2, 2), (2,), 3, width=4, depth=1, rngs=r), (2, 2, 2)
    ),
    "lstm": Example(lambda r: Recurrent((4,), (), 2, width=3, rngs=r), (4,)),
    "gru of vectors, context": slow(
        lambda r: Recurrent(
            (3,), (2,), 1, cell="gru", width=3, depth=2, context_features=2, rngs=r
        ),
        (3, 2),
    ),
    "wavenet": Example(
        lambda r: wavenet((6,), 2, rngs=r),
        (6,),
        options={"dense": chain(6, 4)},
    ),
    "wavenet of vectors, local context, dropout": slow(
        lambda r: wavenet((5,), 1, (2,), local=True, context_features=2, dropout=0.5, rngs=r),
        (5, 2),
    ),
    "wavenet of levels, global context": slow(
        lambda r: wavenet((4,), 1, (3,), context_features=2, rngs=r), (4, 3)
    ),
    "pixelcnn": Example(
        lambda r: pixelcnn((2, 5, 1), 2, depth=1, rngs=r), (2, 5, 1), options=SPARSE
    ),
    "pixelcnn of vectors": slow(
        lambda r: pixelcnn((2, 2, 2), 1, depth=1, position_shape=(3,), rngs=r), (2, 2, 2, 3)
    ),
    "pixelcnn of channels, context, dropout": slow(
        lambda r: pixelcnn((2, 2, 3), 1, depth=2, context_features=2, dropout=0.5, rngs=r),
        (2, 2, 3),
        options=SPARSE,
    ),
    "gated pixelcnn": slow(
        lambda r: gated_pixelcnn((3, 4), 2, rngs=r), (3, 4, 1), options={"dense": SEEN_BY_GATED}
    ),
    "gated pixelcnn of channels, context, dropout": slow(
        lambda r: gated_pixelcnn((2, 2), 1, (3,), context_features=2, dropout=0.5, rngs=r),
        (2, 2, 3),
    ),
    "row lstm": Example(
        lambda r: RowLSTM((3, 4), (1,), 2, **PIXELRNN, rngs=r),
        (3, 4, 1),
        options={"dense": SEEN_BY_ROW},
    ),
    "row lstm of channels, image context, dropout": slow(
        lambda r: RowLSTM(
            (2, 2),
            (3,),
            1,
            **PIXELRNN,
            context_features=2,
            context_grid=(2, 2),
            dropout=0.5,
            rngs=r,
        ),
        (2, 2, 3),
    ),
    "diagonal bilstm": Example(
        lambda r: DiagonalBiLSTM((3, 4), (1,), 2, **PIXELRNN, rngs=r), (3, 4, 1)
    ),
    "diagonal bilstm, context": slow(
        lambda r: DiagonalBiLSTM(
            (3, 2), (), 1, **{**PIXELRNN, "depth": 2}, context_features=2, rngs=r
        ),
        (3, 2),
    ),
    "pixelcnnpp of two resolutions": slow(
        lambda r: pixelcnnpp((2, 4), 2, resolutions=2, rngs=r), (2, 4, 1)
    ),
    "pixelcnnpp of channels, context, dropout": slow(
        lambda r: pixelcnnpp((2, 2), 1, (3,), context_features=2, dropout=0.5, rngs=r), (2, 2, 3)
    ),
    "markov, a chain of tables": slow(
        lambda r: Markov((5,), 1, parents=2, values=(-1.0, 0.0, 1.0)),
        (5,),
        options={"dense": chain(5, 2)},
    ),
    "markov, a shared table": slow(
        lambda r: Markov((4,), 2, parents=2, values=(0.0, 1.0), shared=True),
        (4,),
        (0.0, 1.0),
        options={"dense": chain(4, 2)},
    ),
    "markov, a graph of tables": Example(
        lambda r: Markov((2, 2), 1, parents=((1, 2), (3,), (), ()), values=(0.0, 1.0)),
        (2, 2),
        (0.0, 1.0),
        options={"dense": np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0] * 4, [0] * 4], bool)},
    ),
    "markov, tables without parents": Example(
        lambda r: Markov((3,), 1, parents=0, values=(0.0, 1.0)),
        (3,),
        (0.0, 1.0),
        options={"dense": chain(3, 0)},
    ),
    "markov, linear": Example(
        lambda r: Markov((5,), 2, parents=2), (5,), options={"dense": chain(5, 2)}
    ),
    "markov, linear and shared": Example(
        lambda r: Markov((4,), 2, parents=1, shared=True), (4,), options={"dense": chain(4, 1)}
    ),
    "independent": Example(
        lambda r: Independent(MLP(2, 4, hidden=(5,), rngs=r), (2,), 2, context_shape=(2,)),
        (2,),
        options={"dense": chain(2, 0)},
    ),
    "independent pixels, dropout": slow(
        lambda r: Independent(
            MLP(2, 24, hidden=(5,), dropout=0.5, rngs=r), (2, 3), 4, (2,), context_shape=(2,)
        ),
        (2, 3, 2),
        options={"dense": chain(6, 0)},
    ),
    "attention": Example(lambda r: attention((4,), depth=2, rngs=r), (4,)),
    "attention image, pixels": slow(lambda r: attention((2, 3), (2,), 3, rngs=r), (2, 3, 2)),
    "attention image, entries": slow(lambda r: attention((2, 2, 1), rngs=r), (2, 2, 1)),
    "attention rotary": slow(lambda r: attention((4,), positions="rotary", rngs=r), (5,)),
    "attention rotary image": slow(
        lambda r: attention((2, 2), (1,), 2, positions="rotary", rngs=r), (2, 2, 1)
    ),
    "attention context": slow(lambda r: attention((3,), (), 1, context_features=2, rngs=r), (3,)),
    "attention rotary, context, dropout": slow(
        lambda r: attention(
            (3,), (), 1, positions="rotary", context_features=2, dropout=0.5, rngs=r
        ),
        (3,),
    ),
    "attention one position": slow(
        lambda r: attention((1,), rngs=r), (1,), options={"unused": ("embed", "source")}
    ),
}

TRANSFORMS: dict[str, Callable[[], transforms.Transform]] = {
    "affine": transforms.Affine,
    "affine unbounded": lambda: transforms.Affine(bound=None),
    "affine sigmoid": lambda: transforms.Affine(bound=None, scale="sigmoid"),
    "additive": transforms.Additive,
    "mixture cdf": lambda: transforms.MixtureCDF(3, bound=2.0),
    "mixture cdf unbounded, one component": lambda: transforms.MixtureCDF(1, bound=None),
    "spline": transforms.RationalQuadraticSpline,
    "spline, unequal floors": lambda: transforms.RationalQuadraticSpline(
        5, 2.0, min_bin_width=0.01, min_bin_height=0.002, min_derivative=0.05
    ),
    "spline circular": lambda: transforms.RationalQuadraticSpline(4, 3.5, circular=True),
}

LIKELIHOODS: dict[str, Callable[[], likelihoods.Likelihood]] = {
    "bernoulli": likelihoods.Bernoulli,
    "categorical": lambda: likelihoods.Categorical(5),
    "normal": likelihoods.Normal,
    "gaussian mixture": lambda: likelihoods.GaussianMixture(3),
    "ordinal": lambda: likelihoods.Ordinal(5),
    "poisson": likelihoods.Poisson,
    "negative binomial": likelihoods.NegativeBinomial,
    "columns": lambda: likelihoods.Columns(
        [likelihoods.Normal(), likelihoods.Bernoulli(), likelihoods.Categorical(3, "one_hot")]
    ),
    "discretized logistic mixture": lambda: likelihoods.DiscretizedLogisticMixture(5, 3),
}


def binary(rngs):
    return Autoregressive(made((4,), 1, rngs=rngs), likelihoods.Bernoulli())


def dequantizer(rngs):
    options = {"components": 2, "hidden": (6,), "features": 2, "bound": 0.5}
    return zoo.dequantizer((2,), steps=1, **options, rngs=rngs)


FLOWPP: dict[str, Any] = {"components": 2, "width": 4, "blocks": 1}


PIXELVAE = {
    "latents": 1,
    "width": 4,
    "depth": 2,
    "first_size": 3,
    "out_width": 3,
    "features": 2,
    "widths": (3,),
}
VQVAE = {"levels": 2, "codes": 3, "code_width": 2, "widths": (3,), "blocks": 1}
FVAE = {
    "layers": 1,
    "layer_hidden": (3,),
    "features": 2,
    "scales": 1,
    "steps": 1,
    "width": 3,
    "widths": (3,),
}

MODELS: dict[str, Example] = {
    "standard normal": Example(lambda r: StandardNormal((2,)), (2,)),
    "logistic": Example(lambda r: Logistic((2,)), (2,)),
    "diagonal normal": Example(lambda r: DiagonalNormal((2, 1)), (2, 1)),
    "student t": Example(lambda r: StudentT((1,), df=8.0), (1,)),
    "multivariate normal": Example(
        lambda r: MultivariateNormal((2, 1), covariance=np.array([[2.0, 0.5], [0.5, 1.0]])), (2, 1)
    ),
    "uniform": Example(lambda r: Uniform((2,), -1.0, 3.0), (2,), (-1.0, 3.0)),
    "von mises": Example(lambda r: VonMises((2,), 1.0, 2.0), (2,), (-np.pi, np.pi)),
    "class-conditional normal": Example(lambda r: ClassConditionalNormal((2,), 2), (2,), labels=2),
    "flow on a class-conditional base": Example(
        lambda r: Flow(maf((2,), r), ClassConditionalNormal((2,), 2)), (2,), labels=2
    ),
    "flow on an autoregressive base": Example(
        lambda r: Flow(maf((2,), r), zoo.made((2,), levels=None, hidden=(5,), rngs=r)), (2,)
    ),
    "flow": Example(lambda r: Flow(maf((2,), r)), (2,)),
    "flow of flows": Example(lambda r: Flow(Flip(), Flow(maf((2,), r), Flow(ActNorm((2,))))), (2,)),
    "flow iaf": Example(lambda r: Flow(Inverse(maf((2,), r))), (2,)),
    "flow of a circular spline": slow(
        lambda r: Flow(
            Coupling((2,), mlp(r), transforms.RationalQuadraticSpline(3, 1.0, circular=True))
        ),
        (2,),
    ),
    "maf one dimension": slow(
        lambda r: zoo.maf((1,), layers=2, hidden=(4,), rngs=r),
        (1,),
        options={
            "unused": tuple(
                f"bijector.layers.0.steps.layers.1.conditional.{name}"
                for name in ("kernels", "biases", "out_kernel")
            )
        },
    ),
    "maf": Example(lambda r: zoo.maf((2,), layers=2, hidden=(6,), rngs=r), (2,)),
    "maf batchnorm": Example(
        lambda r: zoo.maf((2,), layers=1, hidden=(6,), norm="batchnorm", rngs=r), (2,)
    ),
    "maf no norm": Example(lambda r: zoo.maf((2,), layers=1, hidden=(6,), norm=None, rngs=r), (2,)),
    "iaf": Example(lambda r: zoo.iaf((2,), layers=2, hidden=(6,), rngs=r), (2,)),
    "iaf bounds, context": slow(
        lambda r: zoo.iaf(
            (2,), layers=1, hidden=(6,), bounds=(0.0, 1.0), alpha=0.0, context_features=2, rngs=r
        ),
        (2,),
        (0.0, 1.0),
        options={"seed": 1},  # of others a sample lies too near to a bound, where logits are steep
    ),
    "maf_mog": Example(
        lambda r: zoo.maf_mog((2,), layers=1, hidden=(6,), components=2, rngs=r), (2,)
    ),
    "maf_mog context": slow(
        lambda r: zoo.maf_mog(
            (3,), layers=1, hidden=(5,), components=2, context_features=2, rngs=r
        ),
        (3,),
    ),
    "nice": Example(lambda r: zoo.nice((2,), couplings=2, hidden=(6,), rngs=r), (2,)),
    "nice image, context": Example(
        lambda r: zoo.nice(
            (2, 2, 1), couplings=2, hidden=(6,), base="normal", context_features=2, rngs=r
        ),
        (2, 2, 1),
    ),
    "maf bounds": slow(
        lambda r: zoo.maf((2,), layers=1, hidden=(6,), bounds=(0.0, 1.0), alpha=0.0, rngs=r),
        (2,),
        (0.0, 1.0),
    ),
    "maf bounds of each entry": Example(
        lambda r: zoo.maf((2,), layers=1, hidden=(6,), bounds=[(0, None), (None, 1)], rngs=r),
        (2,),
        [(0.0, np.inf), (-np.inf, 1.0)],
    ),
    "realnvp bounds of some entries": Example(
        lambda r: zoo.realnvp(
            (2,), steps=1, hidden=(6,), bounds=[None, (-1, 2)], alpha=0.0, rngs=r
        ),
        (2,),
        [(-np.inf, np.inf), (-1.0, 2.0)],
    ),
    "maf context": slow(
        lambda r: zoo.maf((2,), layers=1, hidden=(6,), context_features=2, rngs=r),
        (2,),
        options={"eager": True},
    ),
    "embedded labels": slow(
        lambda r: Embedded(
            zoo.maf((2,), layers=1, hidden=(6,), context_features=3, rngs=r),
            Embedding(2, 3, rngs=r),
        ),
        (2,),
        labels=2,
    ),
    "embedded bound": slow(
        lambda r: Embedded(
            Dequantized(
                zoo.maf((1,), layers=1, hidden=(), bounds=(0.0, 3.0), context_features=2, rngs=r), 3
            ),
            Embedding(3, 2, rngs=r),
        ),
        (1,),
        labels=3,
    ),
    "realnvp vector": Example(lambda r: zoo.realnvp((2,), steps=1, hidden=(6,), rngs=r), (2,)),
    "realnvp alternating": slow(
        lambda r: zoo.realnvp((3,), steps=1, hidden=(6,), split="alternating", rngs=r), (3,)
    ),
    "realnvp random": slow(
        lambda r: zoo.realnvp((4,), steps=2, hidden=(4,), split="random", rngs=r), (4,)
    ),
    "realnvp context": Example(
        lambda r: zoo.realnvp((3,), steps=1, hidden=(6,), context_features=2, rngs=r), (3,)
    ),
    "realnvp image": slow(
        lambda r: zoo.realnvp((4, 2, 1), steps=1, width=4, blocks=1, rngs=r),
        (4, 2, 1),
        options=FEW,
    ),
    "glow": slow(
        lambda r: zoo.glow(
            (4, 4, 1),
            levels=2,
            steps=1,
            width=4,
            bounds=(0.0, 1.0),
            marginal_bins=3,
            rngs=r,
        ),
        (4, 4, 1),
        (0.0, 1.0),
        FEW,
    ),
    "glow dense, context": Example(
        lambda r: zoo.glow(
            (2, 2, 1),
            levels=1,
            steps=2,
            width=4,
            residual=True,
            lu=False,
            context_features=2,
            scale="sigmoid",
            rngs=r,
        ),
        (2, 2, 1),
        options=FEW,
    ),
    "tarflow vector": slow(
        lambda r: zoo.tarflow((2,), blocks=2, layers=1, width=4, heads=2, rngs=r), (2,)
    ),
    "tarflow vector, context": slow(
        lambda r: zoo.tarflow(
            (2,), blocks=1, layers=1, width=4, heads=1, bound=2.0, context_features=2, rngs=r
        ),
        (2,),
    ),
    "tarflow": Example(
        lambda r: zoo.tarflow(
            (4, 2, 1),
            patch=2,
            blocks=2,
            layers=1,
            width=8,
            heads=2,
            positions="rotary",
            bounds=(0.0, 1.0),
            rngs=r,
        ),
        (4, 2, 1),
        (0.0, 1.0),
        FEW,
    ),
    "jet channels": slow(
        lambda r: zoo.jet((1, 1, 2), patch=1, couplings=2, depth=1, width=4, heads=2, rngs=r),
        (1, 1, 2),
    ),
    "jet tokens, context": slow(
        lambda r: zoo.jet(
            (1, 2, 1),
            patch=1,
            couplings=2,
            channel_couplings=0,
            depth=1,
            width=4,
            heads=2,
            context_features=2,
            rngs=r,
        ),
        (1, 2, 1),
    ),
    "jet": slow(
        lambda r: zoo.jet(
            (4, 4, 1),
            patch=2,
            couplings=4,
            channel_couplings=1,
            depth=1,
            width=4,
            heads=2,
            bounds=(0.0, 1.0),
            rngs=r,
        ),
        (4, 4, 1),
        (0.0, 1.0),
        FEW,
    ),
    "attention binary": slow(
        lambda r: Autoregressive(attention((2, 2), (), 1, rngs=r), likelihoods.Bernoulli()), (2, 2)
    ),
    "attention categorical": slow(
        lambda r: Autoregressive(attention((2,), (), 5, rngs=r), likelihoods.Categorical(5)), (2,)
    ),
    "attention normal, pixels": slow(
        lambda r: Autoregressive(attention((1,), (2,), 4, rngs=r), likelihoods.Normal()),
        (1, 2),
        options={"unused": ("conditional.embed", "conditional.source")},
    ),
    "nsf": Example(lambda r: zoo.nsf((2,), steps=1, bins=3, width=4, blocks=1, rngs=r), (2,)),
    "nsf autoregressive, context": slow(
        lambda r: zoo.nsf(
            (2,),
            structure="autoregressive",
            steps=1,
            bins=3,
            hidden=(5,),
            context_features=2,
            rngs=r,
        ),
        (2,),
    ),
    "nsf context": slow(
        lambda r: zoo.nsf(
            (3,), steps=2, bins=3, width=4, blocks=1, context_features=2, dropout=0.5, rngs=r
        ),
        (3,),
    ),
    "nsf image": slow(
        lambda r: zoo.nsf(
            (4, 4, 1), levels=2, steps=1, bins=3, width=4, blocks=1, bounds=(0.0, 1.0), rngs=r
        ),
        (4, 4, 1),
        (0.0, 1.0),
        FEW,
    ),
    "torus": Example(
        lambda r: zoo.torus((2,), steps=1, bins=3, width=4, blocks=1, rngs=r),
        (2,),
        (-np.pi, np.pi),
        options={"unused": ("bijector.layers.0.steps.layers.0",)},
    ),
    "torus autoregressive, degrees, context": slow(
        lambda r: zoo.torus(
            (2,),
            structure="autoregressive",
            steps=2,
            bins=3,
            hidden=(6,),
            base="von_mises",
            bounds=[(0, 360), (-1, 1)],
            context_features=2,
            rngs=r,
        ),
        (2,),
        [(0.0, 360.0), (-1.0, 1.0)],
    ),
    "factorized bits": Example(
        lambda r: Factorized(
            MLP(2, 3, hidden=(5,), rngs=r), likelihoods.Bernoulli(), (3,), context_shape=(2,)
        ),
        (3,),
    ),
    "factorized normals": slow(
        lambda r: Factorized(
            MLP(2, 4, hidden=(5,), rngs=r), likelihoods.Normal(), (2,), context_shape=(2,)
        ),
        (2,),
    ),
    "factorized pixels": slow(
        lambda r: Factorized(
            MLP(2, 12, hidden=(5,), rngs=r),
            likelihoods.for_levels(3),
            (1, 2),
            (2,),
            context_shape=(2,),
        ),
        (1, 2, 2),
    ),
    "cylinder": slow(
        lambda r: zoo.cylinder(
            (2,),
            angles=[1],
            rest_args={"layers": 1, "hidden": [6]},
            torus_args={"steps": 1, "bins": 3, "hidden": [6]},
            bounds=[None, (0, 360)],
            rngs=r,
        ),
        (2,),
        [(-np.inf, np.inf), (0.0, 360.0)],
        {"unused": ("angles.bijector.layers.0", "rest.bijector.layers.0.steps.layers.1")},
    ),
    "cylinder of own parts": Example(
        lambda r: Cylinder(
            VonMises((1,)), Flow(maf((1,), r, context_features=2)), [0], [(-np.pi, np.pi)]
        ),
        (2,),
        [(-np.pi, np.pi), (-np.inf, np.inf)],
        # An entry alone has no other one to see.
        {"unused": ("rest.bijector.conditional.kernels.0",)},
    ),
    "markov": Example(lambda r: zoo.markov((5,), parents=2, rngs=r), (5,)),
    "markov normal": Example(lambda r: zoo.markov((2,), levels=None, rngs=r), (2,)),
    "fvsbn": Example(lambda r: zoo.fvsbn((5,), rngs=r), (5,)),
    "growing": Example(lambda r: zoo.growing((4,), width=3, rngs=r), (4,)),
    "nade": Example(lambda r: zoo.nade((4,), width=3, rngs=r), (4,)),
    "rnade": Example(lambda r: zoo.nade((2,), levels=None, components=2, width=3, rngs=r), (2,)),
    "nade logistic mixture": slow(
        lambda r: zoo.nade((3,), levels=4, components=2, width=3, rngs=r), (3,)
    ),
    "eonade": slow(
        lambda r: Ensemble(
            Autoregressive(EoNADE((3,), 1, hidden=(5,), rngs=r), likelihoods.Bernoulli()),
            jnp.asarray(list(itertools.permutations(range(3)))),
        ),
        (3,),
    ),
    "tabular": Example(
        lambda r: zoo.tabular((2,), components=2, hidden=(5,), num_orders=2, rngs=r), (2,)
    ),
    "tabular made, context": slow(
        lambda r: zoo.tabular(
            (2,),
            network="made",
            components=None,
            hidden=(5,),
            num_orders=2,
            context_features=2,
            rngs=r,
        ),
        (2,),
    ),
    "pixelcnn": Example(
        lambda r: zoo.pixelcnn((2, 3, 1), levels=2, width=4, depth=1, out_width=3, rngs=r),
        (2, 3, 1),
    ),
    "pixelcnn of channels": slow(
        lambda r: zoo.pixelcnn((2, 1, 2), levels=3, width=4, depth=1, out_width=3, rngs=r),
        (2, 1, 2),
    ),
    "gated_pixelcnn": Example(
        lambda r: zoo.gated_pixelcnn((2, 3, 1), levels=2, width=4, depth=2, out_width=8, rngs=r),
        (2, 3, 1),
    ),
    "pixelrnn": slow(lambda r: zoo.pixelrnn((3, 2, 1), levels=2, **PIXELRNN, rngs=r), (3, 2, 1)),
    "pixelrnn row, categorical": slow(
        lambda r: zoo.pixelrnn((2, 2, 1), levels=3, layer="row", **PIXELRNN, rngs=r), (2, 2, 1)
    ),
    "pixelrnn row, of channels": slow(
        lambda r: zoo.pixelrnn((2, 1, 2), levels=3, components=2, layer="row", **PIXELRNN, rngs=r),
        (2, 1, 2),
    ),
    "multiscale_pixelrnn": slow(
        lambda r: zoo.multiscale_pixelrnn(
            (4, 4, 1),
            levels=2,
            layer="row",
            upsampled=2,
            upsampling_blocks=0,
            **PIXELRNN,
            rngs=r,
        ),
        (4, 4, 1),
        options=FEW,
    ),
    "pixelcnnpp of two resolutions": slow(
        lambda r: zoo.pixelcnnpp(
            (4, 4, 1), levels=2, components=None, blocks=1, width=4, resolutions=2, rngs=r
        ),
        (4, 4, 1),
        options=FEW,
    ),
    # From right to left, states of a second row are for a third.
    "multi-scale": slow(
        multi_scale,
        (2, 4, 1),
        options={"unused": ("large.model.conditional.layers.right.above",)},
    ),
    "pixelcnnpp of channels": slow(
        lambda r: zoo.pixelcnnpp(
            (2, 2, 2), levels=2, components=2, blocks=1, width=4, resolutions=1, rngs=r
        ),
        (2, 2, 2),
    ),
    "lmconv": slow(
        lambda r: zoo.lmconv((2, 2, 1), levels=2, num_orders=2, width=4, depth=1, rngs=r), (2, 2, 1)
    ),
    "lmconv of channels": slow(
        lambda r: zoo.lmconv(
            (2, 1, 2),
            levels=3,
            components=2,
            orders="raster",
            num_orders=1,
            width=4,
            depth=1,
            rngs=r,
        ),
        (2, 1, 2),
    ),
    "attention": slow(
        lambda r: zoo.attention((2, 2, 1), levels=2, width=8, depth=1, heads=2, rngs=r), (2, 2, 1)
    ),
    "recurrent": Example(lambda r: zoo.recurrent((4,), width=3, rngs=r), (4,)),
    "recurrent of frames": Example(
        lambda r: zoo.recurrent((2, 3), frame="nade", frame_width=4, width=3, rngs=r), (2, 3)
    ),
    "recurrent of frames of levels, context": slow(
        lambda r: zoo.recurrent(
            (2, 2),
            levels=3,
            frame="made",
            frame_width=6,
            width=3,
            context_features=2,
            rngs=r,
        ),
        (2, 2),
    ),
    "recurrent of a frame of reals": slow(
        lambda r: zoo.recurrent((1, 2), levels=None, frame="nade", frame_width=4, width=3, rngs=r),
        (1, 2),
        options={"unused": ("conditional.cells",)},
    ),
    "attention of frames of reals": slow(
        lambda r: zoo.attention(
            (2, 2),
            levels=None,
            components=2,
            frame="made",
            frame_width=6,
            width=8,
            depth=1,
            heads=2,
            rngs=r,
        ),
        (2, 2),
    ),
    "wavenet of frames of logistics": slow(
        lambda r: zoo.wavenet(
            (3, 2),
            levels=3,
            components=2,
            frame="nade",
            frame_width=4,
            width=3,
            skip_width=8,
            dilations=(1, 2),
            rngs=r,
        ),
        (3, 2),
    ),
    "wavenet": Example(
        lambda r: zoo.wavenet((3,), levels=4, width=3, skip_width=4, dilations=(1, 2), rngs=r), (3,)
    ),
    "wavenet of logistics, global context": slow(
        lambda r: zoo.wavenet(
            (3,),
            levels=4,
            components=2,
            width=3,
            skip_width=4,
            dilations=(1, 2),
            context_features=2,
            rngs=r,
        ),
        (3,),
    ),
    "wavenet, local context": slow(
        lambda r: zoo.wavenet(
            (3,),
            levels=3,
            width=3,
            skip_width=4,
            dilations=(1, 2),
            context_features=2,
            local=True,
            rngs=r,
        ),
        (3,),
    ),
    "made binary": Example(lambda r: zoo.made((6,), hidden=(9,), rngs=r), (6,)),
    "made binary image": Example(lambda r: zoo.made((2, 2, 1), hidden=(9,), rngs=r), (2, 2, 1)),
    "made categorical": Example(lambda r: zoo.made((3,), levels=5, hidden=(9,), rngs=r), (3,)),
    "made ordinal": Example(
        lambda r: Autoregressive(made((3,), 3, rngs=r), likelihoods.Ordinal(4)), (3,)
    ),
    "made of counts": Example(
        lambda r: Autoregressive(made((2,), 1, rngs=r), likelihoods.Poisson()), (2,)
    ),
    "mixture of dispersed counts": Example(
        lambda r: Mixture((1,), likelihoods.NegativeBinomial(), 2, rngs=r), (1,)
    ),
    "made mixture": Example(
        lambda r: zoo.made((2,), levels=None, components=3, hidden=(5,), rngs=r), (2,)
    ),
    "made bounds": Example(
        lambda r: zoo.made((2,), levels=None, hidden=(5,), bounds=(0.0, 1.0), alpha=0.0, rngs=r),
        (2,),
        (0.0, 1.0),
    ),
    "made normal": Example(lambda r: zoo.made((2,), levels=None, hidden=(9,), rngs=r), (2,)),
    "made context": Example(
        lambda r: zoo.made((3,), context_features=2, rngs=r, hidden=(4,)),
        (3,),
        options={"eager": True},
    ),
    "made ensemble": slow(
        lambda r: zoo.made((4,), hidden=(9,), num_orders=3, rngs=r), (4,), options={"eager": True}
    ),
    "made ensemble of masks": slow(
        lambda r: zoo.made(
            (3,),
            hidden=(4, 5),
            num_orders=3,
            connectivity_agnostic=True,
            context_features=2,
            rngs=r,
        ),
        (3,),
    ),
    "ensemble context": slow(
        lambda r: Ensemble(
            Autoregressive(made((3,), 1, context_features=2, rngs=r), likelihoods.Bernoulli()),
            jnp.array([[0, 1, 2], [2, 0, 1]]),
        ),
        (3,),
    ),
    "mixture of bernoullis": Example(lambda r: zoo.mixture((4,), components=3, rngs=r), (4,)),
    "mixture of categoricals": Example(
        lambda r: zoo.mixture((2, 1, 1), levels=3, components=2, rngs=r), (2, 1, 1)
    ),
    "mixture of normals": Example(lambda r: Mixture((2,), likelihoods.Normal(), 3, rngs=r), (2,)),
    "dequantized": slow(
        lambda r: Dequantized(
            zoo.maf((2,), layers=1, hidden=(6,), bounds=(0.0, 4.0), alpha=0.0, rngs=r), 4
        ),
        (2,),
    ),
    "dequantized context": slow(
        lambda r: Dequantized(
            zoo.realnvp(
                (3,), steps=1, hidden=(4,), bounds=(0.0, 256.0), context_features=2, rngs=r
            ),
            256,
        ),
        (3,),
    ),
    "dequantized, variational": slow(
        lambda r: Dequantized(
            zoo.maf((2,), layers=1, hidden=(6,), bounds=(0.0, 4.0), alpha=0.0, rngs=r),
            4,
            dequantizer(r),
        ),
        (2,),
    ),
    "dequantized, variational without context": slow(
        lambda r: Dequantized(
            zoo.maf((2,), layers=1, hidden=(6,), bounds=(0.0, 3.0), context_features=2, rngs=r),
            3,
            Flow(Chain([ActNorm((2,)), Logit(alpha=0.0)]), Logistic((2,))),
        ),
        (2,),
    ),
    "dequantized image, variational": slow(
        lambda r: Dequantized(
            zoo.glow((2, 2, 1), levels=1, steps=1, width=4, bounds=(0.0, 2.0), alpha=0.0, rngs=r),
            2,
            zoo.dequantizer(
                (2, 2, 1), steps=1, features=2, encoder_blocks=1, heads=1, **FLOWPP, rngs=r
            ),
        ),
        (2, 2, 1),
        options=FEW | {"seed": 3},  # others stretch the flow so far that few weights count
    ),
    "flowpp": slow(
        lambda r: zoo.flowpp((2,), steps=(1,), components=2, hidden=(6,), rngs=r),
        (2,),
        options={"seed": 2},  # others stretch the base so far that the quadrature is too coarse
    ),
    "flowpp context, bounds": slow(
        lambda r: zoo.flowpp(
            (2,),
            steps=(1,),
            components=2,
            hidden=(6,),
            bound=0.5,
            bounds=(0.0, 1.0),
            alpha=0.0,
            context_features=2,
            rngs=r,
        ),
        (2,),
        (0.0, 1.0),
    ),
    "flowpp image": slow(
        lambda r: zoo.flowpp(
            (2, 4, 1), steps=(1, 1, 1), attention=False, **(FLOWPP | {"heads": 4}), rngs=r
        ),
        (2, 4, 1),
        options=FEW,
    ),
    "dequantizer": slow(lambda r: dequantizer(r), (2,), (0.0, 1.0)),
    "vae": Example(lambda r: zoo.vae((3,), latents=1, hidden=(5,), rngs=r), (3,)),
    "vae convolutional": slow(
        lambda r: zoo.vae((4, 4, 1), latents=2, network="conv", widths=(3, 3), rngs=r), (4, 4, 1)
    ),
    "vae convolutional, mixture of logistics, context": slow(
        lambda r: zoo.vae(
            (2, 2, 3),
            levels=8,
            components=2,
            latents=2,
            network="conv",
            widths=(3,),
            context_features=2,
            rngs=r,
        ),
        (2, 2, 3),
    ),
    "vae of real values": Example(lambda r: autoencoder(r, likelihoods.Normal(), 1), (1,)),
    "vae context": slow(lambda r: autoencoder(r, likelihoods.Bernoulli(), 3, context=2), (3,)),
    "vae of two layers": slow(
        lambda r: autoencoder(
            r, likelihoods.Bernoulli(), 3, prior=autoencoder(r, likelihoods.Normal(), 1)
        ),
        (3,),
    ),
    "vae, flows as prior and posterior": slow(
        lambda r: autoencoder(
            r, likelihoods.Bernoulli(), 3, 2, 0, Flow(maf((2,), r)), iaf_posterior(r, 3)
        ),
        (3,),
    ),
    "vae of bits": slow(
        lambda r: autoencoder(
            r,
            likelihoods.Bernoulli(),
            3,
            2,
            0,
            zoo.fvsbn((2,), rngs=r),
            Factorized(
                MLP(3, 2, hidden=(5,), rngs=r), likelihoods.Bernoulli(), (2,), context_shape=(3,)
            ),
        ),
        (3,),
    ),
    "flow on a vae": slow(
        lambda r: Flow(maf((2,), r), autoencoder(r, likelihoods.Normal(), 2)), (2,)
    ),
    "dequantized flow on a vae": slow(
        lambda r: Dequantized(
            Flow(Logit(0.0, 3.0, event_ndims=1), autoencoder(r, likelihoods.Normal(), 2)), 3
        ),
        (2,),
    ),
    "vae_iaf": slow(
        lambda r: zoo.vae_iaf(
            (3,), latents=2, layers=2, layer_hidden=(4,), features=3, hidden=(5,), rngs=r
        ),
        (3,),
    ),
    "vae_iaf convolutional, context": slow(
        lambda r: zoo.vae_iaf(
            (2, 2, 1),
            latents=2,
            layers=1,
            layer_hidden=(4,),
            features=3,
            network="conv",
            widths=(3,),
            context_features=2,
            rngs=r,
        ),
        (2, 2, 1),
    ),
    "sylvester": slow(
        lambda r: zoo.sylvester((3,), latents=2, steps=2, features=3, hidden=(5,), rngs=r), (3,)
    ),
    "sylvester triangular": slow(
        lambda r: zoo.sylvester(
            (3,), latents=2, basis="triangular", steps=2, features=3, hidden=(5,), rngs=r
        ),
        (3,),
    ),
    "sylvester planar": slow(
        lambda r: zoo.sylvester(
            (3,), latents=2, basis="planar", steps=2, features=3, hidden=(5,), rngs=r
        ),
        (3,),
    ),
    "iwae": slow(lambda r: zoo.iwae((3,), layer_sizes=(1, 1), hidden=((5,), (4,)), rngs=r), (3,)),
    "helmholtz": slow(
        lambda r: zoo.helmholtz((3,), layer_sizes=(3, 2), rngs=r),
        (3,),
        options={"unused": ("prior.prior.logits",)},  # of one component
    ),
    "iwae of contexts": slow(
        lambda r: zoo.iwae(
            (3,), layer_sizes=(1, 1), hidden=((5,), (4,)), context_features=2, rngs=r
        ),
        (3,),
    ),
    "helmholtz of contexts": slow(
        lambda r: zoo.helmholtz((3,), layer_sizes=(3, 2), context_features=2, rngs=r),
        (3,),
        options={"unused": ("prior.prior.logits",)},
    ),
    "vae of real values, VampPrior": slow(
        lambda r: autoencoder(
            r,
            likelihoods.Normal(),
            1,
            prior=VampPrior((1,), (1,), 3, bounded=False, rngs=r),
        ),
        (1,),
    ),
    "vampprior": slow(
        lambda r: zoo.vampprior((3,), latents=2, hidden=(5,), pseudo_inputs=3, rngs=r), (3,)
    ),
    "pixelvae": slow(lambda r: zoo.pixelvae((2, 2, 1), **PIXELVAE, rngs=r), (2, 2, 1)),
    "pixelvae of contexts": slow(
        lambda r: zoo.pixelvae((2, 2, 1), **PIXELVAE, context_features=2, rngs=r), (2, 2, 1)
    ),
    "fvae": slow(lambda r: zoo.fvae((2, 2, 1), levels=None, latents=2, **FVAE, rngs=r), (2, 2, 1)),
    "vae of codes": slow(
        lambda r: VAE(
            zoo.mixture((2,), levels=3, components=2, rngs=r),
            Factorized(
                MLP(4, 3, hidden=(5,), rngs=r), likelihoods.Bernoulli(), (3,), context_shape=(4,)
            ),
            Nearest(MLP(3, 4, hidden=(5,), rngs=r), (2,), 3, 2, context_shape=(3,), rngs=r),
        ),
        (3,),
        options={"unused": ("posterior.codebook",)},
    ),
    "vqvae": slow(
        lambda r: zoo.vqvae(
            (2, 2, 1), **VQVAE, prior="mixture", prior_args={"components": 2}, rngs=r
        ),
        (2, 2, 1),
        # What trains it is no gradient of the bound.
        options={"unused": ("posterior.codebook",)},
    ),
    "vqvae of contexts": slow(
        lambda r: zoo.vqvae(
            (4, 2, 1),
            **VQVAE,
            prior="made",
            prior_args={"hidden": (4,)},
            context_features=2,
            rngs=r,
        ),
        (4, 2, 1),
        options={"unused": ("posterior.codebook",)},
    ),
    "top-down of flows, context": slow(lambda r: hierarchy(r, context=2), (1, 1, 3)),
    "vdvae": slow(
        lambda r: zoo.vdvae((2, 2, 1), blocks=(0, 1), width=4, latent_width=1, rngs=r), (2, 2, 1)
    ),
    "vdvae of real values": slow(
        lambda r: zoo.vdvae((1, 1, 1), levels=None, blocks=(2,), width=4, latent_width=1, rngs=r),
        (1, 1, 1),
    ),
    "vdvae context": slow(
        lambda r: zoo.vdvae(
            (4, 3, 1), blocks=(0, 1, 1), width=4, latent_width=2, context_features=2, rngs=r
        ),
        (4, 3, 1),
    ),
}
