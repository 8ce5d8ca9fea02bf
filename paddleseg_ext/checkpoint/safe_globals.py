"""What a pickle of weights may call: functions that make plain containers, arrays and descriptions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from paddleseg_ext.checkpoint.torch_storage import STORAGE_TYPES, Tensor

PLAIN = (str, bytes, int, float, type(None))


class Refused(ValueError):
    """A pickle that says something other than what weights consist of."""


class Unfinished:
    """A value that the next BUILD instruction completes; ``slot`` is where the memo has it."""

    slot: int | None = None

    def __init__(self, finish: Callable[[Any], Any]) -> None:
        self.finish = finish


def plain_key(key: Any) -> Any:
    """A key of a dictionary or a set; nested ones could exhaust the stack when they are hashed."""
    if isinstance(key, PLAIN) or type(key) is tuple and all(isinstance(item, PLAIN) for item in key):
        return key
    raise Refused(f"it uses a {type(key).__name__} as a key")


def _dictionary(items: Iterable[Any] = ()) -> dict:
    pairs = items.items() if type(items) is dict else items
    return {plain_key(key): value for key, value in pairs}


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"it encodes text as {encoding}")
    return text.encode("latin1")


def _dtype(kind: str, *_: Any) -> Unfinished:
    if not isinstance(kind, str):
        raise Refused("it describes a type of array by more than its name")
    return Unfinished(lambda state: _checked(np.dtype(kind)).newbyteorder("=" if state[1] == "|" else state[1]))


def _checked(dtype: np.dtype) -> np.dtype:
    if dtype.kind not in "biufc":
        raise Refused(f"it holds an array of {dtype}")
    return dtype


def _frombuffer(data: bytes, dtype: np.dtype, shape: tuple, order: Any) -> np.ndarray:
    array = np.frombuffer(_bytes(data), _finished(dtype))
    if array.size != _product(shape):
        raise ValueError(f"an array of shape {shape} has {array.size} numbers")
    return array.reshape(shape, order=order)


def _array(state: tuple) -> np.ndarray:
    _, shape, dtype, column_major, data = state
    return _frombuffer(data, dtype, shape, "F" if column_major else "C")


def _product(shape: tuple) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _bytes(data: Any) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else data  # Python 2 has one type for both


def _finished(dtype: Any) -> np.dtype:
    """Single bytes are pickled without a byte order to complete them with."""
    dtype = dtype.finish((None, "|")) if isinstance(dtype, Unfinished) else dtype
    if not isinstance(dtype, np.dtype):
        raise ValueError("an array without a type")
    return dtype


# The training log that mmengine keeps beside the weights, with methods of its own class in it, is stepped over.
HISTORY = ("mmengine.logging.history_buffer", "HistoryBuffer")


def _method(owner: Any, name: str) -> None:
    if owner != HISTORY:
        raise Refused(f"it refers to builtins.getattr for {name!r:.50}, which weights have no use for")


# What may be called, by the name that stands in the file.
CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _dictionary,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): lambda *_: None,  # only ever handed to _reconstruct
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): Tensor,
    ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: Tensor(
        storage, offset, size, stride
    ),
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    HISTORY: lambda *_: Unfinished(lambda state: None),
}
for _module in ("builtins", "__builtin__"):
    CALLS.update({(_module, "tuple"): tuple, (_module, "list"): list, (_module, "dict"): _dictionary})
    CALLS[_module, "getattr"] = _method
    CALLS[_module, "set"] = lambda items=(): set(map(plain_key, items))
for _core in ("numpy.core", "numpy._core"):
    CALLS[f"{_core}.multiarray", "_reconstruct"] = lambda *_: Unfinished(_array)
    CALLS[f"{_core}.multiarray", "scalar"] = lambda dtype, data: np.frombuffer(_bytes(data), _finished(dtype), 1)[0]
    CALLS[f"{_core}.numeric", "_frombuffer"] = _frombuffer
CALLS.update(STORAGE_TYPES)
