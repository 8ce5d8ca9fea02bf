"""Unpickler of weights: Python's own, over a scan, with our constructors in place of what a file names.

Nothing that a file names is imported. The constructors make plain containers and views of the file's bytes; each takes
whole numbers within bounds, and what they copy is counted.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from paddleseg_ext.checkpoint.isolated.arrays import SIZES, Array, Kind, Part, Storage, describe_shape, is_shape, steps
from paddleseg_ext.checkpoint.isolated.scan import scan

DTYPES = {
    **{"f8": "F64", "f4": "F32", "f2": "F16", "b1": "BOOL", "c8": "C64", "c16": "C128"},
    **{"i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u8": "U64", "u4": "U32", "u1": "U8"},
    "u2": "BF16",  # Paddle has no 16-bit unsigned integers: it writes numbers of bfloat16 as such
}
SCALARS = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b", "U64": "Q", "U32": "I"}
SCALARS.update({"U8": "B", "BOOL": "?"})

FindStorage = Callable[[Any], Storage]
_left = 0  # bytes that constructors may still copy


def load(stream: BinaryIO, size: int, find_storage: FindStorage | None = None) -> Any:
    """Read one pickle, up to its STOP instruction.

    Args:
        stream: Where it begins.
        size: Of the file, in bytes; repeated copies of the same bytes would exceed it.
        find_storage: Returns PyTorch's storages by their persistent ids in the pickle.

    Raises:
        ValueError: a name or an instruction that weight files do not use, or a damaged pickle; other exceptions are
            possible, too.
    """
    global _left
    _left, start = 4 * size + 2**20, stream.tell()
    scan(stream)
    stream.seek(start)
    return _Unpickler(stream, find_storage).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, find_storage: FindStorage | None) -> None:
        super().__init__(stream, encoding="latin1")  # Python 2 has one type for text and bytes
        self._find_storage = find_storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            raise ValueError(f"it refers to {f'{module:.100}.{name:.100}'}, which weight files do not use")
        return NAMES[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        if self._find_storage is None:
            raise ValueError("it refers to data outside the pickle")
        return self._find_storage(pid)


def _spend(size: int) -> None:
    global _left
    _left -= size
    if _left < 0:
        raise ValueError("it copies its content over and over")


class Call(Part):
    """A function that a pickle may call; a plain one's attributes could be set."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


class Skipped(Part):
    """What no weights are in."""

    def __new__(cls, *_: Any) -> Skipped:
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...


class History(Skipped):
    """The training log in mmengine's checkpoints, which has methods of its class."""


class Dictionary(dict):
    """A dictionary of any kind; attributes are ignored."""

    def __init__(self, items: Any = ()) -> None:
        _spend(32 * len(items))
        super().__init__(items)

    def __setstate__(self, state: Any) -> None: ...


class DType(Part):
    """A data type of NumPy's.

    Raises:
        ValueError: It is no type of numbers that weights can have.
    """

    def __init__(self, name: Any, *_: Any) -> None:
        if type(name) is not str or name not in DTYPES:
            raise ValueError(f"it holds an array of {f'type {name:.20}' if type(name) is str else 'an odd type'}")
        self.kind, self.big = DTYPES[name], False

    def __setstate__(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("it describes a type of array by more than its name")
        self.big = state[1] == ">"


class NumpyArray(Array):
    """An array of NumPy's, which the pickle creates empty."""

    def __setstate__(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5:
            raise ValueError("an array without a type")
        _, shape, dtype, first_fastest, data = state
        self.set(data, dtype, shape, first_fastest in (True, 1))

    def set(self, data: Any, dtype: Any, shape: Any, first_fastest: bool) -> NumpyArray:
        """Complete the array with what a pickle has for it, which is not trusted.

        Args:
            data: The bytes of its numbers.
            dtype: A `DType`.
            shape: Length of each axis.
            first_fastest: Whether the first axis is the fastest, as in Fortran.

        Raises:
            ValueError: They do not fit together.
        """
        data = _bytes(data)
        if type(dtype) is not DType:
            raise ValueError("an array without a type")
        count = len(data) // SIZES[dtype.kind]
        if not is_shape(shape) or math.prod(shape) * SIZES[dtype.kind] != len(data):
            raise ValueError(f"an array of shape {describe_shape(shape)} has {count} numbers")
        storage = Storage(dtype.kind, count, lambda: data, dtype.big)
        self.fill(storage, 0, shape, steps(shape, first_fastest))
        return self


def _bytes(data: Any) -> bytes | bytearray:
    if type(data) is str:
        _spend(len(data))
        return data.encode("latin1")
    if type(data) not in (bytes, bytearray):
        raise ValueError("an array without numbers")
    return data


def _scalar(dtype: Any, data: Any) -> float | int | None:
    data = _bytes(data)
    if type(dtype) is not DType or len(data) != SIZES[dtype.kind]:
        raise ValueError("a number without a type")
    form = SCALARS.get(dtype.kind)
    return struct.unpack((">" if dtype.big else "<") + form, data)[0] if form else None


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it encodes text as {encoding!r:.20}" if type(encoding) is str else "it encodes odd text")
    return bytes(_bytes(text))


def _list(items: Any = ()) -> list:
    _spend(32 * len(items))
    return list(items)  # never a tuple: it could be a key, nested deeper than the scan has seen


def _set(items: Any = ()) -> set:
    _spend(32 * len(items))
    return set(items)


def _method(owner: Any, name: Any) -> Skipped:
    if owner is not History:
        raise ValueError(f"it refers to builtins.getattr for {str(name) if type(name) is str else '?':.50}")
    return Skipped()


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Array:
    return Array().fill(storage, offset, size, stride)


def _parameter(tensor: Any, *_: Any) -> Array:
    if not isinstance(tensor, Array):
        raise ValueError("a parameter without a tensor")
    return tensor


NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Dictionary,
    ("collections", "Counter"): Dictionary,
    ("collections", "defaultdict"): Call(lambda *_: Dictionary()),
    ("_codecs", "encode"): Call(_encode),
    ("numpy", "dtype"): Call(DType),
    ("numpy", "ndarray"): Skipped(),  # only an argument of _reconstruct
    ("torch", "Size"): Call(Skipped),
    ("torch", "device"): Call(Skipped),
    ("torch._utils", "_rebuild_tensor"): Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): Call(_parameter),
    ("mmengine.logging.history_buffer", "HistoryBuffer"): History,
    ("argparse", "Namespace"): Skipped,  # many scripts store their arguments
}
"""What stands for the names in a file."""
for _module in ("builtins", "__builtin__"):
    NAMES.update({(_module, _name): Call(_list) for _name in ("tuple", "list")})
    NAMES.update({(_module, "dict"): Dictionary, (_module, "set"): Call(_set), (_module, "getattr"): Call(_method)})
    NAMES.update({(_module, _name): Skipped() for _name in ("int", "float", "bool", "str")})  # of defaultdict
for _module in ("pytorch_lightning.utilities.parsing", "lightning_fabric.utilities.data"):
    NAMES[_module, "AttributeDict"] = Dictionary
NAMES["lightning.fabric.utilities.data", "AttributeDict"] = Dictionary
for _name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
    NAMES["pathlib", _name] = NAMES["pathlib._local", _name] = Call(Skipped)
for _module in ("numpy.core", "numpy._core"):
    NAMES[f"{_module}.multiarray", "_reconstruct"] = Call(lambda *_: NumpyArray())
    NAMES[f"{_module}.multiarray", "scalar"] = Call(_scalar)
    NAMES[f"{_module}.numeric", "_frombuffer"] = Call(
        lambda data, dtype, shape, order: NumpyArray().set(data, dtype, shape, order == "F")
    )
STORAGES = {
    **{"Float": "F32", "Double": "F64", "Half": "F16", "BFloat16": "BF16", "Bool": "BOOL"},
    **{"Long": "I64", "Int": "I32", "Short": "I16", "Char": "I8", "Byte": "U8"},
    **{"ComplexFloat": "C64", "ComplexDouble": "C128"},
}
NAMES.update({("torch", f"{_name}Storage"): Kind(_kind) for _name, _kind in STORAGES.items()})
