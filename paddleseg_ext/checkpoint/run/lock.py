"""A lock on a run's folder, so that two trainings do not write into one."""

from __future__ import annotations

import datetime
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from paddleseg_ext.errors import UserError

try:
    import fcntl
except ImportError:  # Windows, which has no such locks: there nothing is locked
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # in the folder; it stays there, as removing it would let two processes hold different files
PATIENCE = 3.0  # seconds; reading processes of a training that was killed outlive it for a moment
INTERVAL = 0.1  # seconds between attempts
logger = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within the block no other process, here or on another host, holds the folder, which must exist.

    The lock ends with the process, however that ends.

    Raises:
        UserError: Another process holds it; the sentence names process, host and since when.
        OSError: The lock's file cannot be written.
    """
    if fcntl is None:
        yield
        return
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        _take(file, folder)
        file.seek(0)
        file.truncate()
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
        file.flush()
        yield


def check_free(folder: Path) -> None:
    """Refuse a folder that another process holds, without leaving anything there.

    Raises:
        UserError: As `locked`.
    """
    if fcntl is None:
        return
    with suppress(OSError), open(folder / LOCK, encoding="utf-8") as file:
        _take(file, folder)


def _take(file: IO[str], folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() < end:
                time.sleep(INTERVAL)
                continue
            file.seek(0)
            holder = " ".join(file.read(200).split()) or "another process"
            raise UserError(
                f"`save_dir` {folder} is in use by another training, {holder}; wait for its end, stop it, or choose "
                "another `save_dir`"
            ) from None
        except OSError as error:  # some network file systems have no locks
            logger.warning(
                f"warning: {folder} cannot be locked ({error.strerror}): take care that no other run uses it"
            )
            return
