"""Correcting a function of PaddleSeg in place, where its faulty lines are found, and what Paddle refuses to compute.

The function is compiled again with those lines corrected and keeps everything else, its identity included: whoever
imported it earlier, under whatever name, has the repaired one.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import linecache
import textwrap
import warnings
from collections.abc import Iterable
from types import CodeType
from typing import Any, Callable

import paddle


@functools.cache
def refuses_mixed_types() -> bool:
    """Whether this Paddle refuses a floating times an integer tensor, as it does since 3.0."""
    return refuses(lambda: on_cpu([1.0]) * on_cpu([1]))


def refuses(operation: Callable[[], object]) -> bool:
    """Whether an operation raises."""
    try:
        operation()
    except (TypeError, RuntimeError):
        return True
    return False


def on_cpu(values: list) -> paddle.Tensor:
    """A tensor that is not on a GPU."""
    return paddle.to_tensor(values, place=paddle.CPUPlace())  # an import must not wake a GPU


def correct(target: str, corrections: dict[str, str]) -> bool:
    """Recompile a function of PaddleSeg with some of its lines corrected.

    Args:
        target: "module:function" or "module:Class.method", within paddleseg.
        corrections: Ends of faulty lines, and what to write instead.

    Returns:
        Whether the faulty lines were there, all of them; otherwise nothing is done.
    """
    module, path = target.split(":")
    function: Any = functools.reduce(getattr, path.split("."), importlib.import_module(f"paddleseg.{module}"))
    lines = linecache.getlines(function.__code__.co_filename, function.__globals__)
    if not _has(corrections, "".join(lines)):  # a glance at the file, for cutting the function out of it takes time
        return False
    source = textwrap.dedent("".join(inspect.getblock(lines[function.__code__.co_firstlineno - 1 :])))
    if not _has(corrections, source):
        return False
    for faulty, right in corrections.items():
        source = source.replace(f"{faulty}\n", f"{right}\n")
    filename = f"<paddleseg.{module}.{path}, repaired by paddleseg_ext>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)  # for tracebacks
    if function.__code__.co_freevars == ("__class__",):  # `super` is found where the method stands in a class
        source = f"class {path.split('.')[0]}:\n{textwrap.indent(source, '    ')}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # backslashes in its strings, which were told when it was compiled first
        compiled = compile(source, filename, "exec", dont_inherit=True)
    function.__code__ = _code(compiled, function.__name__)
    return True


def _code(compiled: CodeType, name: str) -> CodeType:
    """The code of the function of a name, at the top or in a class."""
    inner = [constant for constant in compiled.co_consts if isinstance(constant, CodeType)]
    return next((code for code in inner if code.co_name == name), None) or _code(inner[0], name)


def _has(line_ends: Iterable[str], source: str) -> bool:
    return all(f"{end}\n" in source for end in line_ends)
