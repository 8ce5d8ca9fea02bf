"""Entry of the process: reads the file that is its standard input, under limits, and writes what is asked for.

Weights come in the format of safetensors, after their size; what is known besides follows on the standard error, or
one sentence and an exit status other than 0.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from paddleseg_ext.checkpoint.contents import describe, find_weights, unpaired
from paddleseg_ext.checkpoint.isolated.archive import copy_weights
from paddleseg_ext.checkpoint.isolated.arrays import SIZES, Array, Part, Storage, steps
from paddleseg_ext.checkpoint.isolated.torch_files import read_content
from paddleseg_ext.errors import UserError, reason

BIG_PARAMETERS = "UnpackBigParamInfor@@"  # paddle.save's key for tensors that it split into slices
MAX_SHARED = 4  # times the file's size; tied weights share a storage, more would be an attempt to exhaust memory
META = ("CLASSES", "PALETTE", "dataset_meta", "iter", "cfg", "config")
MAX_META, MAX_DEPTH = 1 << 20, 6  # bytes, and levels of nesting
LONGEST = 700  # characters of a sentence


def limit(memory: int, seconds: int) -> None:
    """Limit this process, as far as the system can; it also writes no files and no dumps from now on.

    Args:
        memory: Bytes beyond what it has.
        seconds: Time of the CPU.
    """
    try:
        import resource
    except ImportError:  # Windows: the process is ended when its time is over, and the scan bounds the memory
        return
    pages = Path("/proc/self/statm")
    used = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 1 << 30
    for name, value in [("AS", used + memory), ("CPU", seconds), ("FSIZE", 0), ("CORE", 0)]:
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            hard = value + (name == "CPU")  # at the first limit it is told which one it was
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, hard))


def write_weights(file: BinaryIO, out: BinaryIO, path: str, key: str | None) -> dict[str, Any]:
    """Write the weights of a pickle, or of a file of PyTorch's, as safetensors; what is known besides.

    Args:
        file: A regular file, open at its start.
        out: What the weights are written to.
        path: The file's name, for messages.
        key: Entry of the file that holds the weights; None for the one that is likely.

    Raises:
        UserError: The file holds no weights.
        ValueError: It is damaged, or holds complex numbers of 128 bits.
    """
    content = read_content(file, path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights by name.")
    state, found, others = find_weights(content, key, path)
    arrays = _arrays(_join_slices(dict(state), path))
    if sum(array.size for array in arrays.values()) > MAX_SHARED * os.fstat(file.fileno()).st_size + 2**20:
        raise ValueError("its tensors overlap")
    meta = content.get("meta")
    plain = _Plain().dictionary({name: meta.get(name) for name in META}) if isinstance(meta, dict) else {}
    header: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        assert array.storage is not None
        if array.storage.kind == "C128":
            raise ValueError(f"{name:.100} holds complex numbers (complex128)")
        header[name] = {"dtype": str(array.storage.kind), "shape": array.shape, "data_offsets": [end, end + array.size]}
        end += array.size
    text = json.dumps(header).encode()
    out.write(struct.pack("<QQ", 8 + len(text) + end, len(text)) + text)
    for array in arrays.values():
        out.write(array.data())
    others, top = [_printable(name) for name in others[:100]], _printable(describe(content))
    return {"names": list(arrays), "key": found, "others": others, "top": top, "meta": plain}


def _join_slices(content: dict[Any, Any], path: str) -> dict[Any, Any]:
    """Join the tensors that paddle.save split into slices for old pickle protocols."""
    try:
        for name, entry in content.pop(BIG_PARAMETERS, {}).items():
            pieces = [content.pop(piece) for piece in entry["slices"]]
            kind = pieces[0].storage.kind
            count = sum(piece.size for piece in pieces) // SIZES[kind]
            storage = Storage(kind, count, _join(pieces))
            content[name] = Array().fill(storage, 0, tuple(entry["OriginShape"]), steps(tuple(entry["OriginShape"])))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: the slices of its large tensors do not fit together ({error}).") from error
    return content


def _join(pieces: Iterable[Array]) -> Any:
    return lambda: b"".join(piece.data() for piece in pieces)


def _arrays(content: dict[Any, Any]) -> dict[str, Array]:
    """Arrays by name."""
    arrays = {}
    for name, value in content.items():
        value = unpaired(value)
        if isinstance(name, str) and isinstance(value, Array) and value.storage is not None:
            arrays[name] = value
    return arrays


class _Plain:
    """Copies plain values within bounds; what is no plain value, or too much, becomes None."""

    def __init__(self) -> None:
        self.left = MAX_META

    def dictionary(self, values: dict[Any, Any], depth: int = 0) -> dict[str, Any]:
        copied = {name: self(value, depth) for name, value in values.items() if self(name) is not None}
        return {name: value for name, value in copied.items() if value is not None}

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self.left -= len(value) + 10 if isinstance(value, str) else 10
        if self.left < 0 or depth > MAX_DEPTH or isinstance(value, Part):
            return None
        if type(value) is dict:
            return self.dictionary({k: v for k, v in value.items() if type(k) is str}, depth + 1)
        if type(value) in (list, tuple):
            return [self(item, depth + 1) for item in value] if 10 * len(value) <= self.left else None
        if type(value) is int:
            return value if abs(value) < 2**63 else None
        return value if type(value) in (str, bool) or type(value) is float and abs(value) < float("inf") else None


TASKS: dict[str, Callable[..., Any]] = {"weights": write_weights, "archive": copy_weights}


def run(request: dict[str, Any], file: BinaryIO, out: BinaryIO, errors: TextIO) -> int:
    """Do one task; return the exit status.

    Args:
        request: ``task``, its ``arguments``, and the ``memory`` that it may take, in bytes.
        file: The file to read, open at its start.
        out: What the result is written to.
        errors: What is known besides, as JSON; or a sentence on what went wrong.
    """
    path, memory = request["arguments"]["path"], request["memory"]
    try:
        about = TASKS[request["task"]](file, out, **request["arguments"])
        out.close()
        json.dump(about, errors)
        errors.flush()
        return 0
    except UserError as error:
        sentence = str(error)
    except MemoryError:
        sentence = (
            f"{path} cannot be read: it needs more than {memory >> 20} MB of memory, which its size does not explain."
        )
    except BrokenPipeError:
        return 3  # who asked has seen enough
    except Exception as error:  # a damaged file can raise any exception
        sentence = f"{path} cannot be read as weights: {reason(error)}."
    errors.write(_printable(sentence))
    errors.flush()
    return 2


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST])


def main() -> None:
    """Run what the first argument asks for."""
    request = json.loads(sys.argv[1])
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asked ends this one
    limit(request["memory"], request["seconds"])
    file, out = open(0, "rb", closefd=False), open(1, "wb")
    errors = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    os._exit(run(request, file, out, errors))  # without freeing millions of objects one by one
