"""Safe globals of a pickle: functions that create plain containers, arrays and descriptions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from paddleseg_ext.checkpoint.torch_storage import STORAGE_TYPES, Tensor

PLAIN = (str, bytes, int, float, type(None))


class UnsafePickleError(ValueError):
    """A pickle has content that weight files do not have."""


class PendingObject:
    """Object that the next BUILD instruction completes; ``memo_index`` is its index in the memo."""

    memo_index: int | None = None

    def __init__(self, finish: Callable[[Any], Any]) -> None:
        self.finish = finish


def plain_key(key: Any) -> Any:
    """Check a key of a dict or a set; hashing a deeply nested one could exhaust the stack."""
    if isinstance(key, PLAIN) or type(key) is tuple and all(isinstance(item, PLAIN) for item in key):
        return key
    raise UnsafePickleError(f"it uses a {type(key).__name__} as a key")


def _dictionary(items: Iterable[Any] = ()) -> dict:
    pairs = items.items() if type(items) is dict else items
    return {plain_key(key): value for key, value in pairs}


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"it encodes text as {encoding}")
    return text.encode("latin1")


def _dtype(kind: str, *_: Any) -> PendingObject:
    if not isinstance(kind, str):
        raise UnsafePickleError("it describes a type of array by more than its name")
    return PendingObject(lambda state: _checked(np.dtype(kind)).newbyteorder("=" if state[1] == "|" else state[1]))


def _checked(dtype: np.dtype) -> np.dtype:
    if dtype.kind not in "biufc":
        raise UnsafePickleError(f"it holds an array of {dtype}")
    return dtype


def _frombuffer(data: bytes, dtype: np.dtype, shape: tuple, order: Any) -> np.ndarray:
    array = np.frombuffer(_bytes(data), _complete_dtype(dtype))
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
    return data.encode("latin1") if isinstance(data, str) else data  # Python 2 has one type for text and bytes


def _complete_dtype(dtype: Any) -> np.dtype:
    """The data type; single-byte types are pickled without a BUILD of their byte order."""
    dtype = dtype.finish((None, "|")) if isinstance(dtype, PendingObject) else dtype
    if not isinstance(dtype, np.dtype):
        raise ValueError("an array without a type")
    return dtype


# The training log in mmengine's checkpoints, which contains methods of its class, is skipped.
HISTORY = ("mmengine.logging.history_buffer", "HistoryBuffer")


def _method(owner: Any, name: str) -> None:
    if owner != HISTORY:
        raise UnsafePickleError(f"it refers to builtins.getattr for {name!r:.50}, which weight files do not use")


# Functions that may be called, by the name in the file.
SAFE_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _dictionary,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): lambda *_: None,  # only an argument of _reconstruct
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): Tensor,
    ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: Tensor(
        storage, offset, size, stride
    ),
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    HISTORY: lambda *_: PendingObject(lambda state: None),
    ("argparse", "Namespace"): lambda *_: PendingObject(lambda state: None),  # many scripts store their arguments
}
for _module in ("builtins", "__builtin__"):
    SAFE_GLOBALS.update({(_module, "tuple"): tuple, (_module, "list"): list, (_module, "dict"): _dictionary})
    SAFE_GLOBALS[_module, "getattr"] = _method
    SAFE_GLOBALS[_module, "set"] = lambda items=(): set(map(plain_key, items))
for _lightning in ("pytorch_lightning.utilities.parsing", "lightning_fabric.utilities.data"):
    SAFE_GLOBALS[_lightning, "AttributeDict"] = _dictionary
SAFE_GLOBALS["lightning.fabric.utilities.data", "AttributeDict"] = _dictionary
for _core in ("numpy.core", "numpy._core"):
    SAFE_GLOBALS[f"{_core}.multiarray", "_reconstruct"] = lambda *_: PendingObject(_array)
    SAFE_GLOBALS[f"{_core}.multiarray", "scalar"] = lambda dtype, data: np.frombuffer(
        _bytes(data), _complete_dtype(dtype), 1
    )[0]
    SAFE_GLOBALS[f"{_core}.numeric", "_frombuffer"] = _frombuffer
SAFE_GLOBALS.update(STORAGE_TYPES)
