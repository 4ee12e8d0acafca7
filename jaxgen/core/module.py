"""The base of all modules."""

import inspect
from typing import Any

from flax import nnx


class ConstructorSignature:
    """The signature of a class, as :func:`inspect.signature` asks for it: its constructor's."""

    def __get__(self, instance: Any, owner: Any) -> inspect.Signature:
        if instance is not None:  # whose signature is that of its call
            raise AttributeError("__signature__")
        if owner.__init__ is object.__init__:
            return inspect.Signature()
        whole = inspect.signature(owner.__init__)
        return whole.replace(parameters=list(whole.parameters.values())[1:])


class _Required:
    """What stands for an attribute on the class; an instance that has set it shows its own."""

    def __init__(self, advice: str):
        self.advice = advice

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        raise AttributeError(
            f"{type(instance).__name__}: expected {self.name} to be set; {self.advice}"
        )


def required(advice: str) -> Any:
    """An attribute that a class leaves to its instances, with an error that says how it is set.

    Args:
        advice: how it is set.

    >>> class Layer:
    ...     width: int = required("call super().__init__(width) in its constructor")
    >>> Layer().width
    Traceback (most recent call last):
    AttributeError: Layer: expected width to be set; call super().__init__(width) in its constructor
    """
    return _Required(advice)


class Module(nnx.Module):
    """An NNX module that ``help``, editors and notebooks show the arguments of.

    The metaclass of NNX has a call of its own, behind which they would see ``(*args, **kwargs)``.

    >>> class Scaled(Module):
    ...     def __init__(self, width: int, *, bound: float = 1.0):
    ...         self.width, self.bound = width, bound
    >>> inspect.signature(Scaled)
    <Signature (width: int, *, bound: float = 1.0)>
    """

    __signature__: Any = ConstructorSignature()
