"""Something to do when a stretch of work takes too long, and what the system says of processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STATES = {
    **{"R": "running", "S": "sleeping", "D": "waiting for a disk or a network", "T": "stopped", "t": "being debugged"},
    **{"Z": "ended", "X": "ended", "I": "idle"},
}


@contextmanager
def limited(seconds: float, give_up: Callable[[], object]) -> Iterator[None]:
    """Call `give_up` from another thread if the block takes longer than `seconds`.

    It is for work that waits outside Python, where no signal reaches it: `give_up` must end the wait.
    """
    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def process_state(number: int) -> str:
    """What a process is doing, in a word or some, as far as Linux tells."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "ended" if Path("/proc/self").exists() else "in an unknown state"
    except OSError:
        return "in an unknown state"
    letter = stat.rpartition(")")[2].split()[0]  # the name before it may hold anything
    return STATES.get(letter, f"in state {letter}")
