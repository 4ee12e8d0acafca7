"""An argument that means nothing is refused by its name; one that another makes idle is, too.

What is refused wherever the name occurs is in `tests/test_fuzz.py`, for every constructor. Here
stand the mistakes that a user makes, with what is said about them, and arguments that look odd and
are taken.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import bijectors, conditionals, likelihoods, models, networks, zoo
from jaxgen.bijectors import Conv1x1, Logit, Scan, Standardize
from jaxgen.conditionals import MADE, NADE, Recurrent
from jaxgen.core import num_parameters
from jaxgen.likelihoods import Bernoulli, GaussianMixture, Normal
from jaxgen.models import Autoregressive, DiagonalNormal, Embedded, Flow, Frame, StandardNormal
from jaxgen.networks import MLP
from jaxgen.transforms import Affine, RationalQuadraticSpline

NAN, INF = float("nan"), float("inf")
IMAGE = (4, 4, 1)

REFUSED = {
    # ranges
    "bound=0": (
        zoo.maf,
        (2,),
        {"bound": 0},
        "maf: expected a positive, finite number",
    ),
    "bound=nan": (zoo.maf, (2,), {"bound": NAN}, "for bound, got nan"),
    "a spline of bound inf": (zoo.nsf, (2,), {"bound": INF}, "nsf: .* for bound, got inf"),
    "bounds to infinity": (
        zoo.maf,
        (2,),
        {"bounds": (0, INF)},
        r"bounds: expected finite numbers, or None for an end that is open, got \(0, inf\)",
    ),
    "bounds turned round": (zoo.nice, (2,), {"bounds": (1, 0)}, r"bounds.*\(1, 0\)"),
    "components=nan": (zoo.maf_mog, (2,), {"components": NAN}, "for components, got nan"),
    "components=0": (zoo.made, (2,), {"components": 0}, "for components, got 0"),
    "half a bin": (zoo.nsf, (2,), {"bins": 1.5}, r"nsf: expected an integer .* for bins, got 1\.5"),
    "dropout=1": (zoo.made, (2,), {"dropout": 1.0}, r"made: expected a rate .* dropout, got 1\.0"),
    "alpha=1": (zoo.maf, (2,), {"bounds": (0, 1), "alpha": 1}, "less than 0.5 for alpha, got 1"),
    "a width beyond any memory": (
        zoo.glow,
        IMAGE,
        {"width": 10**12},
        r"glow: expected an integer from 1 to 2\*\*24 for width, got 10*$",
    ),
    "no width of a pyramid": (
        zoo.vae,
        IMAGE,
        {"network": "conv", "widths": ()},
        "ConvEncoder: expected one width or more",
    ),
    "widths that are not nested": (
        zoo.iwae,
        (2,),
        {"layer_sizes": (3, 2), "hidden": (4, 4)},
        r"each entry a sequence, each entry an integer from 1 to 2\*\*24, or None, for hidden",
    ),
    "no layers": (
        zoo.iwae,
        (2,),
        {"layer_sizes": ()},
        r"a layer or more.*layer_sizes=\(\) and hidden=\(\)",
    ),
    "hidden widths of one layer of two": (
        zoo.iwae,
        (2,),
        {"layer_sizes": (3, 2), "hidden": ((4,),)},
        "hidden widths below each",
    ),
    "one width for hidden": (zoo.maf, (2,), {"hidden": 8}, "a sequence, .* for hidden, got 8"),
    "a layer of none": (zoo.made, (2,), {"hidden": (8, 0)}, r"for hidden, got \(8, 0\)"),
    "layers=true": (zoo.maf, (2,), {"layers": True}, "maf: expected an integer .* got True"),
    "one for a flag": (zoo.glow, IMAGE, {"lu": 1}, "glow: expected True or False for lu, got 1"),
    "no event": (zoo.maf, (), {}, r"maf: expected a tuple of positive integers for event_shape"),
    "an empty event": (zoo.made, (0,), {}, r"made: expected .* for event_shape, got \(0,\)"),
    "a number for an event": (zoo.nade, 4, {}, "nade: expected .* for event_shape, got 4"),
    "an event of text": (zoo.nade, "44", {}, "nade: expected .* for event_shape, got '44'"),
    "an unknown activation": (zoo.maf, (2,), {"activation": "rellu"}, "did you mean 'relu'"),
    "an activation that is none": (zoo.maf, (2,), {"activation": jax.nn.relu}, "for activation"),
    # idle beside another
    "widths of masked networks for couplings": (
        zoo.nsf,
        (2,),
        {"hidden": (8,)},
        r"nsf: hidden means nothing for structure='coupling'; expected none, got \(8,\)",
    ),
    "widths of couplings for masked networks": (
        zoo.nsf,
        (2,),
        {"structure": "autoregressive", "width": 8},
        "nsf: width means nothing for structure='autoregressive'",
    ),
    "scales of a vector": (zoo.nsf, (2,), {"levels": 2}, "levels means nothing for events that"),
    "a network of images": (zoo.realnvp, (2,), {"blocks": 1}, "blocks means nothing for vectors"),
    "a network of vectors": (zoo.realnvp, IMAGE, {"hidden": (8,)}, "hidden .* nothing for images"),
    "heads for vectors": (zoo.flowpp, (2,), {"heads": 2}, "heads means nothing for vectors"),
    "layers for images": (zoo.flowpp, IMAGE, {"hidden": (8,)}, "hidden means nothing for images"),
    "heads without attention": (
        zoo.flowpp,
        IMAGE,
        {"heads": 2, "attention": False},
        "heads means nothing without attention",
    ),
    "blocks of a noise of vectors": (zoo.dequantizer, (2,), {"blocks": 1}, "nothing for vectors"),
    "layers of a noise of images": (
        zoo.dequantizer,
        IMAGE,
        {"hidden": (8,)},
        "dequantizer: hidden means nothing for images",
    ),
    "patches of a vector": (zoo.tarflow, (2,), {"patch": 2}, "patch means nothing for vectors"),
    "tokens that do not take turns": (
        zoo.jet,
        IMAGE,
        {"patch": 2, "couplings": 2, "pattern": "rows"},
        "pattern means nothing without couplings of tokens",
    ),
    "orders of a batch out of one": (
        zoo.made,
        (2,),
        {"orders_per_batch": 2},
        "orders_per_batch means nothing with one order",
    ),
    "orders of a batch out of one raster": (
        zoo.lmconv,
        IMAGE,
        {"orders": "raster", "orders_per_batch": 2, "width": 4, "depth": 1},
        "orders_per_batch means nothing with one order",
    ),
    "a margin of unbounded data": (zoo.maf, (2,), {"alpha": 0.1}, "alpha means nothing without bo"),
    "a local context of none": (zoo.wavenet, (4,), {"local": True}, "local .* without context_fea"),
    "a network inside of no frame": (
        zoo.recurrent,
        (4, 2),
        {"frame_width": 8},
        "recurrent: frame_width means nothing without frame; expected none, got 8",
    ),
    "a frame of one number": (
        zoo.recurrent,
        (4,),
        {"frame": "nade"},
        "expected events whose positions are vectors, .* for frame='nade', got positions of one",
    ),
    "an unknown frame": (zoo.attention, (4, 2), {"frame": "mad"}, "did you mean 'made'"),
    # parts
    "a frame of no features": (
        lambda shape, rngs: Frame(NADE(shape, 1, rngs=rngs), Bernoulli()),
        (2,),
        {},
        "Frame: expected a network whose context is a vector, .* got NADE with .* None",
    ),
    "a frame of another head": (
        lambda shape, rngs: Frame(NADE(shape, 1, context_features=2, rngs=rngs), Normal()),
        (2,),
        {},
        r"Frame: Normal needs a network that reads \(\) and gives 2 .* NADE reads \(\) and gives 1",
    ),
    "a frame of another size": (
        lambda shape, rngs: Autoregressive(
            Recurrent((4,), (3,), 5, rngs=rngs),
            Frame(NADE(shape, 1, context_features=2, rngs=rngs), Bernoulli()),
        ),
        (2,),
        {},
        r"Frame: expected positions of shape \(2,\), as the network inside has them, got \(3,\)",
    ),
    "a logit of arrays": (
        lambda shape, rngs: Logit(np.zeros(2), np.ones(2)),
        (2,),
        {},
        r"Logit: expected a finite number for low, got float64\(2,\)",
    ),
    "a logit of nothing": (lambda shape, rngs: Logit(0.0, None), (2,), {}, "for high, got None"),
    "a base that is none": (lambda shape, rngs: Flow("maf"), (2,), {}, "a Bijector for bijector"),
    "a key for rngs": (
        lambda shape, rngs: MADE(shape, 2, rngs=jax.random.key(0)),
        (2,),
        {},
        r"MADE: expected flax\.nnx\.Rngs, as in rngs=nnx\.Rngs\(0\), for rngs",
    ),
    "a scale of nan": (
        lambda shape, rngs: Standardize(shape, scale=NAN),
        (2,),
        {},
        "finite .* scale",
    ),
    "a mean of another size": (
        lambda shape, rngs: Standardize(shape, mean=np.zeros(3)),
        (2,),
        {},
        r"for mean an array that broadcasts to \(2,\), got shape \(3,\)",
    ),
    "a network that is none": (
        lambda shape, rngs: Embedded(zoo.maf(shape, context_features=2, rngs=rngs), "labels"),
        (2,),
        {},
        "Embedded: expected a function for network, got 'labels'",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_means_nothing_is_refused_by_name(mistake):
    build, shape, arguments, said = REFUSED[mistake]
    with pytest.raises((ValueError, TypeError), match=said):
        build(shape, **arguments, rngs=nnx.Rngs(0))


SMALL = {"layers": 1, "hidden": [4]}
TAKEN = {
    "lists and numpy's numbers": lambda rngs: zoo.maf(
        [2], layers=np.int64(1), hidden=np.array([4]), bound=np.float32(2.0), rngs=rngs
    ),
    "whole numbers for real ones": lambda rngs: zoo.maf(
        (2,), bound=3, dropout=0, **SMALL, rngs=rngs
    ),
    "layers without widths": lambda rngs: zoo.iwae((2,), layer_sizes=(3, 2, 1), rngs=rngs),
    "layers of bits": lambda rngs: zoo.helmholtz((2,), layer_sizes=[4], rngs=rngs),
    "no hidden layers": lambda rngs: zoo.maf((2,), layers=1, hidden=(), rngs=rngs),
    "idle arguments at their defaults": lambda rngs: zoo.maf((2,), alpha=1e-6, **SMALL, rngs=rngs),
    "bounds of numpy's": lambda rngs: zoo.maf((2,), bounds=np.array([0, 1]), **SMALL, rngs=rngs),
    "an array of one number": lambda rngs: Logit(jnp.zeros(()), jnp.ones(())),
    "a scalar event of a density": lambda rngs: StandardNormal(()),
    "an event of one entry": lambda rngs: DiagonalNormal((1,)),
    "no margin": lambda rngs: Logit(alpha=0.0),
    "a flag of numpy's": lambda rngs: MADE((2,), 1, direct=np.True_, rngs=rngs),
    "a function for a matrix": lambda rngs: Conv1x1((2,), rngs=rngs),
    "traced numbers": lambda rngs: jax.vmap(lambda scale: Standardize((2,), scale=scale))(
        jnp.ones(3)
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_means_something_is_taken(case):
    TAKEN[case](nnx.Rngs(0))


def test_arguments_are_kept_as_plain_numbers():
    """So that modules compare and hash as if they had been given plain numbers."""
    spline = RationalQuadraticSpline(np.int64(4), np.float32(2.0))
    assert type(spline.bins) is int
    assert type(Affine(jnp.float32(2.0)).bound) is float
    assert type(GaussianMixture(np.int8(2)).components) is int


@pytest.mark.parametrize(("build", "name"), [(zoo.nade, "width"), (zoo.mixture, "components")])
def test_an_absurd_number_of_parameters_is_refused(build, name):
    """Each number is small enough by itself."""
    said = rf"expected a model that memory can hold, got .*{name}=1048576"
    with pytest.raises(ValueError, match=said):
        build((2**20,), **{name: 2**20}, rngs=nnx.Rngs(0))


def test_a_step_of_a_scan_is_checked_as_any_other():
    with pytest.raises(ValueError, match=r"MLP: .* for hidden"):
        Scan(lambda rngs: MLP(2, 2, hidden=(0,), rngs=rngs), 2, rngs=nnx.Rngs(0))


def test_the_checks_change_no_weight():
    one = zoo.maf((2,), layers=2, hidden=[4], rngs=nnx.Rngs(3))
    other = zoo.maf((2,), layers=np.int32(2), hidden=(4,), rngs=nnx.Rngs(3))
    assert num_parameters(one) == num_parameters(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(one) == jax.tree.structure(other)


PACKAGES = (bijectors, conditionals, likelihoods, models, networks)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_class_shows_its_arguments(package):
    exported = vars(package)
    classes = [
        each
        for each in exported.values()
        if isinstance(each, type) and issubclass(each, nnx.Pytree)
    ]
    assert classes
    for each in classes:
        shown = inspect.signature(each).parameters
        if each.__init__ is not object.__init__:
            assert ["self", *shown] == list(inspect.signature(each.__init__).parameters)


def test_what_is_called_shows_the_arguments_of_its_call():
    assert next(iter(inspect.signature(MLP(2, 3, rngs=nnx.Rngs(0))).parameters)) == "x"
