"""Signals as requests, repeated as Paddle's launcher repeats them, and under the launcher itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from paddleseg_ext.checkpoint.save import load_checkpoint
from paddleseg_ext.runtime import interrupt as module
from paddleseg_ext.runtime.interrupt import Interrupt, Interrupted
from tests.processes import launcher
from tests.tiny_run import write_config, write_samples

SCRIPT = Path(__file__).with_name("two_processes.py")


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def received(request: pytest.FixtureRequest):
    """What comes through to the handler from before, of one signal."""
    found: list[int] = []
    before = signal.signal(request.param, lambda number, _: found.append(number))
    yield request.param, found
    signal.signal(request.param, before)


def test_repetitions_are_the_same_request(received: tuple[int, list[int]]) -> None:
    number, through = received
    with Interrupt() as interrupt:
        for _ in range(3):
            send(number)
        assert interrupt.signal == number and not through
    send(number)
    assert through == [number]


def test_a_later_one_acts_as_before(received: tuple[int, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    number, through = received
    with Interrupt():
        send(number)
        monkeypatch.setattr(module, "REPEATS", -1.0)
        send(number)
        assert through == [number]


def test_repetitions_behind_the_block_are_none_either(received: tuple[int, list[int]], monkeypatch) -> None:
    number, through = received
    with Interrupt(lingers=True):
        send(number)
    send(number)
    assert not through
    monkeypatch.setattr(module, "REPEATS", -1.0)
    send(number)
    assert through == [number] and signal.getsignal(number) not in (signal.SIG_DFL, None)
    with Interrupt(lingers=True):
        pass
    send(number)
    assert through == [number] * 2  # none was noted


def test_work_cut_short_is_not_taken_for_a_failure() -> None:
    """Nothing that catches exceptions may go on after a signal (a validation loss that may fail did)."""
    with Interrupt() as interrupt, pytest.raises(Interrupted), interrupt.immediate():
        try:
            send()
        except Exception:
            pytest.fail("taken for a failure")
    with pytest.raises(Interrupted), interrupt.immediate():
        pytest.fail("the signal came before")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_two_processes_save_when_the_launcher_is_told_to_end(number: int, tmp_path: Path) -> None:
    write_config(write_samples(tmp_path), iters=100_000)
    flags = ["--log_iters", "1", "--save_interval", "100000", "--seed", "3", "--device", "cpu"]
    run = launcher(SCRIPT, tmp_path, "--save_dir", "out", *flags)
    try:
        wait_for(tmp_path / "out" / "metrics.jsonl", run)
        run.send_signal(number)
        assert run.wait(60) == number  # the launcher's own status
    finally:
        run.kill()
    log = "".join(path.read_text("utf-8") for path in (tmp_path / "log").glob("workerlog.0"))
    iteration = int(re.search(r"stopped by SIGTERM at iteration (\d+), saved out/iter_\1;", log)[1])
    assert load_checkpoint(tmp_path / "out" / f"iter_{iteration}").record["iteration"] == iteration


def wait_for(path: Path, run: subprocess.Popen) -> None:
    deadline = time.monotonic() + 90
    while not (path.is_file() and path.stat().st_size) and time.monotonic() < deadline:
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    assert path.is_file()
