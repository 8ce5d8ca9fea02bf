"""What the system refuses to a run, as sentences: full disks, quotas, limits on files, folders that are read-only."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paddleseg_ext.errors import UserError, reason

ADVICE = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within the disk quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "make the file system writable",
    errno.EACCES: "make the folder writable",
    errno.EPERM: "make the folder writable",
}


@contextmanager
def told(what: str, folder: Path, newest: Path | None) -> Iterator[None]:
    """Turn what the system refuses within the block into a sentence.

    Args:
        what: Is written.
        folder: Of the run.
        newest: The checkpoint to go on from afterwards.

    Raises:
        UserError: An `OSError` came out of the block.
    """
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "mend that")
        resume = f"go on from {newest} by `resume` auto" if newest else "start again; nothing is saved yet"
        why = error.strerror or reason(error)
        raise UserError(f"`save_dir` {folder}: {what} cannot be written ({why}); {advice}, then {resume}") from error


def check_room(folder: Path, size: int) -> None:
    """Find out before the first iteration whether a checkpoint will fit.

    Args:
        folder: Of the run, which is there.
        size: Bytes of the weights; a checkpoint takes them at least twice, in files of that size.

    Raises:
        UserError: The disk has less room, or files may not be that large.
    """
    usage = shutil.disk_usage(folder)
    if usage.total and usage.free < 2 * size:  # some network file systems tell nothing: 0 of 0
        raise UserError(
            f"`save_dir` {folder}: a checkpoint takes at least {_mebibytes(2 * size)}, and the disk has room for "
            f"{_mebibytes(usage.free)}; {ADVICE[errno.ENOSPC]}, or choose another `save_dir`"
        )
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and limit < size:
        raise UserError(
            f"`save_dir` {folder}: the weights take {_mebibytes(size)}, and files may have {_mebibytes(limit)}; "
            f"{ADVICE[errno.EFBIG]}"
        )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.3g} MiB"
