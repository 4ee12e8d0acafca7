"""From settings to an optax optimizer."""

import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import optax
from optax import contrib

from jaxgen.core import unknown
from jaxgen.training.settings import Range, TrainSettings

# What a user may give: MultiSteps wraps a transformation, but is none itself.
Optimizer: TypeAlias = optax.GradientTransformation | optax.MultiSteps


def make_schedule(settings: TrainSettings) -> optax.Schedule:
    """The learning rate as a function of the step: linear warm-up, then cosine or constant."""
    remaining = max(settings.steps - settings.warmup_steps, 1)
    if settings.schedule == "cosine":
        main = optax.cosine_decay_schedule(settings.learning_rate, remaining)
    else:
        main = optax.constant_schedule(settings.learning_rate)
    if settings.warmup_steps == 0:
        return main
    warmup = optax.linear_schedule(0.0, settings.learning_rate, settings.warmup_steps)
    return optax.join_schedules([warmup, main], [settings.warmup_steps])


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Clipping, the named optimizer, decoupled weight decay of kernels, the schedule.

    Raises:
        ValueError: if there is no optimizer of this name, or it takes no such arguments, or one of
            them means nothing.

    >>> optimizer = make_optimizer(TrainSettings(optimizer="adamax", weight_decay=0.1))
    """
    scales = _scales()
    if settings.optimizer not in scales:
        raise unknown("optimizer", settings.optimizer, optimizer_names())
    scale = scales[settings.optimizer]
    _check_arguments(settings.optimizer, scale, settings.optimizer_args)
    parts = [] if settings.clip_norm is None else [optax.clip_by_global_norm(settings.clip_norm)]
    try:
        parts.append(scale(**settings.optimizer_args))
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer_args: {settings.optimizer}: {error}") from error
    if settings.weight_decay:
        parts.append(optax.add_decayed_weights(settings.weight_decay, mask=is_kernel))
    parts.append(optax.scale_by_learning_rate(make_schedule(settings)))
    return optax.chain(*parts)


def optimizer_names() -> list[str]:
    """The optimizers that settings may name."""
    return sorted(_scales().keys() - _OF_A_LOSS)


# Names of optax that batches cannot train with: they ask for the loss, or a step size to search.
_OF_A_LOSS = {"backtracking_linesearch", "polyak", "zoom_linesearch"}


def _momentum(decay: float = 0.9, nesterov: bool = False) -> optax.GradientTransformation:
    return optax.trace(decay, nesterov)


def _muon(beta: float = 0.95, b1: float = 0.9, b2: float = 0.999) -> optax.GradientTransformation:
    """Momentum with orthogonalised steps for matrices, NAdam for all else (Jordan et al. 2024).

    Matrices are the last two axes of kernels; those in front of them count layers of a stack, or
    the taps of a convolution. They are scaled so that a learning rate means what it means for Adam
    (Liu et al. 2025).
    """

    def matrices(params: Any) -> Any:
        def axes(kernel: bool, leaf: Any) -> contrib.MuonDimensionNumbers | None:
            if not kernel or leaf.ndim < 2:
                return None
            return contrib.MuonDimensionNumbers((leaf.ndim - 2,), (leaf.ndim - 1,))

        return jax.tree.map(axes, is_kernel(params), params)

    descent = contrib.muon(
        1.0,
        beta=beta,
        adam_b1=b1,
        adam_b2=b2,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,
    )
    return optax.chain(descent, optax.scale(-1.0))  # the learning rate turns the sign again


def _scales() -> dict[str, Callable[..., optax.GradientTransformation]]:
    """The optimizers by name, each without its learning rate."""
    prefix = "scale_by_"
    scales = {
        name.removeprefix(prefix): scale
        for name, scale in vars(optax).items()
        if name.startswith(prefix)
    }
    return {**scales, "sgd": optax.identity, "momentum": _momentum, "muon": _muon}


# Arguments that are decays of a moving average, by the names that optax has for them.
_DECAYS = ("b1", "b2", "b3", "beta", "decay", "decay_rate", "rho")


def _check_arguments(name: str, scale: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Refuses arguments that an optimizer has not, of another kind than its own, or out of range.

    Raises:
        ValueError: naming the argument, and what was expected.
    """
    parameters = inspect.signature(scale).parameters
    for key, value in arguments.items():
        if key not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(
                f"optimizer_args: {name} has no argument {key!r}; it takes: {known}, and its "
                f"learning rate is the setting learning_rate"
            )
        fits, expected = _expected(key, parameters[key].default)
        if not fits(value):
            raise ValueError(f"optimizer_args: {name}: {key}: expected {expected}, got {value!r}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ValueError(f"optimizer_args: {name}: missing the argument {key!r}")


def _expected(key: str, default: Any) -> Range:
    """What an optimizer's argument has to be, as far as its name and its default tell."""
    if isinstance(default, bool):
        return lambda value: isinstance(value, bool), "True or False"
    if isinstance(default, str):
        return lambda value: isinstance(value, str), f"a string such as {default!r}"
    if not isinstance(default, numbers.Real):
        return lambda value: True, "anything"
    kind: Any = numbers.Integral if isinstance(default, int) else numbers.Real

    def number(value: Any) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool)

    if key in _DECAYS:  # some average nothing, by a decay of 1
        return lambda value: number(value) and (0 <= value < 1 or value == default), "0 to below 1"
    what = "an integer" if kind is numbers.Integral else "a finite number"
    return lambda value: number(value) and 0 <= value < math.inf, f"{what}, 0 or more"


def as_transformation(
    optimizer: Optimizer | None, settings: TrainSettings
) -> optax.GradientTransformation:
    """A user's optimizer as one kind of object; that of the settings for None.

    Raises:
        ValueError: if it is no optimizer of optax's, or for settings that name none.

    >>> every_second = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=2)
    >>> optimizer = as_transformation(every_second, TrainSettings())
    """
    if optimizer is None:
        return make_optimizer(settings)
    if isinstance(optimizer, optax.MultiSteps):
        return optimizer.gradient_transformation()
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(f"optimizer: expected an optax.GradientTransformation, got {optimizer!r}")
    return optimizer


def check_optimizer(optimizer: optax.GradientTransformation, params: Any) -> None:
    """Refuses an optimizer whose update asks for more than gradients and parameters, or cannot be
    repeated.

    A line search evaluates the loss again and again, which is another loss on every batch of a
    stochastic objective.

    Raises:
        ValueError: if it does.
    """
    state = jax.eval_shape(optimizer.init, params)
    try:
        _, after = jax.eval_shape(optimizer.update, params, state, params)
    except TypeError as error:
        if "missing" not in str(error):
            raise ValueError(f"optimizer: its update fails: {error}") from error
        raise ValueError(
            f"optimizer: its update takes more than gradients and parameters ({error}); those with "
            f"a line search or a step size from the loss, such as lbfgs and polyak, do not train "
            f"on batches: use adam, sgd or momentum"
        ) from error
    if _shapes(after) != _shapes(state):
        raise ValueError(
            f"optimizer: its update changes the shapes of its state from {_shapes(state)} to "
            f"{_shapes(after)}; expected the same after every step"
        )


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: f"{leaf.dtype}{leaf.shape}", tree)


def is_kernel(params: Any) -> Any:
    """True for parameters under a name with ``kernel``: biases and scales are not decayed."""

    def named_kernel(path: tuple[Any, ...], _: Any) -> bool:
        # The attribute's own name: behind it come an index into a list and the variable's value.
        names = [jax.tree_util.keystr((part,), simple=True) for part in path]
        return "kernel" in [name for name in names if not (name.isdigit() or name == "value")][-1]

    return jax.tree_util.tree_map_with_path(named_kernel, params)
