"""Where the weights are in a checkpoint: at its top, or under a name that training scripts use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddleseg_ext.errors import UserError

KEYS = (
    *("state_dict", "model", "net", "network", "model_state_dict", "params"),
    *("params_ema", "state_dict_ema", "model_ema", "ema"),
)
"""Names of weights in a checkpoint, in the order of choice: those that were trained before their moving averages."""


def find_weights(content: dict[Any, Any], key: str | None, path: str) -> tuple[dict[Any, Any], str | None, list[str]]:
    """The dictionary of weights in a checkpoint.

    Args:
        content: The whole checkpoint.
        key: The entry to take; by default the first of `KEYS` that holds weights, otherwise the top.
        path: The file, for messages.

    Returns:
        The weights, the entry's name (``model.state_dict`` for one in another; None for the top), and the names of the
        other entries at the top that hold weights.

    Raises:
        UserError: there is no such entry, or it holds no weights; or weights are only under names not in `KEYS`.
    """
    known: dict[int, bool] = {}  # a file may have the same dictionary many times
    holders = [name for name in content if isinstance(name, str) and _holds_weights(content[name], known)]
    if key is not None and key not in holders:
        what = "holds no weights" if key in content else "does not exist"
        raise UserError(f"{path}: the entry {key!r} of --key {what}; the file has {describe(content)}.")
    chosen = key or next((name for name in KEYS if name in holders), None)
    if chosen is None:
        if holders and not _has_arrays(content):
            raise UserError(
                f"{path}: none of the usual names ({', '.join(KEYS)}) has weights, but {', '.join(holders)} has; name "
                f"the one to take by --key of `paddleseg-ext convert`. The file has {describe(content)}."
            )
        return content, None, holders
    others = [name for name in holders if name != chosen]
    if _has_arrays(content[chosen]):
        return content[chosen], chosen, others
    found, inner, _ = find_weights(content[chosen], None, path)
    return found, f"{chosen}.{inner}", others


def describe(content: Mapping[Any, Any], count: int = 8) -> str:
    """The first entries of a checkpoint and what they are, for a message; arrays at the top are counted."""
    arrays = [name for name, value in content.items() if is_array(value)]
    others = [name for name, value in content.items() if not is_array(value)]
    texts = [f"{str(name):.60} ({_kind(content[name])})" for name in others[:count]]
    if arrays:
        texts.append(f"{len(arrays)} arrays ({', '.join(f'{name!s:.60}' for name in arrays[:3])}, …)")
    more = f" and {len(others) - count} more" if len(others) > count else ""
    return f"at its top {', '.join(texts)}{more}" if texts else "nothing at its top"


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        arrays = sum(map(is_array, value.values()))
        return f"{arrays} arrays" if arrays else f"a dictionary of {len(value)}"
    return type(value).__name__


def is_array(value: Any) -> bool:
    """Whether it is an array of NumPy's or of `isolated`, or a pair with one."""
    return hasattr(unpaired(value), "strides")


def unpaired(value: Any) -> Any:
    """The array of a pair of a parameter's name and an array, as Paddle stores its own tensors; else the value."""
    return value[1] if isinstance(value, (tuple, list)) and len(value) == 2 else value


def _has_arrays(value: Mapping[Any, Any]) -> bool:
    return any(map(is_array, value.values()))


def _holds_weights(value: Any, known: dict[int, bool]) -> bool:
    """Whether arrays are in a dictionary, or in an entry of it named as in `KEYS`; `known` is by identity."""
    found = False
    for part in (value, *(value.get(name) for name in KEYS)) if isinstance(value, dict) else ():
        if isinstance(part, dict):
            if id(part) not in known:
                known[id(part)] = _has_arrays(part)
            found = found or known[id(part)]
    return found
