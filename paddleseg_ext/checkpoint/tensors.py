"""Content in the format of safetensors, from a file or from another process, within bounds.

Reference: https://github.com/huggingface/safetensors#format — eight bytes with the header's length, the header in JSON,
then the numbers. The library checks types, shapes and places against each other and against the size.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, deserialize

MAX_HEADER = 8 << 20  # bytes; a checkpoint of a large network with its optimizer's state has a tenth
MAX_NAME = 500  # characters
BFLOAT16 = "BF16"  # not in NumPy: the upper half of a float32
DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", BFLOAT16: "<u2", "BOOL": "?", "C64": "<c8"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U8": "u1"},
}


def read_file(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """As `parse`, of a file of that many bytes; one without a header, as a hole in a disk, is not read on."""
    _check_header(file.read(8), size)
    file.seek(0)
    return parse(file.read(size))


def _check_header(start: bytes, size: int) -> None:
    header = int.from_bytes(start, "little")
    if not 2 <= header <= min(MAX_HEADER, size - 8):
        raise ValueError(f"its header cannot have {header} bytes")


def parse(content: bytes) -> dict[str, np.ndarray]:
    """All tensors by name, read-only; numbers of bfloat16 become float32.

    Raises:
        ValueError: It is damaged, or its header is too long.
    """
    _check_header(content[:8], len(content))
    try:
        entries = deserialize(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    tensors = {}
    for name, entry in entries:
        if len(name) > MAX_NAME or not name.isprintable():
            raise ValueError("the name of a tensor is too long or cannot be printed")
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{name} has numbers of type {entry['dtype']}, which cannot be read")
        numbers = np.frombuffer(entry["data"], DTYPES[entry["dtype"]])
        if entry["dtype"] == BFLOAT16:
            numbers = (numbers.astype("u4") << 16).view("f4")
        elif entry["dtype"] == "BOOL":
            numbers = numbers.view("u1") != 0
        numbers.flags.writeable = False
        tensors[name] = numbers.reshape(entry["shape"])
    return tensors
