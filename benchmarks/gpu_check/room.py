"""Where steps run: the machine, the folder for what they write, and commands that end in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.clone import ROOT

GRACE = 3.0  # seconds between asking a process to end and ending it


class Failed(Exception):
    """A step found what should not be; the message says what."""


class Skipped(Exception):
    """This machine cannot tell; the message says why."""


@dataclass
class Machine:
    """What `environment` found.

    Attributes:
        device: Kind that the check runs on: ``gpu`` or ``cpu``.
        name: Of the card or the processor.
        gpus: How many there are.
        bfloat16: Whether the card has it.
        results: Name of the folder under ``benchmarks/results``.
    """

    device: str
    name: str = ""
    gpus: int = 0
    bfloat16: bool = False
    results: str = "unknown"
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def small(self) -> bool:
        """Whether this is the walk on a CPU."""
        return self.device == "cpu"


@dataclass
class Room:
    """Hands steps the machine, a folder and commands.

    Attributes:
        folder: For all that is written.
        machine: What it runs on.
        deadline: By `time.monotonic`, of the step that runs.
    """

    folder: Path
    machine: Machine
    deadline: float = 0.0

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    @property
    def results(self) -> Path:
        """Folder of the tables, ready for ``benchmarks/results``."""
        return self.folder / "results" / self.machine.results

    def tool(self, name: str, *arguments: object) -> list[str]:
        """``python tools/NAME.py … --device DEVICE``, unless the arguments name another."""
        given = [str(argument) for argument in arguments]
        return ["tools/" + name + ".py", *given, *([] if "--device" in given else ["--device", self.machine.device])]

    def run(self, log: str, arguments: Sequence[str], expect: int | None = 0, **environment: str) -> str:
        """Run ``python arguments…`` to its end and return what it wrote.

        Args:
            log: Name of the file, in the folder ``logs``, for what it writes.
            arguments: Of Python.
            expect: Its exit status; None for any.
            environment: Variables beside those there are.

        Raises:
            Failed: It ended otherwise, or not in time.
        """
        with self.started(log, arguments, environment) as process:
            found = self.wait(process, log)
        text = self.log(log).read_text("utf-8", errors="replace")
        if expect is not None and found != expect:
            raise Failed(f"exit status {found}, expected {expect}: {last_words(text)} (logs/{log}.txt)")
        return text

    @contextmanager
    def started(
        self, log: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen]:
        """Within the block ``python arguments…`` runs; behind it nothing of it does."""
        self.log(log).parent.mkdir(parents=True, exist_ok=True)
        with open(self.log(log), "w", encoding="utf-8") as file:
            print("$", "python", *arguments, file=file, flush=True)
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                end_group(process)

    def wait(self, process: subprocess.Popen, log: str) -> int:
        """Exit status of a process; negative for a signal.

        Raises:
            Failed: It did not end in time.
        """
        try:
            return process.wait(max(self.left(), 0.1))
        except subprocess.TimeoutExpired:
            raise Failed(f"ended for want of time (logs/{log}.txt)") from None

    def wait_until(self, process: subprocess.Popen, log: str, reached: Callable[[], bool]) -> None:
        """Wait for something that a running process brings about.

        Raises:
            Failed: The process or the time ended first.
        """
        while not reached():
            if process.poll() is not None:
                words = last_words(self.log(log).read_text("utf-8", errors="replace"))
                raise Failed(f"ended too early with status {process.returncode}: {words} (logs/{log}.txt)")
            if self.left() < 0:
                raise Failed(f"ended for want of time (logs/{log}.txt)")
            time.sleep(0.01)

    def log(self, name: str) -> Path:
        """File of what a command writes."""
        return self.folder / "logs" / f"{name}.txt"


def end_group(process: subprocess.Popen) -> None:
    """End a process and all that it started, asking first: a launcher's processes are in groups of their own."""
    family = descendants(process.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in [process.pid, *family] if process.returncode is None else family:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        if number == signal.SIGTERM:
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
    with suppress(ProcessLookupError, PermissionError):  # what a killed process left in its group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def descendants(pid: int) -> list[int]:
    """The processes that a process started and those that they did; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parent = int(path.read_text("utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:  # grows meanwhile
        found += children.get(one, [])
    return found[1:]


def last_words(text: str) -> str:
    """The line that tells why a command failed: the last that speaks of an error, or the last of all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line and not line.startswith("$")]
    return (telling or lines or ["it wrote nothing"])[-1][:300]
