"""Reads many files as `checkpoint.reader` does, each in a process of its own, but started without Paddle and by a fork.

A new interpreter takes a tenth of a second and more; forks of one that has the modules take a few milliseconds, and the
kernel counts the memory of each. Run as a script it reads the files that its standard input names, one a line, and
writes a line of JSON for each: the names of the weights or the sentence, seconds, and the most memory in KiB.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2] / "paddleseg_ext"
UNIT = 1024 if sys.platform == "darwin" else 1  # of the system's numbers, per KiB
START = (
    "import sys, types; package = types.ModuleType('paddleseg_ext'); package.__path__ = [sys.argv[1]]; "
    "sys.modules['paddleseg_ext'] = package; sys.path.append(sys.argv[2]); "
    "import runpy; runpy.run_path(sys.argv[3], run_name='__main__')"
)


class Forked:
    """Stands in for `subprocess.Popen` in `checkpoint.isolation`."""

    peak = 0  # KiB, of the last one

    def __init__(self, command: list[str], stdin: io.BufferedReader, **_: Any) -> None:
        from paddleseg_ext.checkpoint.isolated.main import main

        (out, into), (errors, errors_into) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(stdin.fileno(), 0)
            os.dup2(into, 1)
            os.dup2(errors_into, 2)
            os.closerange(3, 64)
            sys.argv = ["-c", *command[command.index("-c") + 2 :]]
            try:
                main()
            finally:
                os._exit(9)
        os.close(into)
        os.close(errors_into)
        self.stdout, self.stderr, self.status = open(out, "rb"), open(errors, "rb"), None

    def wait(self) -> int:
        if self.status is None:
            _, status, usage = os.wait4(self.pid, 0)
            self.status, Forked.peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss // UNIT
        return self.status

    def kill(self) -> None:
        if self.status is None:
            os.kill(self.pid, 9)


def main() -> None:
    from paddleseg_ext.checkpoint import isolation
    from paddleseg_ext.checkpoint.reader import read_weight_file
    from paddleseg_ext.errors import UserError

    isolation.subprocess = type("subprocess", (), {"Popen": Forked, "PIPE": None})
    for line in sys.stdin:
        start, answer, Forked.peak = time.monotonic(), {}, 0
        try:
            answer["weights"] = list(read_weight_file(line.rstrip("\n")).weights)
        except UserError as error:
            answer["sentence"] = str(error)
        except BaseException:
            answer["traceback"] = traceback.format_exc()
        memory = peak() + Forked.peak
        print(json.dumps({**answer, "seconds": time.monotonic() - start, "memory": memory}), flush=True)


def peak() -> int:
    """The most memory of this process in KiB; `getrusage` would count that of the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // UNIT


class Readers:
    """A process that reads files; use as a context manager."""

    def __enter__(self) -> Readers:
        import numpy as np

        packages = str(Path(np.__file__).parents[1])
        command = [sys.executable, "-S", "-c", START, str(ROOT), packages, __file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def read(self, path: Path) -> dict[str, Any]:
        """What reading the file gives, as the module says."""
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def read_each(self, contents: Iterable[bytes], path: Path) -> Iterator[dict[str, Any]]:
        """As `read`, for each content in turn under one name."""
        for content in contents:
            path.write_bytes(content)
            yield {**self.read(path), "content": content}


if __name__ == "__main__":
    main()
