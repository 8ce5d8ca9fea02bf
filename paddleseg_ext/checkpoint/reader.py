"""Reader of weight files of Paddle and PyTorch, without PyTorch and without executing code in the file."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from paddleseg_ext.checkpoint.contents import describe, find_weights
from paddleseg_ext.checkpoint.torch_storage import (
    BFLOAT16,
    STORAGE_TYPES,
    Storage,
    StorageType,
    Tensor,
    from_bfloat16,
)
from paddleseg_ext.checkpoint.unpickler import load
from paddleseg_ext.errors import UserError, reason

BIG_PARAMETERS = "UnpackBigParamInfor@@"  # paddle.save's key for tensors that it split into slices
LEGACY = b"\x80\x02" + pickle.dumps(0x1950A86A20F9469CFC6C, 2)[2:]  # first bytes of PyTorch's files before 1.6
MAX_SHARED = 4  # times the file's size; tied weights share a storage, more would be an attempt to exhaust memory


SAFETENSORS = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "BOOL": "?"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "C64": "<c8"},
}
"""Data types of safetensors that are read, by their names there."""


@dataclass
class WeightFile:
    """Content of a weight file.

    Attributes:
        weights: Arrays by name; read-only views of the file's content. Numbers of bfloat16, which NumPy lacks, are
            float32.
        meta: Unchecked plain values under ``meta`` in a PyTorch checkpoint.
        key: The entry that the weights are from; None where they are at the top.
        others: Further entries with weights.
        top: What is at the top of the file, for messages.
    """

    weights: dict[str, np.ndarray]
    meta: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    others: list[str] = field(default_factory=list)
    top: str = ""


def read_weight_file(path: str | Path, key: str | None = None) -> WeightFile:
    """Read a ``.pdparams``, ``.safetensors`` or ``.pth`` file.

    Files without the suffix ``.safetensors`` are recognized by their content. Memory is proportional to the file's
    size.

    Args:
        path: The file.
        key: The entry of a checkpoint to read the weights from; by default the first of `contents.KEYS` that has some.

    Raises:
        UserError: the file is missing, damaged, of another format, refers to anything but arrays, or has no such entry.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"Weights not found: {path} is not a file.")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path, key)
        return _from_content(_unpickle(path.read_bytes(), path), path, key)
    except UserError:
        raise
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}.") from error
    except Exception as error:  # a damaged file can raise any exception
        raise UserError(f"{path} cannot be read as weights: {reason(error)}.") from error


def _read_safetensors(path: Path, key: str | None) -> WeightFile:
    if key is not None:
        raise UserError(f"{path}: --key {key} chooses an entry of a .pth file, but safetensors have weights only.")
    weights = {}
    for name, entry in deserialize(path.read_bytes()):
        if entry["dtype"] not in SAFETENSORS:
            raise ValueError(f"{name} has numbers of type {entry['dtype']}, which cannot be read")
        kind = SAFETENSORS[entry["dtype"]]
        numbers = np.frombuffer(entry["data"], "<u2" if kind == BFLOAT16 else kind)
        weights[name] = (from_bfloat16(numbers) if kind == BFLOAT16 else numbers).reshape(entry["shape"])
    return WeightFile(weights, top=describe(weights))


def _unpickle(data: bytes, path: Path) -> Any:
    if data.startswith(LEGACY):
        return _read_legacy(io.BytesIO(data))
    if data.startswith(b"PK"):
        return _read_zip(data, path)
    return load(io.BytesIO(data))


def _read_zip(data: bytes, path: Path) -> Any:
    """Format of PyTorch since 1.6: a zip archive of data.pkl and one uncompressed file per storage."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        roots = [name[: -len("data.pkl")] for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if not roots:
            raise UserError(f"{path} is a zip archive, but not one of PyTorch: it has no data.pkl.")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ValueError("it is compressed, which PyTorch's files are not")
        if sum(entry.file_size for entry in entries.values()) > len(data):
            raise ValueError("its entries are larger than the file")
        big = f"{roots[0]}byteorder" in entries and archive.read(f"{roots[0]}byteorder") == b"big"
        storages: dict[str, Storage] = {}

        def find(description: tuple) -> Storage:
            kind, key, count = _parse_storage(description)
            if key not in storages:
                storages[key] = Storage(kind, count)
                storages[key].fill(archive.read(f"{roots[0]}data/{key}"), ">" if big else "<")
            return storages[key]

        return load(io.BytesIO(archive.read(f"{roots[0]}data.pkl")), find)


def _read_legacy(stream: io.BytesIO) -> Any:
    """Format of PyTorch before 1.6: five pickles (magic, version, system, content, storage keys), then the storages."""
    storages: dict[str, Storage] = {}

    def find(description: tuple) -> Storage:
        kind, key, count = _parse_storage(description)
        return storages.setdefault(key, Storage(kind, count))

    _, version, system = load(stream), load(stream), load(stream)
    if version != 1001:
        raise ValueError(f"it is of PyTorch's format {version}, not 1001")
    content, keys = load(stream, find), load(stream)
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        if count != storages[key].count:
            raise ValueError(f"a storage of {storages[key].count} numbers has {count} in the file")
        storages[key].fill(stream.read(storages[key].size), "<" if system["little_endian"] else ">")
    return content


def _parse_storage(description: Any) -> tuple[StorageType, str, int]:
    """Type, key and length of a storage, from its persistent id in the pickle."""
    tag, kind, key, _, count, *view = description
    if tag != "storage" or kind not in STORAGE_TYPES:
        raise ValueError("it refers to data that is no storage")
    if any(view):
        raise ValueError("it holds a view of a storage; save it again with a newer PyTorch")
    return STORAGE_TYPES[kind], str(key), int(count)


def _from_content(content: Any, path: Path, key: str | None) -> WeightFile:
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights by name.")
    meta = content.get("meta")
    state, found, others = find_weights(content, key, path)
    weights = _arrays(_join_slices(dict(state), path))
    if sum(value.nbytes for value in weights.values()) > MAX_SHARED * path.stat().st_size + 2**20:
        raise UserError(f"{path} cannot be read as weights: its tensors overlap.")
    return WeightFile(weights, dict(meta) if isinstance(meta, dict) else {}, found, others, describe(content))


def _join_slices(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Join the tensors that paddle.save split into slices for old pickle protocols."""
    try:
        for name, entry in content.pop(BIG_PARAMETERS, {}).items():
            pieces = [content.pop(piece) for piece in entry["slices"]]
            content[name] = np.concatenate(pieces).reshape(entry["OriginShape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: the slices of its large tensors do not fit together ({error}).") from error
    return content


def _arrays(content: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays and tensors by name; Paddle's older files wrap each in a pair (parameter name, array).

    Paddle has no 16-bit unsigned integers: it writes numbers of bfloat16 as such.
    """
    arrays = {}
    for name, value in content.items():
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]
        if isinstance(value, Tensor):
            value = value.array()
        if isinstance(name, str) and isinstance(value, np.ndarray):
            arrays[name] = from_bfloat16(value) if value.dtype == np.uint16 else value
    return arrays
