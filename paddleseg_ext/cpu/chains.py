"""Layers of which each takes what the one before it gives, and nothing else does: read from the code that calls them.

What a convolution gives may be overwritten by the BatchNorm after it only where nothing else uses it. Watching a
network run does not tell, but its code does, in the two ways that nearly all networks are written in,

    x = self.conv(x)            return self.act(self.norm(self.conv(x)))
    x = self.norm(x)

where no name is left for the result in between. The code is read, never run; where it is written in another way,
nothing is found.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType

from paddle import nn


@dataclass(frozen=True)
class Step:
    """A call of a sublayer.

    Attributes:
        name: The attribute that holds it.
        only_if: Another attribute; where it is false, the step is left out.
    """

    name: str
    only_if: str | None = None


FOREIGN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Global, ast.Nonlocal, ast.Try)
"""What may see a name again where it is not seen."""

Run = tuple[Step, ...]


def runs(parent: nn.Layer, children: Mapping[str, nn.Layer]) -> list[list[nn.Layer]]:
    """Those of a layer's children that it calls one on the result of the other, in each of its runs of at least two.

    Only such as it calls once in its code, and only where that calls no other method of the layer.
    """
    forward = type(parent).forward
    if len(children) < 2 or "forward" in vars(parent):
        return []
    if forward is nn.Sequential.forward:
        return [list(children.values())]
    if not isinstance(forward, FunctionType) or hasattr(forward, "__wrapped__"):
        return []
    found, called = _read(forward)
    if not all(name in children or getattr(parent, name, parent) is None for name in called):  # methods use any layer
        return []
    present = [[step.name for step in run if step.only_if is None or getattr(parent, step.only_if)] for run in found]
    return [[children[name] for name in names] for names in present if len(names) > 1]


@lru_cache(maxsize=1024)
def _read(forward: FunctionType) -> tuple[tuple[Run, ...], frozenset[str]]:
    """The runs in the code of a forward, and which attributes of its layer it calls; of unreadable code nothing."""
    try:
        source = textwrap.dedent(inspect.getsource(forward))
        tree = ast.parse(source)
        compiled = compile(tree, "<forward>", "exec")
    except (OSError, TypeError, SyntaxError, ValueError):
        return (), frozenset()
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef) or not function.args.args:
        return (), frozenset()
    if not any(_same_code(const, forward.__code__) for const in compiled.co_consts):
        return (), frozenset()
    own = function.args.args[0].arg
    inside = [node for statement in function.body for node in ast.walk(statement)]
    mentions = [node.attr for node in inside if isinstance(node, ast.Attribute) and _is_name(node.value, own)]
    bare = sum(_is_name(node, own) for node in inside) != len(mentions)  # it is passed on, whole
    if bare or any(isinstance(node, FOREIGN) for node in inside):
        return (), frozenset()
    times = Counter(mentions)
    once = tuple(run for run in _all_runs(function, own) if len(run) > 1 and all(times[step.name] == 1 for step in run))
    called = (_own(node.func, own) for node in inside if isinstance(node, ast.Call))
    return once, frozenset(name for name in called if name)


def _same_code(read: object, run: CodeType) -> bool:
    """Whether the source is what was compiled: files change, and so does code when tests are collected."""
    return isinstance(read, CodeType) and all(
        getattr(read, part) == getattr(run, part) for part in ("co_code", "co_names", "co_varnames", "co_freevars")
    )


def _all_runs(function: ast.FunctionDef, own: str) -> Iterator[Run]:
    within: set[int] = set()  # calls that belong to a run already
    for node in ast.walk(function):
        for part in ("body", "orelse"):
            block = getattr(node, part, None)
            if isinstance(block, list):
                yield from _linked(block, own, within)
    for node in ast.walk(function):
        steps, calls, _ = _nested(node, own)
        if steps and id(node) not in within:
            within.update(map(id, calls))
            yield steps


def _linked(block: list[ast.stmt], own: str, within: set[int]) -> Iterator[Run]:
    """The runs of a block, over statements that follow each other and take and give the same name."""
    run: Run = ()
    result: str | None = None  # the name that holds what the run gives
    for statement in block:
        only_if, target, value = _parts(statement, own)
        steps, calls, argument = _nested(value, own)
        within.update(map(id, calls))
        if steps and run and result is not None and _is_name(argument, result) and target in (result, None):
            run += tuple(Step(step.name, only_if) for step in steps)
        else:
            yield run
            run = () if only_if else steps
        result = target if run else None
    yield run


def _parts(statement: ast.stmt, own: str) -> tuple[str | None, str | None, ast.expr | None]:
    """What a statement depends on, the name it assigns, and the value; of others no value."""
    if isinstance(statement, ast.If) and len(statement.body) == 1 and not statement.orelse:
        flag = _own(statement.test, own)
        inner = _parts(statement.body[0], own)
        if flag and inner[0] is None and isinstance(statement.body[0], ast.Assign):
            return (flag, *inner[1:])
    elif isinstance(statement, ast.Return):
        return None, None, statement.value
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            return None, target.id, statement.value
    return None, None, None


def _nested(value: ast.AST | None, own: str) -> tuple[Run, list[ast.AST], ast.AST | None]:
    """Calls within each other, the innermost first; their nodes; and what the innermost takes."""
    steps: Run = ()
    calls: list[ast.AST] = []
    while isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords:
        name = _own(value.func, own)
        if name is None:
            break
        steps = (Step(name), *steps)
        calls.append(value)
        value = value.args[0]
    return steps, calls, value


def _own(node: ast.AST, own: str) -> str | None:
    """The attribute's name, of ``self.name``."""
    return node.attr if isinstance(node, ast.Attribute) and _is_name(node.value, own) else None


def _is_name(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
