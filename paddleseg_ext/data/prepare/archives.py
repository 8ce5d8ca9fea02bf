"""Unpacking a published zip file: only below its folder, only as much as it declares, and so that it can go on."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from paddleseg_ext.checkpoint.atomic import write_file
from paddleseg_ext.errors import UserError, reason

MOST_BYTES = 64 << 30  # the largest of the published archives unpacks to 12 GiB
BLOCK = 1 << 20


def unpack(archive: Path, target: Path, wanted: Callable[[str], bool] = lambda name: True) -> int:
    """Unpack the wanted files of a zip file; those that are there in full size are kept.

    Nothing is written before all names and sizes were checked.

    Args:
        archive: The zip file.
        target: Folder for its contents.
        wanted: Of a file's name in the archive, whether it is needed.

    Returns:
        How many files are wanted.

    Raises:
        UserError: The archive is damaged or encrypted, a name leads out of `target`, a file in it is a link, it
            unpacks to more than `MOST_BYTES` or than the disk has, or something cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            for member in members:
                _check(archive, member)
            members = [member for member in members if wanted(member.filename)]
            missing = [member for member in members if not _is_there(target / member.filename, member)]
            _check_space(archive, sum(member.file_size for member in missing), target)
            for member in tqdm(missing, unit="file", leave=False, disable=None):
                _extract(opened, member, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{archive}: it cannot be unpacked ({reason(error)}); download it again") from error
    except OSError as error:
        raise UserError(f"{archive}: it cannot be unpacked to {target} ({reason(error)})") from error
    return len(members)


def _check(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
        raise UserError(f"{archive}: it is not unpacked, for '{name}' in it leads out of the folder")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{archive}: it is not unpacked, for '{name}' in it is a symbolic link")


def _check_space(archive: Path, size: int, target: Path) -> None:
    if size > MOST_BYTES:
        raise UserError(f"{archive}: it unpacks to {size / 2**30:.0f} GiB, and at most {MOST_BYTES >> 30} are allowed")
    existing = next(folder for folder in (target, *target.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise UserError(
            f"{archive}: it unpacks to {size / 2**30:.1f} GiB more, and {target} has {free / 2**30:.1f} GiB free"
        )


def _is_there(path: Path, member: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == member.file_size


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    path = target / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    root = os.path.realpath(target)
    if os.path.commonpath([root, os.path.realpath(path.parent)]) != root:  # through a link that was there before
        raise UserError(f"{path}: a link leads out of {target}, so nothing is unpacked there")

    def write(temporary: Path) -> None:
        left = member.file_size
        with opened.open(member) as source, open(temporary, "wb") as sink:
            while block := source.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise zipfile.BadZipFile(f"'{member.filename}' is larger than declared")
                sink.write(block)
        if left:
            raise zipfile.BadZipFile(f"'{member.filename}' is smaller than declared")

    write_file(path, write)
