"""Files that are made beside their place, and moved there when all of them are whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from paddleseg_ext.errors import UserError


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A temporary folder on the disk of `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    except OSError as error:
        raise UserError(f"--save_dir {folder}: nothing can be written there ({error.strerror})") from error
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def move_in(source: Path, folder: Path, names: Iterable[str]) -> None:
    """Move all files of `source`, and remove those of `names` that an earlier export left and this one did not make."""
    for name in names:
        if not (source / name).is_file():
            (folder / name).unlink(missing_ok=True)
    for file in source.iterdir():
        os.replace(file, folder / file.name)


def digest(file: Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal."""
    found = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()
