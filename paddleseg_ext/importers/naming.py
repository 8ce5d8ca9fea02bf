"""What the importers share: translating names by rules, and telling a source by the names it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable, Union

from paddleseg_ext.errors import UserError

Rules = Sequence[tuple[str, Union[str, Callable[[re.Match], str]]]]
"""Regular expression → replacement. All rules are applied, one after the other."""


def rename(name: str, rules: Rules) -> str:
    """The name after every rule."""
    for pattern, target in rules:
        name = re.sub(pattern, target, name)
    return name


def recognize(names: Iterable[str], marks: Mapping[str, str], source: str) -> str:
    """The first network whose mark, a regular expression, is found in one of the names.

    Raises:
        UserError: none is.
    """
    names = list(names)
    for network, mark in marks.items():
        if any(re.search(mark, name) for name in names):
            return network
    raise UserError(
        f"These are not the weights of a network of {source} that can be imported ({', '.join(sorted(marks))}): "
        f"their names begin with {', '.join(sorted({name.split('.')[0] for name in names})[:5]) or 'nothing at all'}."
    )
