"""What an entry of a configuration may be, and the sentence for what it may not."""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENOUGH = 10**10  # more than any computer counts to in this field, or any seed; told where it is exceeded
MOST_READERS = 256  # processes or threads that read data
LONGEST = 80  # characters of a value that a sentence shows
LIMITS = {"at_least": operator.ge, "above": operator.gt, "below": operator.lt, "at_most": operator.le}
KINDS: dict[type, str] = {
    **{bool: "true or false", int: "a whole number", float: "a number", str: "a word", tuple: "a list of words"},
    **{list: "a list", Mapping: "a section of keys and values"},
}


@dataclass(frozen=True)
class Allowed:
    """The values that an entry may have.

    Args:
        kind: Their type; a whole number is a number too, true is neither.
        at_least: The smallest.
        above: What they exceed.
        below: What they stay under.
        choices: The only ones.
        at_most: The largest.
    """

    kind: type
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    at_most: float | None = None

    def problem(self, value: Any) -> str | None:
        """Why a value is not allowed, or None: ``0 is not allowed; it is a whole number, at least 1``."""
        limits = {name: limit for name in LIMITS if (limit := getattr(self, name)) is not None}
        if self.kind is int and _is_kind(value, int) and value > ENOUGH:
            limits.setdefault("at_most", ENOUGH)
        within = _is_kind(value, self.kind) and all(LIMITS[name](value, limit) for name, limit in limits.items())
        if within and (not self.choices or value in self.choices):
            return None
        if self.choices:
            return f"{shown(value)} is not allowed; allowed are {', '.join(map(str, self.choices))}"
        words = [f"{name.replace('_', ' ')} {limit:g}" for name, limit in limits.items()]
        return f"{shown(value)} is not allowed; it is {', '.join([KINDS[self.kind], *words])}{self._hint(value)}"

    def _hint(self, value: Any) -> str:
        """YAML 1.1 takes 1e-3 for text, which is the commonest way to a rate that is none."""
        if self.kind is not float or not isinstance(value, str):
            return ""
        try:
            number = float(value)
        except ValueError:
            return ""
        mantissa, mark, exponent = value.lower().partition("e")
        plain = f"{mantissa}.0{mark}{exponent}" if mark and "." not in mantissa else f"{number:g}"
        return f" (YAML takes {value} for text; write {plain})"


def shown(value: Any) -> str:
    """A value as a sentence shows it."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _is_kind(value: Any, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):  # which Python counts among the whole numbers
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    return isinstance(value, kind)
