"""Arguments of a component, with their defaults and what its docstring says of them, in a line each."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from paddle import nn

from paddleseg_ext.signatures import constructed, parameters

ENTRY = re.compile(r"^(\s*)\*{0,2}(\w+)\s*(?:\([^:]*\))?\s*:\s*(.*)$")
SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Returns|Raises|Shape|Attributes|Examples?|Reference)\s*:")
LONGEST = 120  # characters of a line


def summary(component: Callable[..., Any]) -> str:
    """The first sentence of what a component's docstring says, or of its class's."""
    for owner in (component, constructed(component)):
        text = inspect.getdoc(owner) if owner is not None and "__doc__" in vars(owner) else None
        lines = [line for line in (text or "").splitlines() if line.strip()]
        if lines and not lines[0].lstrip().startswith("@"):
            return _line(lines[0])
    return ""


def arguments(component: Callable[..., Any], hidden: tuple[str, ...] = ()) -> list[dict[str, str | None]]:
    """Name, default (None where it has to be given) and a line about each argument that a configuration can give.

    Args:
        component: A class, or a function whose keyword arguments go to the class that it constructs.
        hidden: Names that somebody else gives.
    """
    texts = _texts(component, constructed(component))
    found: list[dict[str, str | None]] = []
    for name, parameter in parameters(component)[0].items():
        if name not in hidden:
            default = None if parameter.default is parameter.empty else _value(parameter.default)
            found.append({"name": name, "default": default, "text": texts.get(name, "")})
    return found


def _texts(component: Callable[..., Any], owner: type | None) -> dict[str, str]:
    """What docstrings say of arguments, the class's own before its bases'."""
    bases = [base for base in owner.__mro__ if base not in (nn.Layer, object)] if owner is not None else []
    documented: list[Any] = [component, *bases]
    found: dict[str, str] = {}
    for item in documented:
        for text in (vars(item).get("__doc__"), getattr(vars(item).get("__init__"), "__doc__", None)):
            for name, line in _entries(inspect.cleandoc(text) if isinstance(text, str) else "").items():
                found.setdefault(name, line)
    return found


def _entries(text: str) -> dict[str, str]:
    """The entries of a docstring's ``Args:``, each as its first sentence."""
    entries: dict[str, str] = {}
    inside, indent, name = False, None, ""
    for line in text.splitlines():
        if SECTION.match(line):
            inside, indent = line.strip().startswith(("Args", "Arguments", "Parameters")), None
            continue
        if not inside or not line.strip():
            continue
        match = ENTRY.match(line)
        if match and (indent is None or len(match[1]) <= indent):
            indent, name = len(match[1]), match[2]
            entries[name] = match[3]
        elif name:
            entries[name] += f" {line.strip()}"
    return {name: _line(text) for name, text in entries.items()}


def _line(text: str) -> str:
    """The first sentence, in one line."""
    sentence = re.split(r"(?<=[a-z)`\]]\.)(?<!e\.g\.)(?<!i\.e\.)\s", " ".join(text.split()), maxsplit=1)[0]
    return sentence if len(sentence) <= LONGEST else f"{sentence[:LONGEST]} …"


def _value(default: Any) -> str:
    if inspect.isclass(default) or inspect.isroutine(default):
        return default.__name__
    if isinstance(default, functools.partial):
        return default.func.__name__
    return repr(default)
