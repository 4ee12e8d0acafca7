r"""VQ-VAE: discrete latents by vector quantization (van den Oord et al., 2017).

.. math:: z_i = \arg\min_k \lVert h_i(x) - e_k \rVert, \qquad
          \log p(x) \ge \log p(x | e_z) + \log p(z),

with a small image ``h`` from a convolutional encoder, a codebook of vectors ``e`` and a decoder
that sees the vectors of the codes (:class:`~jaxgen.models.Nearest`). The prior of the codes is any
model of levels, a gated PixelCNN at first. The bound is of the chosen codes alone; it is reported
as what it is, and more samples do not tighten it.

It is trained by :func:`~jaxgen.training.objectives.vector_quantized`. Deviation: the prior learns
along with the rest, not after it; its gradient reaches nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from jaxgen.core import Shape, check_event
from jaxgen.likelihoods import for_levels
from jaxgen.models import VAE, Factorized, Nearest
from jaxgen.networks import ConvDecoder, ConvEncoder
from jaxgen.zoo.registry import build, constructor, hyperparameters


@constructor
def vqvae(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    codes: int = 512,
    code_width: int = 64,
    widths: Sequence[int] = (64, 128),
    blocks: int = 2,
    activation: str = "relu",
    dropout: float = 0.0,
    prior: str = "gated_pixelcnn",
    prior_args: Mapping[str, Any] | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> VAE:
    """A VAE of images whose latents are a small image of codes.

    ``fit(model, x, objective="vector_quantized")`` trains it.

    Args:
        event_shape: ``(height, width, channels)``.
        codes: vectors in the codebook.
        code_width: entries of each.
        dropout: rate in the decoder's hidden layers while training.
        prior: of the codes: a constructor of the zoo by name, of one that takes levels.
        prior_args: its hyperparameters besides ``levels``, which are the codes.
        context_features: the size of a context vector, which the prior sees; None for none.

    Raises:
        ValueError: for a prior of real values, or one that takes no context where there is one.
        ShapeError: for events that are no images, or of a height or width that cannot be halved
            once for each of ``widths``.

    >>> import jax, jax.numpy as jnp
    >>> options = {"codes": 8, "code_width": 2, "widths": (4,), "blocks": 1}
    >>> small = {"width": 4, "depth": 1, "out_width": 4, "first_size": 3}
    >>> model = vqvae((4, 4, 1), levels=2, **options, prior_args=small, rngs=nnx.Rngs(0))
    >>> x = jnp.zeros((3, 4, 4, 1), int)
    >>> model.infer(x).shape, model.elbo(x, jax.random.key(0)).shape
    ((3, 2, 2, 1), (3,))
    """
    event_shape = check_event(event_shape, (3,), "vqvae")
    head = for_levels(levels, components)
    options: dict[str, Any] = {
        "widths": widths,
        "blocks": blocks,
        "activation": activation,
        "flat": False,
    }
    encoder = ConvEncoder(event_shape, code_width, **options, rngs=rngs)
    shape = (*event_shape[:2], head.num_params(event_shape[2:]))
    decoder = ConvDecoder(code_width, shape, dropout=dropout, **options, rngs=rngs)
    small = (*decoder.input_shape[:2], 1)
    # The number of a code says nothing about it.
    names = {"inputs": "one_hot"} if "inputs" in hyperparameters(prior) else {}
    given = {} if context_features is None else {"context_features": context_features}
    for name in ("levels", *given):
        if name not in hyperparameters(prior):
            raise ValueError(f"vqvae: expected a prior that takes {name}, got {prior!r}")
    return VAE(
        build(prior, small, {"levels": codes, **names, **given, **(prior_args or {})}, rngs=rngs),
        Factorized(
            decoder, head, event_shape[:2], event_shape[2:], context_shape=decoder.input_shape
        ),
        Nearest(encoder, small, codes, code_width, context_shape=event_shape, rngs=rngs),
        context_features=context_features,
    )
