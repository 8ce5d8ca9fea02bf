"""Safe unpickler of weights: an interpreter of the pickle instructions that weight files use.

Python's own unpickler calls any function that a file names, and allocates any size that it states. Here nothing is
imported, and only the functions in `SAFE_GLOBALS` are called, which create plain containers, NumPy arrays over the
file's own bytes and descriptions of PyTorch tensors; every other name is an error. Memory is proportional to the file.

Reference: the Python library's pickletools, which also reads the instructions' arguments and checks their lengths.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from paddleseg_ext.checkpoint.safe_globals import SAFE_GLOBALS, PendingObject, UnsafePickleError, plain_key
from paddleseg_ext.checkpoint.torch_storage import Storage

INSTRUCTIONS = {instruction.code: instruction for instruction in pickletools.opcodes}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
NEW = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
SKIPPED = {"PROTO", "FRAME"}
KNOWN = {"STOP", *CONSTANTS, *LITERALS, *NEW, *TUPLES, *SKIPPED}
COPY_COST: dict[type, int] = {str: 1, bytes: 1, list: 32, tuple: 32, dict: 32}
"""Types that a call may copy, and approximate bytes per item."""


class GlobalName(tuple):
    """A name (module, attribute) in `SAFE_GLOBALS`."""


def load(stream: BytesIO, find_storage: Callable[[tuple], Storage] | None = None) -> Any:
    """Read one pickle, up to its STOP instruction.

    Args:
        stream: Bytes in memory; near the end ``read`` returns fewer bytes and does not over-allocate.
        find_storage: Returns PyTorch's storages by their persistent ids in the pickle.

    Raises:
        UnsafePickleError: a name or an instruction that weight files do not use.
        ValueError: a damaged pickle; other exceptions are possible, too.
    """
    return _Unpickler(stream, find_storage).run()


class _Unpickler:
    def __init__(self, stream: BytesIO, find_storage: Callable[[tuple], Storage] | None) -> None:
        self.stream = stream
        self.find_storage = find_storage
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []  # the stacks below each open MARK
        self.memo: dict[int, Any] = {}
        # Repeated copies of the same bytes would exceed the size of the file.
        self.copy_budget = 4 * len(stream.getbuffer()) + 2**20

    def run(self) -> Any:
        while True:
            instruction = INSTRUCTIONS.get(self.stream.read(1).decode("latin1"))
            if instruction is None:
                raise ValueError("it is not a pickle, or ends early")
            name = instruction.name
            if name not in KNOWN and not hasattr(self, f"do_{name}"):
                raise UnsafePickleError(f"it has the pickle instruction {name}, which weight files do not use")
            argument = instruction.arg.reader(self.stream) if instruction.arg else None
            if name == "STOP":
                return self.stack.pop()
            if name in LITERALS:
                self.stack.append(argument)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif name in NEW:
                self.stack.append(NEW[name]())
            elif name in TUPLES:
                self.stack[-TUPLES[name] :] = [tuple(self.stack[-TUPLES[name] :])]
            elif name not in SKIPPED:
                getattr(self, f"do_{name}")(argument)

    def do_MARK(self, _: None) -> None:
        self.metastack.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.metastack.pop()
        return items

    def do_POP(self, _: None) -> None:
        self.stack.pop()

    def do_TUPLE(self, _: None) -> None:
        items = self.pop_mark()
        self.stack.append(tuple(items))

    def do_LIST(self, _: None) -> None:
        items = self.pop_mark()
        self.stack.append(items)

    def do_DICT(self, _: None) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.set_items(items)

    def do_APPEND(self, _: None) -> None:
        item = self.stack.pop()
        self.top(list).append(item)

    def do_APPENDS(self, _: None) -> None:
        items = self.pop_mark()
        self.top(list).extend(items)

    def do_SETITEM(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def do_SETITEMS(self, _: None) -> None:
        self.set_items(self.pop_mark())

    def do_ADDITEMS(self, _: None) -> None:
        items = self.pop_mark()
        self.top(set).update(map(plain_key, items))

    def set_items(self, items: Sequence[Any]) -> None:
        self.top(dict).update(zip(map(plain_key, items[::2]), items[1::2]))

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"it fills a {type(self.stack[-1]).__name__} as if it were a {kind.__name__}")
        return self.stack[-1]

    def do_MEMOIZE(self, _: None) -> None:
        self.do_BINPUT(len(self.memo))

    def do_BINPUT(self, index: int) -> None:
        self.memo[index] = self.stack[-1]
        if isinstance(self.stack[-1], PendingObject):
            self.stack[-1].memo_index = index

    do_LONG_BINPUT = do_BINPUT

    def do_BINGET(self, index: int) -> None:
        self.stack.append(self.memo[index])

    do_LONG_BINGET = do_BINGET

    def do_GLOBAL(self, text: str) -> None:
        self.push_global(*text.split(" ", 1))

    def do_STACK_GLOBAL(self, _: None) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        self.push_global(module, attribute)

    def push_global(self, module: Any, attribute: Any) -> None:
        if (module, attribute) not in SAFE_GLOBALS:
            raise UnsafePickleError(f"it refers to {module}.{attribute}, which weight files do not use")
        self.stack.append(GlobalName((module, attribute)))

    def do_REDUCE(self, _: None) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, GlobalName) or type(arguments) is not tuple:
            raise ValueError("it calls something that is not a name")
        self.copy_budget -= sum(len(item) * COPY_COST[type(item)] for item in arguments if type(item) in COPY_COST)
        if self.copy_budget < 0:
            raise UnsafePickleError("it copies its content over and over")
        self.stack.append(SAFE_GLOBALS[name](*arguments))

    do_NEWOBJ = do_REDUCE

    def do_BUILD(self, _: None) -> None:
        state, pending = self.stack.pop(), self.stack[-1]
        if isinstance(pending, PendingObject):
            self.stack[-1] = pending.finish(state)
            if pending.memo_index is not None:
                self.memo[pending.memo_index] = self.stack[-1]
        elif type(pending) is not dict:  # attributes of an OrderedDict are ignored
            raise ValueError(f"it completes a {type(pending).__name__}")

    def do_BINPERSID(self, _: None) -> None:
        if self.find_storage is None:
            raise UnsafePickleError("it refers to data outside the pickle")
        self.stack.append(self.find_storage(self.stack.pop()))
