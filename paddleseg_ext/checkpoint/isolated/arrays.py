"""Arrays of a pickle: views of storages, checked against them before any number is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Union

Bytes = Union[bytes, bytearray, memoryview]
SIZES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "BOOL": 1, "C64": 8, "C128": 16},
    **{"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U8": 1},
}
"""Data types by their names in safetensors, which has no C128, and bytes per number."""
MAX_AXES, MAX_LENGTH = 32, 1 << 48


class Part:
    """Base of all that a pickle can get hold of; without `__setstate__` it could set any attribute."""

    def __setstate__(self, state: Any) -> None:
        raise ValueError(f"it completes a {type(self).__name__}")


class Kind(Part, str):
    """Name of a data type in `SIZES`."""


class Storage(Part):
    """One-dimensional array of numbers in the file.

    Args:
        kind: Data type.
        count: Number of elements.
        read: Returns the bytes.
        big: Bytes of a number are in big-endian order.

    Raises:
        ValueError: `count` is no number of elements.
    """

    def __init__(self, kind: str, count: int, read: Callable[[], Bytes], big: bool = False) -> None:
        if not is_length(count):
            raise ValueError("a storage without a size")
        self.kind, self.count, self.read, self.big = kind, count, read, big

    @property
    def size(self) -> int:
        """In bytes."""
        return self.count * SIZES[self.kind]


class Array(Part):
    """Strided view of a storage; empty where the pickle has not completed it yet."""

    storage: Storage | None = None
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    def fill(self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        """Set the view.

        Args:
            storage: The numbers.
            offset: Index of the first one.
            shape: Length of each axis.
            strides: Steps along each axis, in numbers.

        Raises:
            ValueError: it extends beyond the storage, or has more elements than the storage.
        """
        if type(storage) is not Storage:
            raise ValueError("a tensor without a storage")
        if not (is_shape(shape) and is_shape(strides) and is_length(offset) and len(shape) == len(strides)):
            raise ValueError(f"a tensor of shape {describe_shape(shape)} does not fit its {storage.count} numbers")
        last = offset + sum((length - 1) * step for length, step in zip(shape, strides))
        count = math.prod(shape)
        if count > storage.count or count and last >= storage.count:
            raise ValueError(f"a tensor of shape {describe_shape(shape)} does not fit its {storage.count} numbers")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides
        return self

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * SIZES[self.storage.kind] if self.storage else 0

    def data(self) -> Bytes:
        """The numbers in the order of their indices, in little-endian order.

        Raises:
            ValueError: The storage has another size than it should.
        """
        assert self.storage is not None
        raw, item = memoryview(self.storage.read()), SIZES[self.storage.kind]
        if len(raw) != self.storage.size:
            raise ValueError(f"a storage of {self.storage.size} bytes has {len(raw)}")
        dense = all(n == 1 or own == step for n, own, step in zip(self.shape, self.strides, steps(self.shape)))
        if (dense or not self.size) and not self.storage.big:
            return raw[self.offset * item :][: self.size]
        import numpy as np

        part = item // 2 if self.storage.kind.startswith("C") else item
        numbers = np.frombuffer(raw, f"u{part}")
        if self.storage.big:
            numbers = numbers.byteswap()
        numbers = numbers.view(f"V{item}" if part < item else numbers.dtype)[self.offset :]
        view = np.lib.stride_tricks.as_strided(numbers, self.shape, [step * item for step in self.strides])
        return np.ascontiguousarray(view).reshape(-1).view("u1").data  # faster than tobytes


def steps(shape: tuple[int, ...], first_fastest: bool = False) -> tuple[int, ...]:
    """Strides of an array without gaps, in elements: the last axis is the fastest, or the first one."""
    if first_fastest:
        return steps(shape[::-1])[::-1]
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def is_length(number: Any) -> bool:
    """Whether it is a whole number that a size or an index can be; a truth value is none."""
    return type(number) is int and 0 <= number <= MAX_LENGTH


def is_shape(shape: Any) -> bool:
    """Whether it is a tuple of as many lengths as NumPy allows."""
    return type(shape) is tuple and len(shape) <= MAX_AXES and all(map(is_length, shape))


def describe_shape(shape: Any) -> str:
    """The shape for a message; what is none may be of any length."""
    plain = type(shape) is tuple and len(shape) <= MAX_AXES and all(type(n) is int and abs(n) < 2**63 for n in shape)
    return str(list(shape)) if plain else f"({type(shape).__name__})"
