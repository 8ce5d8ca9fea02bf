"""Running `isolated.main` in a process of its own, and what its end means."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from paddleseg_ext.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
START = (  # the package's own __init__ would import Paddle
    "import sys, types; package = types.ModuleType('paddleseg_ext'); package.__path__ = [sys.argv[2]]; "
    "sys.modules['paddleseg_ext'] = package; sys.path.append(sys.argv[3]); "
    "from paddleseg_ext.checkpoint.isolated.main import main; main()"
)
FLAGS = ("-I", "-S", "-W", "ignore")  # nothing of the user's, and no site-packages
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}  # each reserves memory
MEMORY, GROWTH = 256 << 20, 4  # bytes beyond the interpreter's own, and times the file's size
SECONDS, SPEED = 4, 20 << 20  # of the CPU for any file, and bytes per further second
SET_PIPE_SIZE = 1031  # Linux's F_SETPIPE_SZ, which Python names from 3.10 on
LONGEST = 8 << 20  # bytes of what is said besides the result
PATIENCE = 10  # times as much may pass: the file may come over a network, and the CPU may have other work
Result = TypeVar("Result")


def isolated(task: str, path: Path, take: Callable[[IO[bytes]], Result], **arguments: Any) -> tuple[Result, Any]:
    """Have a file read by another process.

    Args:
        task: A name in `isolated.main.TASKS`.
        path: The file.
        take: Reads what the process writes, up to its end; a ValueError of it counts only if the process succeeds.
        **arguments: Of the task, besides ``path``.

    Returns:
        What `take` returned, and what the task tells besides.

    Raises:
        UserError: As the task says; or it needs more memory or time than the file's size explains; or the process
            cannot be started.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        memory, seconds = MEMORY + GROWTH * size, SECONDS + size // SPEED
        request = {"task": task, "memory": memory, "seconds": seconds, "arguments": {"path": str(path), **arguments}}
        numpy = str(Path(np.__file__).resolve().parents[1])
        command = [sys.executable, *FLAGS, "-c", START, json.dumps(request), str(ROOT), numpy]
        try:
            process = subprocess.Popen(
                command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **THREADS}
            )
        except OSError as error:
            raise UserError(f"{path} cannot be read: the process for it does not start ({error.strerror}).") from error
    assert process.stdout and process.stderr
    with contextlib.suppress(ImportError, OSError):  # fewer changes between the two processes
        import fcntl

        fcntl.fcntl(process.stdout, SET_PIPE_SIZE, 1 << 20)
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds * (PATIENCE if os.name == "posix" else 1), end)
    timer.start()
    problem, result = None, None
    try:
        try:
            result = take(process.stdout)
            process.stdout.read(1)  # the process may fail after its last number
        except ValueError as error:
            problem = error
        process.stdout.close()
        said = process.stderr.read(LONGEST).decode(errors="replace")
        status = process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    if status == 2 and said:
        raise UserError(said)
    if late.is_set() or -status == getattr(signal, "SIGXCPU", None):
        raise UserError(f"{path} cannot be read: it takes more than {seconds} s, which its size does not explain.")
    if status not in (0, 3):
        last = said.strip().splitlines()[-1:] or [f"status {status}"]
        raise UserError(f"{path} cannot be read: it crashes the process that reads it ({last[0]:.200}).")
    if problem is not None:
        raise problem
    return result, json.loads(said)  # type: ignore[return-value]
