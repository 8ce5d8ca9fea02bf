"""PyTorch's tensors in a weight file: storages, and strided views of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

ByteOrder = Literal["<", ">"]
BFLOAT16 = "bfloat16"  # not in NumPy: the upper half of a float32


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The numbers, as float32, whose upper halves are the unsigned 16-bit integers."""
    return (bits.astype("u4") << 16).view("f4")


class StorageType:
    """Class of a storage as a file refers to it; calling it is an error."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.dtype = np.dtype("u2" if kind == BFLOAT16 else kind)

    def __call__(self, *_: Any) -> None:
        raise ValueError("it calls the class of a storage")


STORAGE_TYPES = {
    ("torch", f"{name}Storage"): StorageType(kind)
    for name, kind in {
        "Float": "f4",
        "Double": "f8",
        "Half": "f2",
        "BFloat16": BFLOAT16,
        "Long": "i8",
        "Int": "i4",
        "Short": "i2",
        "Char": "i1",
        "Byte": "u1",
        "Bool": "?",
    }.items()
}


class Storage:
    """One-dimensional array of a tensor's elements; PyTorch's legacy format stores them after all pickles.

    Args:
        kind: Data type.
        count: Number of elements.
    """

    def __init__(self, kind: StorageType, count: int) -> None:
        self.kind = kind
        self.count = count
        self.numbers: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Size in the file, in bytes."""
        return self.count * self.kind.dtype.itemsize

    def fill(self, raw: bytes, byte_order: ByteOrder = "<") -> None:
        """Set the elements from the file's bytes.

        Raises:
            ValueError: the number of bytes is not `size`.
        """
        if len(raw) != self.size:
            raise ValueError(f"a storage of {self.size} bytes has {len(raw)}")
        if self.kind.kind == "?":
            self.numbers = np.frombuffer(raw, "u1") != 0
            return
        numbers = np.frombuffer(raw, self.kind.dtype.newbyteorder(byte_order))
        if self.kind.kind == BFLOAT16:
            numbers = from_bfloat16(numbers)
        self.numbers = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


class Tensor:
    """Strided view of a storage.

    Args:
        storage: The elements.
        offset: Index of the first element.
        size: Shape.
        stride: Step per axis, in elements.
    """

    def __init__(self, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def array(self) -> np.ndarray:
        """The view as a NumPy array.

        Raises:
            ValueError: it extends beyond the storage, or has more elements than the storage.
        """
        numbers, count, last = self.storage.numbers, 1, self.offset
        if numbers is None:
            raise ValueError("a tensor's numbers are missing")
        for length, step in zip(self.size, self.stride):
            count *= length
            last += (length - 1) * step
        numeric = all(isinstance(n, int) and n >= 0 for n in (self.offset, *self.size, *self.stride))
        if not numeric or len(self.size) != len(self.stride) or count > numbers.size or count and last >= numbers.size:
            raise ValueError(f"a tensor of shape {list(self.size)} does not fit its {numbers.size} numbers")
        strides = [step * numbers.itemsize for step in self.stride]
        return as_strided(numbers[self.offset :], self.size, strides, writeable=False)
