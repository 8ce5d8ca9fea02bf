"""SIGINT and SIGTERM as a request: finish the iteration, save, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """A signal arrived in a stretch of work that may be cut short."""


class Interrupt:
    """Within the ``with`` block notes SIGINT and SIGTERM in `signal`; a second one acts as it would without us."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._may_raise = False

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # Python forbids it elsewhere
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            if handler is not None:  # of C code, which Python cannot put back
                signal.signal(number, handler)
        self._previous.clear()

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
        self.signal = number
        self.__exit__()
        if self._may_raise:
            raise Interrupted
