"""``--opts KEY=VALUE``: entries of a configuration replaced from the command line."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import Any

from paddleseg_ext.errors import UserError
from paddleseg_ext.registry import closest


def replaced(config: dict[str, Any], opts: Sequence[str]) -> dict[str, Any]:
    """A configuration with entries replaced.

    Args:
        config: Left as it is.
        opts: ``key.subkey=value``; indices reach into lists (``train_dataset.transforms.0.crop_size=[512,512]``). A
            value is a Python literal or, where it is none, a word.

    Raises:
        UserError: One is written otherwise, or leads to no section or list of the configuration.
    """
    config = copy.deepcopy(config)
    for item in opts:
        path, separator, text = item.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            raise UserError(f"`opts` {item}: it is written KEY=VALUE, e.g. model.decode_head.channels=256")
        owner: Any = config
        for depth, key in enumerate(keys):
            where, last = ".".join(keys[:depth]), depth == len(keys) - 1
            if isinstance(owner, list):
                if not key.isdigit() or int(key) >= len(owner):
                    raise UserError(f"`opts` {item}: {where} is a list of {len(owner)}, so an index follows, not {key}")
                index: Any = int(key)
            elif not isinstance(owner, dict):
                raise UserError(f"`opts` {item}: {where} is {owner!r}, so nothing can be set in it")
            elif last or key in owner:
                index = key
            else:
                inside = f"{where} has" if where else "the configuration has"
                raise UserError(
                    f"`opts` {item}: {inside} no {key}{closest(key, owner) or '; it has ' + ', '.join(owner)}"
                )
            if last:
                owner[index] = _value(text)
            else:
                owner = owner[index]
    return config


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {"true": True, "false": False, "null": None}.get(text.strip().lower(), text)
