"""What a component's constructor takes, be it declared in a base class or in the class that a function builds."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import typing
from collections.abc import Callable
from typing import Any

from paddle import nn


def parameters(component: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Arguments by name, with their types where these can be resolved, and whether there can be undeclared others.

    Those that a constructor passes on to its base through ``**keywords`` are among them, and those that a function
    passes on to the class that it constructs.
    """
    owner = constructed(component)
    found: dict[str, inspect.Parameter] = {}
    for function in _constructors(owner) if owner is not None else [component]:
        own, hints = list(inspect.signature(function).parameters.values())[owner is not None :], _hints(function)
        for parameter in own:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                hint = hints.get(parameter.name, parameter.empty)
                found.setdefault(parameter.name, parameter.replace(annotation=hint))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
            return _without(found, component, owner), False
    return _without(found, component, owner), True


def constructed(component: Callable[..., Any]) -> type | None:
    """The class itself, or the one that a function constructs; None where that cannot be read from its source."""
    if inspect.isclass(component):
        return component
    call = _call(component)
    return None if call is None else component.__globals__[call.func.id]  # type: ignore[attr-defined]


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # names that exist for a type checker only
        return {}


def _constructors(owner: type) -> list[Callable[..., None]]:
    return [vars(base)["__init__"] for base in owner.__mro__ if base is not nn.Layer and "__init__" in vars(base)]


def _without(
    found: dict[str, inspect.Parameter], component: Callable[..., Any], owner: type | None
) -> dict[str, inspect.Parameter]:
    """Arguments but for those that a function itself gives to the class that it constructs."""
    if owner is None or owner is component:
        return found
    call = _call(component)
    assert call is not None
    given = {*list(found)[: len(call.args)], *(keyword.arg for keyword in call.keywords)}
    return {name: parameter for name, parameter in found.items() if name not in given}


@functools.cache
def _call(function: Callable[..., Any]) -> ast.Call | None:
    """The call in a function that constructs a layer and passes keyword arguments on."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            named = function.__globals__.get(node.func.id)  # type: ignore[attr-defined]
            passes_on = any(keyword.arg is None for keyword in node.keywords)
            if passes_on and inspect.isclass(named) and issubclass(named, nn.Layer):
                return node
    return None
