"""One process at a time: a folder that another holds is refused by process and host, and free when that has ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from paddleseg_ext.checkpoint.run import lock
from paddleseg_ext.errors import UserError

HOLDER = """
import fcntl, os, socket, sys, time
file = open(sys.argv[1] + "/.lock", "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(f"process {os.getpid()} on {socket.gethostname()} since noon")
file.flush()
if "--fork" in sys.argv and os.fork() == 0:
    time.sleep(1)
    os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path: Path):
    """Starts a process that holds the folder."""
    started = []

    def start(*arguments: str) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), *arguments], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_held_folder_is_refused_by_process_and_host(hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    process = hold()
    sentence = f"`save_dir` .* in use by another training, process {process.pid} on {socket.gethostname()} since noon"
    with pytest.raises(UserError, match=sentence), lock.locked(tmp_path):
        pass
    with pytest.raises(UserError, match=sentence):
        lock.check_free(tmp_path)
    process.kill()
    process.wait()
    with lock.locked(tmp_path):
        assert (
            (tmp_path / lock.LOCK).read_text().startswith(f"process {os.getpid()} on {socket.gethostname()} since 20")
        )


def test_processes_that_outlive_a_killed_run_for_a_moment_are_waited_for(hold, tmp_path: Path) -> None:
    hold("--fork").kill()
    with lock.locked(tmp_path):
        pass


def test_looking_leaves_nothing(tmp_path: Path) -> None:
    lock.check_free(tmp_path)
    lock.check_free(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with lock.locked(tmp_path):
        pass
    assert "cannot be locked (Operation not supported)" in caplog.text
