"""Whether something can be written, found out before long work begins; what is there is left as it is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def folder_problem(path: Path) -> str | None:
    """Why no files can be put into a folder, which need not be there yet; or None."""
    if problem := _name_problem(path):
        return problem
    try:
        existing = next(part for part in (path, *path.absolute().parents) if part.exists())
        if not existing.is_dir():
            return f"{existing} is a file, not a folder"
        with tempfile.TemporaryDirectory(prefix=".writable-", dir=existing):
            return None
    except OSError as error:
        return f"nothing can be written there ({error.strerror})"


def file_problem(path: Path) -> str | None:
    """Why a file cannot be written, or replaced; or None."""
    if problem := _name_problem(path):
        return problem
    if path.is_dir():
        return "it is a folder, not a file"
    if path.exists() and not os.access(path, os.W_OK):
        return "it is there and cannot be replaced (Permission denied)"
    return folder_problem(path.parent)


def _name_problem(path: Path) -> str | None:
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except ValueError:  # a zero byte
        return "no file can have such a name"
    except OSError as error:  # too long, a file among its folders, no permission
        return f"nothing can be written there ({error.strerror})"
    return None
