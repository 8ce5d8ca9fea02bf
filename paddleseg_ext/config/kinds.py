"""The kinds of values that an argument takes, from its declared type or, where there is none, from its default."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kinds:
    """The kinds of values that an argument takes.

    Args:
        words: Them, for a person.
        accepts: Whether a value is of one of them.
    """

    words: str
    accepts: Callable[[Any], bool]

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> Kinds:
        """From its declared type or, without one, from its default."""
        if parameter.annotation is not parameter.empty:
            return _of_hint(parameter.annotation)
        return _of_default(parameter.default)


ANYTHING = Kinds("anything", lambda value: True)
NOTHING = Kinds("null", lambda value: value is None)
TRUTH = Kinds("true or false", lambda value: isinstance(value, bool))
WORD = Kinds("a word", lambda value: isinstance(value, str))
WHOLE = Kinds("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
NUMBER = Kinds("a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool))
COMPONENT = Kinds("a section with a type", lambda value: is_component(value))
SECTION = Kinds("a section", lambda value: isinstance(value, Mapping))
PLAIN = {bool: TRUTH, str: WORD, int: WHOLE, float: NUMBER, type(None): NOTHING, dict: SECTION}


def _list_of(item: Kinds) -> Kinds:
    words = " of sections with a type" if item is COMPONENT else "" if item is ANYTHING else f" of {item.words[2:]}s"
    return Kinds(f"a list{words}", lambda value: isinstance(value, (list, tuple)) and all(map(item.accepts, value)))


def _one_of(*kinds: Kinds) -> Kinds:
    if ANYTHING in kinds:
        return ANYTHING
    return Kinds(" or ".join(kind.words for kind in kinds), lambda value: any(kind.accepts(value) for kind in kinds))


def _of_hint(hint: Any) -> Kinds:
    if hint in PLAIN:
        return PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, getattr(types, "UnionType", None)):
        return _one_of(*map(_of_hint, arguments))
    if origin is typing.Literal:
        return Kinds(" or ".join(map(str, arguments)), lambda value: value in arguments)
    if hint in (list, tuple) or origin in (list, tuple, collections.abc.Sequence):
        return _list_of(_of_hint(arguments[0]) if arguments else ANYTHING)
    if origin in (dict, collections.abc.Mapping):
        return SECTION
    return ANYTHING if hint is Any else COMPONENT


def _of_default(default: Any) -> Kinds:
    """PaddleSeg takes one number for all channels or sides, and several for each, in most places."""
    if isinstance(default, bool):
        return TRUTH
    if isinstance(default, (int, float)) or _are(default, (int, float)):
        several = _list_of(NUMBER)
        return _one_of(NUMBER, Kinds(several.words, lambda value: several.accepts(value) and bool(value)))
    if isinstance(default, str):
        return WORD
    return ANYTHING


def _are(values: Any, kind: Any) -> bool:
    return isinstance(values, (list, tuple)) and bool(values) and all(isinstance(value, kind) for value in values)


def is_component(value: Any) -> bool:
    """Whether a value is a section with a type, or an object that was built from one."""
    return isinstance(value, Mapping) and "type" in value or not isinstance(value, (*PLAIN, list, tuple))
