"""Reading pickled weights by interpreting the few instructions that they consist of.

Python's own unpickler calls whatever a file names, and allocates whatever sizes it states. Here nothing is imported
or called but the functions in `CALLS`, which make plain containers, NumPy arrays over the file's own bytes and
descriptions of PyTorch tensors; every other name is refused. Memory stays in proportion to the file.

Reference: the Python library's pickletools, which also reads the instructions' arguments and checks their lengths.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from paddleseg_ext.checkpoint.safe_globals import CALLS, Refused, Unfinished, plain_key
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
COPIED: dict[type, int] = {str: 1, bytes: 1, list: 32, tuple: 32, dict: 32}
"""What a call may copy, and about how many bytes for each of its items."""


class Name(tuple):
    """A name (module, attribute) that `CALLS` knows."""


def load(stream: BytesIO, find_storage: Callable[[tuple], Storage] | None = None) -> Any:
    """Read one pickle and leave the stream behind it.

    Args:
        stream: Bytes in memory; its ``read`` gives fewer bytes at the end of the file, never waits or over-allocates.
        find_storage: Gives PyTorch's storages by the description that stands in the pickle.

    Raises:
        Refused: a name or an instruction that weights have no use for.
        ValueError: a damaged pickle. Other exceptions are possible, too; none of them is a danger.
    """
    return _Machine(stream, find_storage).run()


class _Machine:
    def __init__(self, stream: BytesIO, find_storage: Callable[[tuple], Storage] | None) -> None:
        self.stream = stream
        self.find_storage = find_storage
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each open MARK
        self.memo: dict[int, Any] = {}
        # Copies of the same bytes over and over would outgrow the file.
        self.budget = 4 * len(stream.getbuffer()) + 2**20

    def run(self) -> Any:
        while True:
            instruction = INSTRUCTIONS.get(self.stream.read(1).decode("latin1"))
            if instruction is None:
                raise ValueError("it is not a pickle, or ends early")
            name = instruction.name
            if name not in KNOWN and not hasattr(self, f"do_{name}"):
                raise Refused(f"it has the pickle instruction {name}, which weights have no use for")
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
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def do_POP(self, _: None) -> None:
        self.stack.pop()

    def do_TUPLE(self, _: None) -> None:
        items = self.since_mark()
        self.stack.append(tuple(items))

    def do_LIST(self, _: None) -> None:
        items = self.since_mark()
        self.stack.append(items)

    def do_DICT(self, _: None) -> None:
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    def do_APPEND(self, _: None) -> None:
        item = self.stack.pop()
        self.top(list).append(item)

    def do_APPENDS(self, _: None) -> None:
        items = self.since_mark()
        self.top(list).extend(items)

    def do_SETITEM(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def do_SETITEMS(self, _: None) -> None:
        self.set_items(self.since_mark())

    def do_ADDITEMS(self, _: None) -> None:
        items = self.since_mark()
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
        if isinstance(self.stack[-1], Unfinished):
            self.stack[-1].slot = index

    do_LONG_BINPUT = do_BINPUT

    def do_BINGET(self, index: int) -> None:
        self.stack.append(self.memo[index])

    do_LONG_BINGET = do_BINGET

    def do_GLOBAL(self, text: str) -> None:
        self.push_name(*text.split(" ", 1))

    def do_STACK_GLOBAL(self, _: None) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        self.push_name(module, attribute)

    def push_name(self, module: Any, attribute: Any) -> None:
        if (module, attribute) not in CALLS:
            raise Refused(f"it refers to {module}.{attribute}, which weights have no use for")
        self.stack.append(Name((module, attribute)))

    def do_REDUCE(self, _: None) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or type(arguments) is not tuple:
            raise ValueError("it calls something that is not a name")
        self.budget -= sum(len(item) * COPIED[type(item)] for item in arguments if type(item) in COPIED)
        if self.budget < 0:
            raise Refused("it copies its content over and over")
        self.stack.append(CALLS[name](*arguments))

    do_NEWOBJ = do_REDUCE

    def do_BUILD(self, _: None) -> None:
        state, unfinished = self.stack.pop(), self.stack[-1]
        if isinstance(unfinished, Unfinished):
            self.stack[-1] = unfinished.finish(state)
            if unfinished.slot is not None:
                self.memo[unfinished.slot] = self.stack[-1]
        elif type(unfinished) is not dict:  # what an OrderedDict has beside its items is of no use
            raise ValueError(f"it completes a {type(unfinished).__name__}")

    def do_BINPERSID(self, _: None) -> None:
        if self.find_storage is None:
            raise Refused("it refers to data outside the pickle")
        self.stack.append(self.find_storage(self.stack.pop()))
