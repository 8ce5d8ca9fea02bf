"""The weights in an archive, as PaddleSeg publishes them: one file in a folder."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, BinaryIO

from paddleseg_ext.errors import UserError

USUAL, SUFFIXES = "model.pdparams", (".pdparams", ".safetensors", ".pth")
MAX_MEMBERS, MAX_GROWTH = 10_000, 20  # weights hardly shrink when they are packed
BLOCK = 1 << 20


def copy_weights(file: BinaryIO, out: BinaryIO, path: str) -> None:
    """Write the contents of the one file of weights in an archive; nothing is unpacked to the disk.

    Args:
        file: A .tar, .tar.gz, .tgz or .zip file.
        out: Takes the contents.
        path: The archive's name, for messages.

    Raises:
        UserError: It has no such file or several, a member leads out of the folder, or it unpacks to too much.
    """
    size = file.seek(0, 2)
    file.seek(0)
    names: list[str] = []
    with _opened(file, MAX_GROWTH * size + 2**24, path) as members:
        for name, _ in members:
            names.append(name)
            inner = PurePosixPath(name)
            if inner.is_absolute() or ".." in inner.parts or "\\" in name or ":" in name:
                raise UserError(
                    f"{path} is refused: {name!r:.100} in it leads out of the folder that it is unpacked to."
                )
            if len(names) > MAX_MEMBERS:
                raise UserError(f"{path} is refused: it has more than {MAX_MEMBERS} files.")
    weights = [name for name in names if name.endswith(SUFFIXES)]
    chosen = [name for name in weights if PurePosixPath(name).name == USUAL] or weights
    if len(chosen) != 1:
        what = "no file of weights" if not chosen else f"{len(chosen)} files of weights ({', '.join(chosen[:3])})"
        raise UserError(f"{path} has {what}, but one {USUAL} is expected in it.")
    file.seek(0)
    with _opened(file, MAX_GROWTH * size + 2**24, path) as members:
        for name, member in members:
            if name == chosen[0]:
                shutil.copyfileobj(member, out, BLOCK)
                return


@contextmanager
def _opened(file: BinaryIO, most: int, path: str) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Names and contents of an archive's regular files, one after the other; links and devices are refused."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as zipped:
            yield _zip_members(zipped, most, path)
        return
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:*") as tar:
        yield _tar_members(tar, most, path)


def _zip_members(archive: zipfile.ZipFile, most: int, path: str) -> Iterator[tuple[str, IO[bytes]]]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if sum(member.file_size for member in members) > most:
        raise UserError(f"{path} is refused: it unpacks to far more than its own size.")
    for member in members:
        with archive.open(member) as content:  # which reads at most the size that is stated
            yield member.filename, content


def _tar_members(archive: tarfile.TarFile, most: int, path: str) -> Iterator[tuple[str, IO[bytes]]]:
    left = most
    while (member := archive.next()) is not None:
        left -= member.size + 512
        if left < 0:
            raise UserError(f"{path} is refused: it unpacks to far more than its own size.")
        if member.isdir():
            continue
        content = archive.extractfile(member) if member.isreg() else None
        if content is None:
            raise UserError(f"{path} is refused: {member.name!r:.100} in it is no regular file.")
        yield member.name, content
