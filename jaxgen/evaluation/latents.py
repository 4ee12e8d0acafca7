"""Looks at a latent space: traversals, directions of attributes, maps, and what is used of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, Key, ShapeError, batch_shape, check_finite
from jaxgen.evaluation.interpolation import numeric_latents
from jaxgen.evaluation.plots import new_figure, sample_grid
from jaxgen.models import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reconstruction_grid(
    model: Model, x: np.ndarray | Array, context: Context = None, *, key: Key = None
) -> "Figure":
    """Examples in the first row, and below each what comes back from its latents.

    Args:
        model: one with latents.
        x: examples ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: draws the latents of a posterior; None for its centre.

    Raises:
        TypeError: if the model has no latents.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((4, 4, 1), latents=3, hidden=(4,), rngs=nnx.Rngs(0))
    >>> figure = reconstruction_grid(model, np.zeros((5, 4, 4, 1), int))
    >>> figure.savefig("reconstructions.png")  # doctest: +SKIP
    """
    back = np.asarray(model.reconstruct(jnp.asarray(x), context, key=key))
    both = np.concatenate([np.asarray(x, back.dtype), back])
    return sample_grid(both, model.levels, columns=len(back))


def traverse(
    model: Model,
    x: np.ndarray | Array,
    dimension: int,
    values: np.ndarray | Array,
    context: Context = None,
) -> Array:
    """Examples with one latent dimension set to some values, and the others as they were.

    Args:
        model: one with latents.
        x: array ``(*batch, *event_shape)``.
        dimension: counted over the latents in a row.
        values: ``(n,)``: for a standard normal prior, up to about 3 either way; for discrete
            latents, levels or means of them.
        context: array ``(*batch, *context_shape)`` for a conditional model.

    Returns:
        Array ``(n, *batch, *event_shape)``.

    Raises:
        TypeError: if the model has no latents.
        ValueError: for a dimension that is none, or values that are no latents.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((8,), latents=2, hidden=(4,), rngs=nnx.Rngs(0))
    >>> traverse(model, np.zeros((3, 8), int), 1, np.linspace(-2, 2, 5)).shape
    (5, 3, 8)
    """
    z = model.infer(jnp.asarray(x), context)
    shape = model.latent_shape or ()
    batch = z.shape[: z.ndim - len(shape)]
    flat, values = z.reshape(*batch, int(np.prod(shape))), jnp.asarray(values)
    if not isinstance(dimension, int | np.integer) or not 0 <= dimension < flat.shape[-1]:
        raise ValueError(
            f"traverse: expected a dimension from 0 to {flat.shape[-1] - 1}, got {dimension}"
        )
    if values.ndim != 1 or not values.size:
        raise ShapeError(f"traverse: expected values of shape (n,), got {values.shape}")
    check_finite(values, "traverse", "values")
    flat = flat.astype(jnp.result_type(flat, values))  # of codes, what is no code is refused
    every = jnp.broadcast_to(flat, (len(values), *flat.shape))
    moved = every.at[..., dimension].set(values.reshape(-1, *(1,) * len(batch)))
    return model.decode(moved.reshape(-1, *batch, *shape), context)


def traversal_grid(
    model: Model,
    x: np.ndarray | Array,
    dimensions: np.ndarray | list[int],
    values: np.ndarray | Array,
    context: Context = None,
) -> "Figure":
    """Traversals of one example, a dimension in each row; see :func:`traverse`.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((4, 4, 1), latents=3, hidden=(4,), rngs=nnx.Rngs(0))
    >>> figure = traversal_grid(model, np.zeros((4, 4, 1), int), [0, 2], np.linspace(-2, 2, 5))
    >>> figure.savefig("traversals.png")  # doctest: +SKIP
    """
    rows = [np.asarray(traverse(model, x, int(each), values, context)) for each in dimensions]
    return sample_grid(np.concatenate(rows), model.levels, columns=len(values))


def attribute_vectors(
    model: Model,
    x: np.ndarray | Array,
    labels: np.ndarray,
    context: Context = None,
) -> np.ndarray:
    r"""The direction of every class in the latent space, ``(num_classes, *latent_shape)``.

    .. math:: v_k = \overline{z}_{y = k} - \overline{z}_{y \ne k},

    the mean latent of the examples of a class less that of the others. Added to an example's
    latent, it makes the example more of that class.

    Args:
        model: one with latents.
        x: array ``(n, *event_shape)``.
        labels: integers ``(n,)``, two classes at least.
        context: array ``(n, *context_shape)`` for a conditional model.

    Raises:
        TypeError: if the model has no latents.
        ShapeError: if there is no label for each example.
        ValueError: if there are fewer than two classes, or latents are codes.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((4, 4, 1), latents=3, hidden=(4,), rngs=nnx.Rngs(0))
    >>> attribute_vectors(model, np.zeros((6, 4, 4, 1), int), np.array([0, 0, 1, 1, 2, 2])).shape
    (3, 3)
    """
    labels = _labels(labels, model, x, "attribute_vectors")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"attribute_vectors: expected two classes or more, got {len(classes)}")
    z = np.asarray(numeric_latents(model, jnp.asarray(x), context, "attribute_vectors"), np.float64)
    return np.stack([z[labels == k].mean(0) - z[labels != k].mean(0) for k in classes])


def latent_map(
    model: Model,
    x: np.ndarray | Array,
    labels: np.ndarray | None = None,
    context: Context = None,
) -> "Figure":
    """Latents of examples in the plane of their two principal directions, coloured by label.

    Two latent dimensions are shown as they are.

    Args:
        model: one with latents.
        x: array ``(n, *event_shape)``.
        labels: ``(n,)``, of any kind; None for one colour.
        context: array ``(n, *context_shape)`` for a conditional model.

    Raises:
        TypeError: if the model has no latents.
        ShapeError: if there is no label for each example.
        ValueError: if there is no example, or latents are codes.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((4, 4, 1), latents=3, hidden=(4,), rngs=nnx.Rngs(0))
    >>> figure = latent_map(model, np.zeros((6, 4, 4, 1), int), np.array([0, 0, 1, 1, 2, 2]))
    >>> figure.savefig("map.png")  # doctest: +SKIP
    """
    if not len(x):
        raise ValueError("latent_map: expected at least one example, got none")
    z = np.asarray(numeric_latents(model, jnp.asarray(x), context, "latent_map"), np.float64)
    z = z.reshape(len(x), -1)
    names = [f"latent dimension {i}" for i in range(z.shape[1])]
    if z.shape[1] > 2:
        centred = z - z.mean(0)
        _, scales, directions = np.linalg.svd(centred, full_matrices=False)
        z = centred @ directions[:2].T
        shares = scales[:2] ** 2 / max(np.sum(scales**2), np.finfo(float).tiny)
        names = [f"principal direction {i + 1} ({share:.0%})" for i, share in enumerate(shares)]
    if z.shape[1] == 1:
        z, names = np.stack([z[:, 0], np.zeros(len(z))], axis=1), [names[0], ""]
    figure = new_figure(5.5, 5)
    axes = figure.add_subplot()
    options: dict[str, Any] = {"s": 5, "alpha": 0.6, "linewidths": 0}
    if labels is None:
        axes.scatter(z[:, 0], z[:, 1], **options)
    else:
        classes, which = np.unique(_labels(labels, model, x, "latent_map"), return_inverse=True)
        points = axes.scatter(z[:, 0], z[:, 1], c=which, cmap="tab10", **options)
        handles, _ = points.legend_elements(num=list(range(len(classes))))
        figure.legend(
            handles, [str(each) for each in classes], title="label", loc="outside right center"
        )
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    return figure


def _labels(labels: np.ndarray, model: Model, x: np.ndarray | Array, where: str) -> np.ndarray:
    """Labels as an array, one for each example."""
    labels = np.asarray(labels)
    if labels.shape != batch_shape(jnp.asarray(x), model.event_shape, where):
        raise ShapeError(
            f"{where}: expected a label for each of {len(x)} examples, got shape {labels.shape}"
        )
    return labels


def divergence_plot(divergence: Sequence[float] | np.ndarray, active_units: int) -> "Figure":
    """The mean divergence of every latent dimension, the most used first.

    Args:
        divergence, active_units: of a :class:`~jaxgen.evaluation.Record`, or of
            :func:`jaxgen.models.latent_use.latent_use`.

    >>> figure = divergence_plot([0.01, 2.5, 1.2], active_units=2)
    >>> figure.savefig("divergence.png")  # doctest: +SKIP
    """
    figure = new_figure(6, 3)
    axes = figure.add_subplot()
    axes.bar(np.arange(len(divergence)), np.sort(divergence)[::-1], width=0.9)
    axes.set_xlabel(f"latent dimensions, sorted; {active_units} are active")
    axes.set_ylabel("KL(q(z|x) || p(z)) (nats)")
    return figure
