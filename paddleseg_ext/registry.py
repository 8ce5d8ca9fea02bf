"""Connects the names in a YAML file to head classes.

PaddleSeg's builder constructs nested ``type:`` dictionaries before their parent, with nothing but
their own keys, so a head built there could not know its backbone's channels. A registered head is
therefore not built but *bound*: ``{type: PSPHead, bin_sizes: [1, 2]}`` becomes
``functools.partial(PSPHead, bin_sizes=[1, 2])``, and the parent calls it with what it alone knows.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Any, Callable, TypeVar

from paddleseg.cvlibs import manager

from paddleseg_ext.errors import UserError
from paddleseg_ext.signatures import parameters

PARENT_BOUND = {
    "in_channels": "the feature channels come from the backbone",
    "num_classes": "write it under `model` or leave it to the data set",
}

HINTS = {"data_format": "Of PaddleSeg's backbones ResNet18_vd to ResNet152_vd have it."}
"""What can be done, by an argument that few components take."""

HEADS: dict[str, type] = {}
"""Registered heads by name; tests and listings walk over it."""

T = TypeVar("T", bound=type)
C = TypeVar("C", bound=Callable[..., Any])


def closest(name: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the likeliest misspelling, or ``""``."""
    match = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else ""


def unknown_argument(owner: str, key: str, allowed: Iterable[str]) -> str:
    """The sentence for a key that a component does not take; without ``allowed`` it cannot propose another."""
    allowed = list(allowed)
    hint = f" Allowed: {', '.join(allowed)}." if allowed else ""
    if key in HINTS:
        hint += f" {HINTS[key]}"
    return f"{owner}: unknown argument '{key}'{closest(key, allowed) or '.'}{hint}"


def argument_names(component: Callable[..., Any]) -> list[str]:
    """Keyword arguments of a component; see `signatures.parameters`."""
    return list(parameters(component)[0])


def bind(cls: type, keywords: dict[str, Any]) -> Callable[..., Any]:
    """Bind YAML keys to a head class, refusing the unknown and the parent's own ones.

    Raises:
        UserError: a key the head does not take, or one that its parent sets.
    """
    allowed = [name for name in argument_names(cls) if name not in PARENT_BOUND]
    for key in keywords:
        if key in PARENT_BOUND:
            raise UserError(f"{cls.__name__}: '{key}' cannot be set here: {PARENT_BOUND[key]}.")
        if key not in allowed:
            raise UserError(unknown_argument(cls.__name__, key, allowed))
    return functools.partial(cls, **keywords)


REGISTRIES = {
    "model": manager.MODELS,
    "backbone": manager.BACKBONES,
    "dataset": manager.DATASETS,
    "transform": manager.TRANSFORMS,
    "loss": manager.LOSSES,
    "optimizer": manager.OPTIMIZERS,
}


def _add(kind: str, component: Callable[..., Any]) -> None:
    """Enter a class or function under its name.

    Raises:
        ValueError: a component of any kind has the name: PaddleSeg's manager would overwrite it silently, and its
            builder looks through all registries.
    """
    name = component.__name__
    for other, registry in REGISTRIES.items():
        if name in registry.components_dict:
            raise ValueError(f"'{name}' is already registered, as a {other}; choose another name for this {kind}.")
    REGISTRIES[kind].add_component(component)


def register_head(cls: T) -> T:
    """Class decorator: make ``type: <ClassName>`` available in PaddleSeg's YAML files.

    The arguments in the file are bound; the model that has the head calls it with ``in_channels`` and ``num_classes``.

    Args:
        cls: A subclass of `Head`.

    Returns:
        The class itself.

    Raises:
        ValueError: the name is taken, by whatever kind of component.
    """

    def factory(**keywords: Any) -> Callable[..., Any]:
        return bind(cls, keywords)

    factory.__name__ = cls.__name__
    factory.__doc__ = cls.__doc__
    _add("model", factory)
    HEADS[cls.__name__] = cls
    return cls


DECORATOR = """Decorator: make a {kind} available in YAML files, as ``type:`` and its name.

Args:
    component: A class or function whose arguments are the keys in the file.

Returns:
    The component itself.

Raises:
    ValueError: the name is taken, by whatever kind of component.
"""


def _registrar(kind: str) -> Callable[[C], C]:
    """The decorator that registers components of a kind."""

    def register(component: C) -> C:
        _add(kind, component)
        return component

    register.__name__ = f"register_{kind}"
    register.__doc__ = DECORATOR.format(kind=kind)
    return register


register_model = _registrar("model")
register_backbone = _registrar("backbone")  # a class with `feat_channels`, or a function that returns one
register_dataset = _registrar("dataset")
register_transform = _registrar("transform")
register_loss = _registrar("loss")
