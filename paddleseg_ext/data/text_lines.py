"""Text files that people write: UTF-8 with or without a byte-order mark, any line ends, comments."""

from __future__ import annotations

from pathlib import Path

from paddleseg_ext.errors import UserError


def read_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """The lines that hold something, without space around them, and their numbers from 1.

    Empty lines and those that begin with ``#`` are left out.

    Args:
        path: The file.
        what: It is, for the messages: ``the list``.

    Raises:
        UserError: The file is missing, cannot be read or is not UTF-8.
    """
    if not path.is_file():
        raise UserError(f"{path}: {what} does not exist")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: line {line} is not UTF-8; save {what} with that encoding") from error
    except OSError as error:
        raise UserError(f"{path}: {what} cannot be read ({error.strerror})") from error
    # not splitlines, which also ends lines at characters that a name may have, and then counts otherwise than editors
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
