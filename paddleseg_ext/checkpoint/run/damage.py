"""Checkpoints that were damaged after they were written: told by file and field, with the newest whole one offered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paddleseg_ext.checkpoint import save
from paddleseg_ext.errors import UserError

OPTIMIZER, AVERAGES = "optimizer/", "ema/"  # what arrays of the training state are named after


def read_whole(path: Path, without_optimizer: bool = False) -> save.Checkpoint:
    """Read a checkpoint and compare its parts with each other.

    Args:
        path: Its folder.
        without_optimizer: Do without the arrays of the training state, if there are none at all.

    Raises:
        UserError: It cannot be read, or is damaged; the sentence names file and field, and offers the newest whole one
            before it.
    """
    try:
        found = save.load_checkpoint(path, arrays_needed=not without_optimizer)
        check(found, path, without_optimizer)
        return found
    except UserError as error:
        if not path.is_dir() or (offered := _newest_whole(path)) is None:
            raise
        raise UserError(f"{str(error).rstrip('.')}; the newest whole checkpoint before it is {offered}") from error


def check(checkpoint: save.Checkpoint, path: Path, without_optimizer: bool = False) -> None:
    """Compare the parts of a checkpoint with each other.

    Raises:
        UserError: One is damaged.
    """
    check_record(checkpoint.record, path)
    arrays, record = checkpoint.arrays, checkpoint.record
    if "arrays" in record and len(arrays) != record["arrays"] and (arrays or not without_optimizer):
        raise _damaged(path, save.ARRAYS, f"it has {len(arrays)} arrays, and {record['arrays']} were written")
    for key, value in arrays.items():
        if value.dtype.kind != "f":
            raise _damaged(path, save.ARRAYS, f"{key} holds {value.dtype}, not floating-point numbers")
        name = key.removeprefix(AVERAGES) if key.startswith(AVERAGES) else key.removeprefix(OPTIMIZER).partition("/")[2]
        weight = checkpoint.weights.get(name)
        if weight is None:
            raise _damaged(path, save.ARRAYS, f"{key} belongs to no weight in the checkpoint")
        single = key.startswith(OPTIMIZER) and value.size == 1  # powers that an optimizer keeps of each parameter
        if value.shape != weight.shape and not single:
            raise _damaged(
                path, save.ARRAYS, f"{key} has the shape {list(value.shape)}, and its weight {list(weight.shape)}"
            )


def check_record(record: Mapping[str, Any], path: Path) -> None:
    """Check the fields of ``training.json``.

    Raises:
        UserError: One is missing or of another kind.
    """
    for name, kind in _RECORD.items():
        _check_field(record, name, kind, path)
    if record["best"]:
        for name, kind in _BEST.items():
            _check_field(record["best"], name, kind, path, "best.")
    for name, kind in _LATER.items():
        if name in record:
            _check_field(record, name, kind, path)


Kind = tuple[str, Callable[[Any], bool]]
COUNT: Kind = ("a whole number of at least 0", lambda value: type(value) is int and value >= 0)
NUMBER: Kind = ("a number", lambda value: type(value) in (int, float))
SECTION: Kind = ("a section of names and values", lambda value: isinstance(value, dict))
TEXT: Kind = ("a text", lambda value: isinstance(value, str))
TRUTH: Kind = ("true or false", lambda value: isinstance(value, bool))
_RECORD = {
    **dict.fromkeys(("iteration", "position", "seed", "skipped", "stale", "ema_steps"), COUNT),
    **{"best": SECTION, "evaluated": TRUTH, "schedule": SECTION, "scaler": SECTION},
}
_BEST = {"metric": TEXT, "score": NUMBER, "iteration": COUNT}
_LATER = {"processes": COUNT, "arrays": COUNT, "meter": SECTION}  # which checkpoints of earlier versions lack


def _check_field(record: Mapping[str, Any], name: str, kind: Kind, path: Path, section: str = "") -> None:
    told, right = kind
    if name not in record:
        raise _damaged(path, save.RECORD, f"{section}{name} is missing")
    if not right(record[name]):
        raise _damaged(path, save.RECORD, f"{section}{name} is {record[name]!r:.60}, not {told}")


def _damaged(path: Path, file: str, what: str) -> UserError:
    return UserError(f"checkpoint {path}: {file} is damaged: {what}")


def _newest_whole(path: Path) -> Path | None:
    """The newest whole checkpoint beside a damaged one, and older than it."""
    beside = save.list_checkpoints(path.parent)
    earlier = beside[: beside.index(path)] if path in beside else [found for found in beside if found != path]
    for found in reversed(earlier):
        try:
            check(save.load_checkpoint(found), found)
        except UserError:
            continue
        return found
    return None
