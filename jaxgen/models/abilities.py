"""What some models can do beyond the contract of all."""

from typing import Any

from jax import Array

from jaxgen.core import Context, Key, Mask, Module, Shape
from jaxgen.models.checks import check_methods
from jaxgen.models.coding import LatentParts, Steps

# Which models have what not all have.
_ABILITIES = {
    "latent_shape": "only models with latents take data to them and back: a Flow, a VAE, a "
    "TopDown, a Dequantized or Embedded one, and a Cylinder of two",
    "has_posterior": "only latent-variable models have a posterior: a VAE, a TopDown, a Flow or a "
    "Dequantized one on it, and an Embedded one",
    "vector_shape": "only a VAE of which the posterior is Nearest, or an Embedded one, has a "
    "codebook",
    "grid_shape": "only autoregressive models condition on a part of an event: Autoregressive, an "
    "Ensemble of its orders, and an Embedded one of these",
    "has_cdf": "only models that take data to independent uniform numbers have it: Autoregressive "
    "or a Mixture with a head that has a cdf, a normal, logistic, uniform or Student's t base "
    "density, a Flow on one of these, and an Embedded one",
    "position_log_probs": "only models that give all positions one order say what each adds: "
    "Autoregressive, Factorized, and an Embedded one of these",
    "with_length": "only autoregressive models whose network knows of no positions are of any "
    "length: recurrent ones, a WaveNet, a Markov chain of one shared table, and Embedded ones",
    "num_members": "only an Ensemble, or an Embedded one, has members in equal parts",
    "levels": "only models of levels that define steps or latent_parts can be coded: "
    "Autoregressive, Factorized, an Ensemble, a VAE of such a decoder with a prior and a posterior "
    "that are normals with independent entries or of levels, and an Embedded one of these",
}


@check_methods
class Abilities(Module):
    """Optional abilities of a :class:`~jaxgen.models.Model`, as one that lacks them.

    They are said by attributes, which are None where it does.
    """

    latent_shape: Shape | None = None  # with infer, decode and reconstruct
    latent_levels: float | None = None  # of discrete latents
    has_posterior: bool = False  # with elbo_terms
    vector_shape: Shape | None = None  # of what stands for codes, with quantization_error
    grid_shape: Shape | None = None  # of positions, with complete and conditional_log_prob
    has_cdf: bool = False  # with conditional_cdf
    num_members: int | None = None  # of a mixture in equal parts, with member_log_probs

    def complete(
        self, key: Array, x: Array, observed: Mask, num_samples: int, context: Context = None
    ) -> Array:
        """Draws the missing part of events given the observed part.

        See :meth:`Autoregressive.complete <jaxgen.models.Autoregressive.complete>`.

        Raises:
            TypeError: if the model is not autoregressive: its ``grid_shape`` is None.
        """
        raise self._lacks("complete", "grid_shape")

    def conditional_log_prob(self, x: Array, observed: Mask, context: Context = None) -> Array:
        """``log p(missing part | observed part)`` in nats; as for :meth:`complete`."""
        raise self._lacks("conditional_log_prob", "grid_shape")

    def observed_log_prob(self, x: Array, observed: Mask, context: Context = None) -> Array:
        """``log p(observed part)`` in nats, whatever stands at missing positions, NaN too."""
        raise self._lacks("observed_log_prob", "grid_shape")

    def observed_elbo(
        self,
        x: Array,
        observed: Mask,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
    ) -> Array:
        """A lower bound of :meth:`observed_log_prob` in expectation over ``key``, to train on.

        A model that conditions in one way only needs no bound: this is that method, and has no
        dropout.
        """
        return self.observed_log_prob(x, observed, context)

    def conditions_exactly(self, observed: Mask) -> bool:
        """Whether :meth:`complete` and :meth:`conditional_log_prob` are exact for a mask.

        Args:
            observed: boolean array of the ``grid_shape``, or many, ``(*, *grid_shape)``.
        """
        raise self._lacks("conditions_exactly", "grid_shape")

    def conditional_cdf(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        r"""Where every entry stands in its distribution given those before it (Rosenblatt, 1952).

        .. math:: F(x_i^- \mid x_{<i}, c) \quad\text{and}\quad F(x_i \mid x_{<i}, c),

        the same number twice where entries are real. Of data from the model, numbers drawn
        uniformly between the two are independent and uniform on ``[0, 1]``. An autoregressive model
        has them in the order of its generation, a flow at its base, of the latents.

        Args:
            x: array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional model.

        Returns:
            Two arrays of the shape of ``x``, for a flow ``(*batch, *base.event_shape)``.

        Raises:
            TypeError: if the model has none: its ``has_cdf`` is False.
        """
        raise self._lacks("conditional_cdf", "has_cdf")

    def position_log_probs(self, x: Array, context: Context = None) -> Array:
        r"""What every position adds to ``log p(x)``: :math:`\log p(x_i \mid x_{<i}, c)` in nats.

        Negated, it is how surprising each position is to a model that has seen those before it, in
        the order in which it generates: characters of a text, pixels, columns of a table.

        Args:
            x: array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional model.

        Returns:
            Array ``(*batch, *grid_shape)``, whose sum over positions is ``log_prob``.

        Raises:
            TypeError: if the model is not a chain of positions in one order.
        """
        raise self._lacks("position_log_probs", "position_log_probs")

    def with_length(self, length: int) -> Any:
        """The same model over sequences of another length.

        Raises:
            TypeError: if its parameters, or its statistics of the data, belong to positions.
        """
        raise self._lacks("with_length", "with_length")

    def steps(self, context: Context = None, member: Array | None = None) -> Steps:
        """The distributions of levels that an event is coded by, one position after another.

        A model that has a ``grid_shape`` and a known number of ``levels``, and defines this, can be
        coded (:mod:`jaxgen.compression`).

        Args:
            context: array ``(*batch, *context_shape)`` for a conditional model.
            member: the number of one, which may be traced, for a model that has ``num_members``;
                others need no such argument.

        Raises:
            TypeError: if the model has none.
        """
        raise self._lacks("steps", "levels")

    def member_log_probs(self, x: Array, context: Context = None, key: Key = None) -> Array:
        """``log p_k(x | context)`` of every member, in nats, ``(num_members, *batch)``.

        Args:
            x, context, key: as in :meth:`Model.log_prob`, checked.

        Raises:
            TypeError: if the model has none.
        """
        raise self._lacks("member_log_probs", "num_members")

    def latent_parts(self, context: Context = None) -> LatentParts:
        """The models that events are coded by, together with latents.

        A model that has a posterior and a known number of ``levels``, and defines this, can be
        coded (:mod:`jaxgen.compression`).

        Args:
            context: array ``(*batch, *context_shape)`` for a conditional model.

        Raises:
            TypeError: if the model has none.
        """
        raise self._lacks("latent_parts", "levels")

    def infer(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """The latent of data, array ``(*batch, *latent_shape)``.

        Args:
            x: array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional model.
            key: of the noise, for a model that has some between data and latents; None for the
                middle of it.

        Raises:
            TypeError: if the model has no latents: its ``latent_shape`` is None.
        """
        raise self._lacks("infer", "latent_shape")

    def decode(self, z: Array, context: Context = None) -> Array:
        """The data of a latent, array ``(*batch, *event_shape)``.

        Of a flow it is the way back of :meth:`infer`, of a VAE the centre of its decoder, which is
        real of levels, too.

        Raises:
            TypeError: if the model has no latents: its ``latent_shape`` is None.
        """
        raise self._lacks("decode", "latent_shape")

    def reconstruct(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """Data taken to their latents and back, array ``(*batch, *event_shape)``.

        Args:
            x, context, key: as in :meth:`infer`.

        Raises:
            TypeError: if the model has no latents: its ``latent_shape`` is None.
        """
        if self.latent_shape is None:
            raise self._lacks("reconstruct", "latent_shape")
        return self.decode(self.infer(x, context, key=key), context)

    def elbo_terms(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> tuple[Array, Array]:
        """The two terms of :meth:`Model.elbo`, see :meth:`jaxgen.models.VAE.elbo_terms`.

        Raises:
            TypeError: if the model has no posterior.
        """
        raise self._lacks("elbo_terms", "has_posterior")

    def quantization_error(self, x: Array, commitment: float, context: Context = None) -> Array:
        """How far features are from the vectors of their codes, for training, ``(*batch,)``.

        Args:
            x: array ``(*batch, *event_shape)``.
            commitment: how much more the features than the vectors are to move.
            context: array ``(*batch, *context_shape)`` for a conditional model.

        Raises:
            TypeError: if the model has no codebook: its ``vector_shape`` is None.
        """
        raise self._lacks("quantization_error", "vector_shape")

    def as_normal(self, context: Context = None, *, key: Key = None) -> tuple[Array, Array] | None:
        """Mean and log standard deviation, if all entries are independent normals; None if not.

        Args:
            context: array ``(*batch, *context_shape)`` for a conditional model.
            key: turns dropout on; None means evaluation.

        Returns:
            Two arrays ``(*batch, *event_shape)``, or None.
        """
        return None

    def bound_to(self, posterior: Any) -> Any:
        """The model as a prior beside this posterior: itself, unless it is made of it."""
        return self

    def _lacks(self, method: str, ability: str) -> TypeError:
        """The error of a method whose ability this model has not."""
        return TypeError(f"{type(self).__name__}.{method}: {_ABILITIES[ability]}")
