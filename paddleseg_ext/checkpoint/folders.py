"""Replacing, removing and setting aside of what a run keeps in its folder, and of nothing that is not its own."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from paddleseg_ext.checkpoint.atomic import sync, temporary

OWN_FILES = frozenset(
    "model.pdparams model.safetensors training.safetensors training.json config.yml classes.json best.json".split()
)
"""Files of a checkpoint and of the best model; what else a user keeps among them stays."""

NUMBER = r"(?:0|[1-9]\d*)"
_HIDDEN = re.compile(rf"\.(removed_)?(iter_{NUMBER}|best_model|last|metrics\.jsonl|curve\.png)~")
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2(2)


def sweep(folder: Path) -> None:
    """Remove what a killed run left half written or half removed."""
    removed = folder / ".removed_best_model~"
    if removed.is_dir() and not (folder / "best_model").exists():  # killed in the middle of `replace`
        os.rename(removed, folder / "best_model")
    for path in sorted(folder.iterdir()):
        if _HIDDEN.fullmatch(path.name):
            _discard(path)


def remove(path: Path) -> None:
    """Remove a checkpoint, after hiding it, so that no incomplete folder has a checkpoint's name.

    Files that are not ours stay, in a folder of the old name.
    """
    hidden = _removed(path)
    if hidden.exists():
        _discard(hidden)
    os.rename(path, hidden)
    _discard(hidden)


def replace(new: Path, target: Path) -> None:
    """Put the folder `new`, a `temporary` of `target`, into its place as a whole.

    Files of the old one that are not ours move into the new one. Where the system cannot exchange two folders, a kill
    may leave none of the name; `sweep` puts the old one back.
    """
    if not os.path.lexists(target):
        os.rename(new, target)
    elif exchange(new, target):
        _discard(new)
    else:
        if (hidden := _removed(target)).exists():
            _discard(hidden)
        os.rename(target, hidden)
        os.rename(new, target)
        _discard(hidden)
    sync(target.parent)


def set_aside(path: Path, why: str) -> Path:
    """Rename a folder or file to one whose name ends with `why`; return where it is."""
    number, aside = 1, path.with_name(f"{path.stem}_{why}{path.suffix}")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.stem}_{why}_{number}{path.suffix}")
    os.rename(path, aside)
    sync(path.parent)
    return aside


def exchange(a: Path, b: Path) -> bool:
    """Exchange two names at once; False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc has it since 2.28
    arguments = (AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE)
    return rename is not None and rename(*arguments) == 0


def _removed(path: Path) -> Path:
    return temporary(path.with_name(f"removed_{path.name}"))


def _discard(hidden: Path) -> None:
    """Remove our files of a hidden folder; others move to the name that it had."""
    if hidden.is_symlink() or not hidden.is_dir():
        hidden.unlink()
        return
    found = _HIDDEN.fullmatch(hidden.name)
    home = hidden.with_name(found[2]) if found else hidden
    for entry in sorted(hidden.iterdir()):
        if not entry.is_dir() and (entry.name in OWN_FILES or entry.name in _OWN_TEMPORARIES):
            entry.unlink()
            continue
        home.mkdir(exist_ok=True)
        if os.path.lexists(home / entry.name):
            entry = set_aside(entry, "old")
        os.rename(entry, home / entry.name)
    hidden.rmdir()


_OWN_TEMPORARIES = frozenset(temporary(Path(name)).name for name in OWN_FILES)
