"""Atomic writing of files: after a kill at any time, either the old or the new content exists."""

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

TEMPORARY = "~"  # suffix of files and folders that are being written or removed


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path, fsync the file and rename it to `path`."""
    temporary = path.with_name(path.name + TEMPORARY)
    write(temporary)
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def write_json(path: Path, content: dict) -> None:
    """Write JSON atomically."""
    write_file(path, lambda temporary: temporary.write_text(json.dumps(content, indent=1), encoding="utf-8"))


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    if os.name == "nt":  # Windows cannot fsync folders or files opened read-only
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staging_dir(folder: Path) -> Iterator[Path]:
    """Temporary folder inside `folder`, which is created if missing.

    Raises:
        UserError: `folder` cannot be written.
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
    """Move all files of `source` to `folder`, and remove from `folder` the old ones of `names` that `source` lacks."""
    for name in names:
        if not (source / name).is_file():
            (folder / name).unlink(missing_ok=True)
    for file in source.iterdir():
        os.replace(file, folder / file.name)


def digest(file: Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal."""
    sha256 = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()
