"""``train.log``: what a training says, kept in its folder beside what it measures."""

from __future__ import annotations

import datetime
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from paddleseg_ext.compat.paddleseg import overheard
from paddleseg_ext.errors import reason

LOG = "train.log"
WAITING = 10_000  # lines kept for a file that cannot be written yet
BEGUN = "==== "  # before the date, with which each part of a run begins
PACKAGE = "paddleseg_ext"
logger = logging.getLogger(__name__)


class RunLog(logging.Handler):
    """Collects the package's log, and PaddleSeg's lines, from its making on; `opened` has them in the file.

    A file that cannot be written, as on a full disk, ends no training: that is told once, and made up for later.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
        self.waiting: deque[str] = deque(maxlen=WAITING)
        self.path: Path | None = None
        self._told = False
        logging.getLogger(PACKAGE).addHandler(self)

    @contextmanager
    def opened(self, folder: Path, head: Sequence[str]) -> Iterator[None]:
        """Within the block lines are written, those from before it first; at its end the log is closed for good.

        Args:
            folder: Of the run, held by this process. What an earlier part of the run has written stays above.
            head: Lines that come before all others.
        """
        begun = BEGUN + datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self.waiting.extendleft(reversed([begun, *head]))
        self.path = folder / LOG
        self._write()
        try:
            with overheard(self.note):
                yield
        except BaseException as error:  # Ctrl-C, too
            self.note(f"ended by {type(error).__name__}: {reason(error) if isinstance(error, Exception) else error}")
            raise
        finally:
            self.close()

    def note(self, text: str) -> None:
        """A line of nobody's logger."""
        self.handle(logging.LogRecord(PACKAGE, logging.INFO, "", 0, "%s", (text,), None))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, and write it where there is a file."""
        self.waiting.append(self.format(record))
        if self.path is not None:
            self._write()

    def close(self) -> None:
        """Listen no more."""
        logging.getLogger(PACKAGE).removeHandler(self)
        self.path = None
        super().close()

    def _write(self) -> None:
        assert self.path is not None
        path, lines = self.path, list(self.waiting)
        try:
            with open(path, "a", encoding="utf-8", errors="replace") as file:
                file.write("".join(f"{line}\n" for line in lines))
            self.waiting.clear()
        except OSError as error:
            if not self._told:
                self._told = True  # before the warning, which comes here, too
                logger.warning(f"warning: {path} cannot be written ({error.strerror}); it is made up for later")


def read_heads(path: Path) -> list[dict[str, str]]:
    """Date, command and versions of each part of a run, from its log; [] where there is none that can be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    heads = [
        [line.removeprefix(BEGUN), *lines[i + 1 : i + 3]] for i, line in enumerate(lines) if line.startswith(BEGUN)
    ]
    return [dict(zip(("date", "command", "versions"), head)) for head in heads]
