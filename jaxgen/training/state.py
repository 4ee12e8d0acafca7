"""The state of a training run as one pytree."""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jaxgen.core import partition
from jaxgen.models import Model


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that training changes: what a checkpoint holds and a step returns.

    ``ema`` are the averaged parameters (an ``nnx.State`` of the model's ``nnx.Param`` leaves),
    ``key`` never changes: the randomness of a step is ``fold_in(key, step)``.
    """

    model: Model
    ema: nnx.State
    opt_state: optax.OptState
    step: Array
    key: Array

    @classmethod
    def create(cls, model: Model, optimizer: optax.GradientTransformation, key: Array) -> Self:
        """The state before the first step; it shares no array with ``model``."""
        # Steps donate the state's arrays. Without copies the caller's model would lose its own.
        model = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), model)
        params = nnx.state(model, nnx.Param)
        ema = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), params)
        # Some optimizers keep the parameters themselves in their state.
        opt_state = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), optimizer.init(params))
        return cls(model, ema, opt_state, jnp.asarray(0, jnp.int32), key)

    @property
    def ema_model(self) -> Model:
        """The model with the averaged parameters."""
        return with_params(self.model, self.ema)


def with_params(model: Model, params: nnx.State) -> Model:
    """The model with other parameters; its buffers stay."""
    return partition(model)[1](params)
