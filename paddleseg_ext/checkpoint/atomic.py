"""Writing files so that a kill at any instant leaves either the old ones or the new ones."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from paddleseg_ext.errors import UserError

TEMPORARY = "~"  # ends the name of whatever is being written or removed


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, force it to the disk and give it its name."""
    temporary = path.with_name(path.name + TEMPORARY)
    write(temporary)
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def write_json(path: Path, content: dict) -> None:
    """Write JSON so that the file holds either the old content or the new."""
    write_file(path, lambda temporary: temporary.write_text(json.dumps(content, indent=1), encoding="utf-8"))


def sync(path: Path) -> None:
    """Force a file, or the list of files in a folder, to the disk."""
    if os.name == "nt":  # Windows opens no folder, and no file read-only, to force it to the disk
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staging_dir(folder: Path) -> Iterator[Path]:
    """A temporary folder on the disk of `folder`, which is made where it is missing.

    Raises:
        UserError: Nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder))
    except OSError as error:
        raise UserError(f"`save_dir` {folder}: nothing can be written there ({error.strerror})") from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def install(source: Path, folder: Path, names: Iterable[str]) -> None:
    """Move all files of `source` into `folder`, and remove there those of `names` that `source` lacks: older ones."""
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
