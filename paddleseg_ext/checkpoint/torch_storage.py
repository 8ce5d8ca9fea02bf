"""PyTorch's tensors as a file holds them: a storage of numbers, and views of it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

ByteOrder = Literal["<", ">"]
BFLOAT16 = "bfloat16"  # NumPy has none: the upper half of a float32


class StorageType:
    """The class of a storage; a file names it, and nothing makes one by calling it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.dtype = np.dtype("u2" if kind == BFLOAT16 else kind)

    def __call__(self, *_: Any) -> None:
        raise ValueError("it makes a storage out of nothing")


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
    """A run of numbers, which in PyTorch's older format stands behind everything else in the file.

    Args:
        kind: What the numbers are.
        count: How many.
    """

    def __init__(self, kind: StorageType, count: int) -> None:
        self.kind = kind
        self.count = count
        self.numbers: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.count * self.kind.dtype.itemsize

    def fill(self, raw: bytes, byte_order: ByteOrder = "<") -> None:
        """Take the numbers from the file's bytes.

        Raises:
            ValueError: there are fewer bytes, or more, than the numbers need.
        """
        if len(raw) != self.size:
            raise ValueError(f"a storage of {self.size} bytes has {len(raw)}")
        if self.kind.kind == "?":
            self.numbers = np.frombuffer(raw, "u1") != 0
            return
        numbers = np.frombuffer(raw, self.kind.dtype.newbyteorder(byte_order))
        if self.kind.kind == BFLOAT16:
            numbers = (numbers.astype("u4") << 16).view("f4")
        self.numbers = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


class Tensor:
    """A window on a storage.

    Args:
        storage: The numbers.
        offset: Where the first one stands.
        size: The shape.
        stride: Numbers between neighbors along each axis.
    """

    def __init__(self, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def array(self) -> np.ndarray:
        """A view of the storage.

        Raises:
            ValueError: it reaches outside the storage, or repeats parts of it.
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
