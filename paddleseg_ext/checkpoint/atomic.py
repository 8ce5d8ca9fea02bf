"""Atomic writing of files: after a kill at any time, either the old or the new content exists."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from paddleseg_ext.errors import UserError


def temporary(path: Path) -> Path:
    """The name of a file or folder while it is being written: a hidden one, which nobody gives to a file of theirs."""
    return path.with_name(f".{path.name}~")


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path, fsync the file and rename it to `path`; its mode is as the umask says.

    Raises:
        OSError: The system refuses; what was at `path` stays, and nothing half written does.
    """
    partial = temporary(path)
    try:
        partial.unlink(missing_ok=True)  # of a run that was killed
        with open(partial, "wb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        write(partial)
        os.chmod(partial, mode)  # safetensors' writer gives its files to the user alone
        sync(partial)
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, SafetensorError):
            raise _as_os_error(error, path) from error
        if isinstance(error, OSError) and error.filename is None:  # as of a write on a full disk
            error.filename = str(path)
        raise
    sync(path.parent)


def _as_os_error(error: SafetensorError, path: Path) -> OSError:
    """What the system refused to safetensors' writer, which tells it in words."""
    found = re.search(r"os error (\d+)", str(error))
    number = int(found[1]) if found else errno.EIO
    return OSError(number, os.strerror(number) if found else str(error), str(path))


def write_json(path: Path, content: dict) -> None:
    """Write JSON atomically."""
    write_file(path, lambda partial: partial.write_text(json.dumps(content, indent=1), encoding="utf-8"))


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
