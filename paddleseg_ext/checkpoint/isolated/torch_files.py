"""PyTorch's two formats of files: pickles that refer to storages outside of them."""

from __future__ import annotations

import io
import mmap
import pickle
import zipfile
from functools import lru_cache, partial
from typing import Any, BinaryIO

from paddleseg_ext.checkpoint.isolated.arrays import Kind, Storage, is_length
from paddleseg_ext.checkpoint.isolated.unpickler import load
from paddleseg_ext.errors import UserError

LEGACY = b"\x80\x02" + pickle.dumps(0x1950A86A20F9469CFC6C, 2)[2:]  # first bytes before PyTorch 1.6


def read_content(file: BinaryIO, path: str) -> Any:
    """What a pickle, or a file of PyTorch's, holds.

    Args:
        file: A regular file, open at its start.
        path: Its name, for messages.

    Raises:
        UserError: It is another kind of zip archive.
        ValueError: It is empty or damaged.
    """
    if not file.seek(0, io.SEEK_END):
        raise ValueError("it is empty")
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if data[: len(LEGACY)] == LEGACY:
        return _read_legacy(data)
    if data[:2] == b"PK":
        return _read_zip(file, len(data), path)
    return load(data, len(data))  # type: ignore[arg-type]  # it has what is needed of a stream


def _read_zip(file: BinaryIO, size: int, path: str) -> Any:
    """Format of PyTorch since 1.6: a zip archive of data.pkl and one uncompressed file per storage."""
    archive = zipfile.ZipFile(file)
    entries = {entry.filename: entry for entry in archive.infolist()}
    roots = [name[: -len("data.pkl")] for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if not roots:
        raise UserError(f"{path} is a zip archive, but not one of PyTorch: it has no data.pkl.")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise ValueError("it is compressed, which PyTorch's files are not")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise ValueError("its entries are larger than the file")
    big = f"{roots[0]}byteorder" in entries and archive.read(f"{roots[0]}byteorder") == b"big"
    read = lru_cache(maxsize=1)(archive.read)  # weights of one storage are mostly beside each other

    def find(description: Any) -> Storage:
        kind, key, count = _parse_storage(description)
        name = f"{roots[0]}data/{key}"
        storage = Storage(kind, count, partial(read, name), big)
        if entries[name].file_size != storage.size:
            raise ValueError(f"a storage of {storage.size} bytes has {entries[name].file_size}")
        return storage

    return load(io.BytesIO(archive.read(f"{roots[0]}data.pkl")), size, find)


def _read_legacy(data: mmap.mmap) -> Any:
    """Format of PyTorch before 1.6: five pickles (magic, version, system, content, storage keys), then the storages."""
    places: dict[str, tuple[int, int]] = {}  # begin and end of each storage's bytes
    storages: dict[str, Storage] = {}
    numbers = memoryview(data)

    def find(description: Any) -> Storage:
        kind, key, count = _parse_storage(description)
        if key not in storages:
            storages[key] = Storage(kind, count, lambda: numbers[slice(*places[key])])
        return storages[key]

    _, version, system, content, keys = (load(data, len(data), find) for _ in range(5))  # type: ignore[arg-type]
    if type(version) is not int or version != 1001:
        raise ValueError(
            f"it is of another format of PyTorch's than 1001{f': {version}' if is_length(version) else ''}"
        )
    for key in keys:
        count, start = int.from_bytes(data.read(8), "little"), data.tell()
        storage = storages[key]
        if count != storage.count:
            raise ValueError(f"a storage of {storage.count} numbers has {count} in the file")
        if start + storage.size > len(data):
            raise ValueError(f"a storage of {storage.size} bytes has {len(data) - start}")
        storage.big = not system["little_endian"]
        places[key] = start, start + storage.size
        data.seek(start + storage.size)
    if missing := storages.keys() - places.keys():
        raise ValueError(f"the numbers of {len(missing)} of its storages are missing")
    return content


def _parse_storage(description: Any) -> tuple[str, str, int]:
    """Data type, key and length of a storage, from its persistent id in the pickle."""
    tag, kind, key, _, count, *view = description
    if tag != "storage" or type(kind) is not Kind or type(key) is not str or not is_length(count):
        raise ValueError("it refers to data that is no storage")
    if any(view):
        raise ValueError("it holds a view of a storage; save it again with a newer PyTorch")
    return kind, key, count
