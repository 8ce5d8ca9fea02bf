"""SIGINT and SIGTERM as a request: finish the iteration, save, leave."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

REPEATS = 5.0  # seconds; Paddle's launcher and cluster schedulers send one request several times within a second


class Interrupted(BaseException):
    """A signal arrived in a stretch of work that may be cut short.

    Like KeyboardInterrupt it is no `Exception`, so that nothing on the way takes it for a failure of its own.
    """


class Interrupt:
    """Within the ``with`` block notes SIGINT and SIGTERM in `signal`.

    Further ones are the same request for `REPEATS` seconds; one that comes later acts as it would without us.

    Args:
        lingers: After a signal that holds behind the block too, where a repetition would kill a process that is about
            to leave.
    """

    def __init__(self, lingers: bool = False) -> None:
        self.lingers = lingers
        self.signal: int | None = None
        self._first: float | None = None
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._may_raise = False

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # Python forbids it elsewhere
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._first is None or not self.lingers:
            self._restore()

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Within the block a signal raises `Interrupted` at once: for work that is repeated after a resume."""
        self._may_raise = True
        try:
            if self.signal is not None:
                raise Interrupted
            yield
        finally:
            self._may_raise = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self.signal, self._first = number, now
            if self._may_raise:
                raise Interrupted
        elif now - self._first > REPEATS:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            if handler is not None:  # of C code, which Python cannot put back
                signal.signal(number, handler)
        self._previous.clear()
