"""Autoregressive flows over any conditional (MAF, Papamakarios et al. 2017; IAF, Kingma 2016)."""

from typing import Self

import jax.numpy as jnp
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.checks import check_tolerance
from jaxgen.core import (
    Context,
    Key,
    ShapeError,
    batch_shape,
    check_method,
    checked_arguments,
    program,
    replace,
)
from jaxgen.functional import autoregressive
from jaxgen.functional.autoregressive import Emit, FixedPoint
from jaxgen.transforms import Affine, Transform


class MaskedAutoregressive(Bijector):
    r"""``x_i = T(z_i; theta_i(x_{<i}))``: MAF, for any conditional and any elementwise transform.

    Seen from the data all positions are known, so the density takes one pass:
    :math:`\log|\det \partial z/\partial x| = \sum_i \log|(T^{-1})'(x_i)|`, since the Jacobian is
    triangular in the generation order. Sampling runs through the positions; with the conditional's
    ``step`` that costs about one pass too. ``Inverse(MaskedAutoregressive(...))`` is IAF.

    Args:
        conditional: the autoregressive network; it must give ``transform.num_params`` numbers for
            each position.
        transform: the elementwise family; affine by default.
        method: how the sequential direction is run, see
            :meth:`~jaxgen.conditionals.Conditional.generate`.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> flow = MaskedAutoregressive(MADE((3,), 2, hidden=(8,), rngs=nnx.Rngs(0)))
    >>> flow.forward(jnp.arange(3.0)).tolist()  # the identity at first
    [0.0, 1.0, 2.0]
    """

    @checked_arguments
    def __init__(
        self, conditional: Conditional, transform: Transform | None = None, method: str = "auto"
    ):
        check_method(method)
        self.conditional = conditional
        self.transform = transform if transform is not None else Affine()
        self.method = method
        self.event_shape = conditional.event_shape
        self.event_ndims = len(self.event_shape)
        self.context_shape = conditional.context_shape
        expected = self.transform.num_params(conditional.position_shape)
        if conditional.num_params != expected:
            raise ShapeError(
                f"MaskedAutoregressive: {type(self.transform).__name__} needs {expected} "
                f"parameters for a position of shape {conditional.position_shape}, "
                f"{type(conditional).__name__} gives {conditional.num_params}"
            )

    def initialize(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        new = replace(self, conditional=self.conditional.initialize(x, context))
        return new, new.inverse(x, context)

    def inverse_and_log_det(
        self, x: Array, context: Context = None, *, key: Key = None
    ) -> tuple[Array, Array]:
        params = self.conditional(x, context, key=key)
        return autoregressive.parallel(x, params, self.transform.inverse, self.event_ndims)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return self._generated(z, context)

    @program()
    def _generated(self, z: Array, context: Context) -> tuple[Array, Array]:
        batch = z.shape[: z.ndim - self.event_ndims]
        x, log_derivative = self.conditional.generate(
            self._emission(z), batch, context, method=self.method, dtype=z.dtype
        )
        return x, self._sum(log_derivative)

    def forward_with_certificate(
        self,
        z: Array,
        context: Context = None,
        *,
        method: str = "jacobi",
        tolerance: float = 0.0,
    ) -> tuple[Array, Array, FixedPoint]:
        """:meth:`forward_and_log_det` by fixed-point iteration, whatever the layer's ``method``.

        Args:
            z: array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional layer.
            method: ``"jacobi"``, or ``"block"`` to iterate block after block; through neither is
                there a gradient in reverse mode.
            tolerance: the iteration stops once no entry of ``x`` moves by more than this.

        Returns:
            ``x``, the log-determinant ``(*batch,)``, and the certificate: how many passes it took
            and the largest change in the last of them, see
            :meth:`~jaxgen.conditionals.Conditional.generate_with_certificate`.

        >>> from flax import nnx
        >>> from jaxgen.conditionals import MADE
        >>> flow = MaskedAutoregressive(MADE((3,), 2, hidden=(8,), rngs=nnx.Rngs(0)))
        >>> _, _, certificate = flow.forward_with_certificate(jnp.arange(3.0))
        >>> int(certificate.iterations), float(certificate.residual)  # the identity: two passes
        (2, 0.0)
        """
        where = "MaskedAutoregressive.forward_with_certificate"
        check_method(method)
        check_tolerance(tolerance, where)
        z = jnp.asarray(z)
        batch_shape(z, self.conditional.event_shape, where)
        return self._certified(z, context, method, tolerance)

    @program("method")
    def _certified(
        self, z: Array, context: Context, method: str, tolerance: float
    ) -> tuple[Array, Array, FixedPoint]:
        batch = z.shape[: z.ndim - self.event_ndims]
        (x, log_derivative), certificate = self.conditional.generate_with_certificate(
            self._emission(z), batch, context, method=method, tolerance=tolerance, dtype=z.dtype
        )
        return x, self._sum(log_derivative), certificate

    def _emission(self, z: Array) -> Emit:
        network = self.conditional
        noise = network.to_sequence(z, network.resolve_order(None))

        def emit(t: Array, params: Array) -> tuple[Array, tuple[Array, Array]]:
            x, log_derivative = self.transform.forward(noise[t], params)
            return x, (x, log_derivative)

        return emit

    def _sum(self, log_derivative: Array) -> Array:
        return jnp.sum(log_derivative, tuple(range(-self.event_ndims, 0)))
