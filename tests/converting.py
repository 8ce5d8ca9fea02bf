"""Converts to ONNX as `export.formats` does, each in a process of its own, but forked from one that has the converter.

Its packages take seconds to import, a fork takes milliseconds. Run as a script it reads a folder and the words of a
command line, a JSON list on each line, and answers with the exit status and what was said.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from functools import cached_property
from typing import Any


class Converters:
    """Stands in for `subprocess`, of which `save_onnx` takes these."""

    PIPE, STDOUT = subprocess.PIPE, subprocess.STDOUT

    @cached_property
    def _forking(self) -> subprocess.Popen:
        command = [sys.executable, "-W", "ignore", __file__]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(process.kill)
        return process

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess:
        words = [os.getcwd(), *command[-5:]]  # the script and its four arguments
        self._forking.stdin.write(json.dumps(words) + "\n")
        self._forking.stdin.flush()
        status, said = json.loads(self._forking.stdout.readline())
        return subprocess.CompletedProcess(command, status, said)


def _convert(folder: str, *words: str) -> tuple[int, str]:
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            for number in (1, 2):
                os.dup2(said.fileno(), number)
            status, sys.argv = 1, list(words)
            try:
                os.chdir(folder)
                runpy.run_path(words[0], run_name="__main__")
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said.seek(0)
        return status, said.read().decode(errors="replace")


if __name__ == "__main__":
    del sys.path[0]  # this folder
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages say while they are imported is no answer
    import onnx  # noqa: F401
    import paddle2onnx  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_convert(*json.loads(line))), file=answers, flush=True)
