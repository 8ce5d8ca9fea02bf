"""Types of arguments: what argparse calls, and refuses a value by, before a command begins."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paddleseg_ext.checkpoint.writable import file_problem, folder_problem
from paddleseg_ext.config.values import Allowed


def whole(at_least: int, at_most: int | None = None) -> Callable[[str], int]:
    """A whole number within a range."""
    return checked(Allowed(int, at_least=at_least, at_most=at_most), int)


def number(**limits: Any) -> Callable[[str], float]:
    """A finite number within the limits of `Allowed`."""
    return checked(Allowed(float, **limits), float)


def checked(allowed: Allowed, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A value of a kind, if it is among those allowed."""

    def value(text: str) -> Any:
        found = kind(text)
        if wrong := allowed.problem(found):
            raise argparse.ArgumentTypeError(wrong)
        return found

    value.__name__ = kind.__name__  # argparse names it where the text is no number
    return value


def output_folder(text: str) -> str:
    """A folder that files can be put into; it need not be there yet."""
    return _writable(text, folder_problem)


def output_file(text: str) -> str:
    """A file that can be written or replaced."""
    return _writable(text, file_problem)


def _writable(text: str, problem: Callable[[Path], str | None]) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    if wrong := problem(Path(text)):
        raise argparse.ArgumentTypeError(f"{text:.200}: {wrong}")
    return text
