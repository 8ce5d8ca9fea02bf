"""Prefixes that training tools put before the names of a network's weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

from paddleseg_ext.errors import UserError

PREFIXES = re.compile(r"^(?:(?:_orig_mod|model|module)\.)+")
"""Of torch.compile, of Lightning's modules and of (distributed) data parallel training."""
COMPILED = re.compile(r"\._orig_mod(?=\.)")  # a part of the network was compiled


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Map each name without its prefixes, in any order and repetition, to the name in the file, in the same order.

    Raises:
        UserError: two names are the same without their prefixes.
    """
    plain: dict[str, str] = {}
    for name in names:
        short = COMPILED.sub("", PREFIXES.sub("", name))
        if short in plain:
            raise UserError(
                f"The file has two weights {short}: {plain[short]} and {name}. It holds two networks; save the one "
                "that is meant under a name of its own and give that name by --key."
            )
        plain[short] = name
    return plain
