"""Scan of a pickle's instructions before any is executed.

Python's unpickler allocates what a file states, and hashes what it is given, at any depth. The scan walks through the
instructions with the depth and the size of every tuple on the stack, so that only short programs over small keys run.
"""

from __future__ import annotations

import pickletools
from typing import BinaryIO

MAX_INSTRUCTIONS = 2_000_000  # a checkpoint with the state of its optimizer has a few hundred thousand
MAX_MARKS = 1_000  # open at a time; each level of nesting has one
MAX_DEPTH, MAX_ITEMS = 50, 200_000  # of a tuple, with the tuples in it

ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE", "EMPTY_SET", "LIST", "DICT"),
    *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"),
    *("MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID"),
}
TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
PUTS, GETS = {"MEMOIZE", "BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
LEAF = (0, 1)  # depth and items of all that is no tuple: it cannot be a key, or its hash needs nothing else


def scan(stream: BinaryIO) -> None:
    """Read the instructions of one pickle, up to its STOP.

    Raises:
        ValueError: It is damaged, or has what weight files do not have.
    """
    stack: list[tuple[int, int]] = []
    marks: list[int] = []  # heights of the stack
    memo: dict[int, tuple[int, int]] = {}
    for number, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        name = instruction.name
        if name not in ALLOWED:
            raise ValueError(f"it has the pickle instruction {name}, which weight files do not use")
        if number > MAX_INSTRUCTIONS:
            raise ValueError(f"it has more than {MAX_INSTRUCTIONS} pickle instructions")
        if name in PUTS:
            index = len(memo) if name == "MEMOIZE" else int(argument or 0)
            if index > number or not stack:
                raise ValueError(f"it stores an object under the number {index}")
            memo[index] = stack[-1]
        elif name in GETS:
            if argument not in memo:
                raise ValueError(f"it uses the object {argument} before it is there")
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
            if len(marks) > MAX_MARKS:
                raise ValueError(f"it is nested more than {MAX_MARKS} levels deep")
        else:
            before = instruction.stack_before
            taken = len(before)
            if pickletools.markobject in before:
                if not marks:
                    raise ValueError(f"its instruction {name} lacks a MARK")
                taken += len(stack) - marks.pop() - 2
            if taken > len(stack) - (marks[-1] if marks else 0):
                raise ValueError(f"its instruction {name} lacks an object")
            items = stack[len(stack) - taken :]
            del stack[len(stack) - taken :]
            if name in TUPLES:
                depth, size = 1 + max((d for d, _ in items), default=0), 1 + sum(n for _, n in items)
                if depth > MAX_DEPTH or size > MAX_ITEMS:
                    raise ValueError("it has a tuple that is nested too deep or too large")
                stack.append((depth, size))
            else:
                stack.extend([LEAF] * len(instruction.stack_after))
