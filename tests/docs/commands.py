"""The commands of a page's blocks, taken apart as a shell would."""

from __future__ import annotations

import importlib
import re
import shlex
from dataclasses import dataclass

from paddleseg_ext.cli import main
from tests.docs.pages import Block, Page

LAUNCHER = ["python", "-m", "paddle.distributed.launch"]
MODULE = ["python", "-m", "paddleseg_ext"]
LAUNCHER_FLAGS = {"--devices", "--nproc_per_node", "--nnodes", "--master", "--rank", "--log_dir"}  # each with a value
OVERVIEW = {"--help", "--version"}  # of the command without a command
OTHERS = {"cd", "git", "source", "export", "ulimit", "unzip", "nvidia-smi", "ls", "scp", "tensorboard", "visualdl"}
FILLED_IN = ("…", "path/to")


@dataclass(frozen=True)
class Command:
    """One command line.

    Attributes:
        words: As a shell passes them on, without what it sets in the environment.
        line: Of the page.
    """

    words: tuple[str, ...]
    line: int

    @property
    def own(self) -> tuple[str, list[str]] | None:
        """Name and arguments of a command of ours, started by a launcher or not."""
        words = list(self.words)
        if words[:3] == LAUNCHER:
            words = words[3:]
            while words and words[0] in LAUNCHER_FLAGS:
                words = words[2:]
            words = ["python", *words]
        if words[:3] == MODULE:
            words = ["paddleseg-ext", *words[3:]]
        if words[0] == "paddleseg-ext":
            return None if set(words[1:]) <= OVERVIEW else (words[1], words[2:])
        if words[0] == "python" and (script := re.fullmatch(r"tools/(\w+)\.py", words[1])):
            return script[1], words[2:]
        return None

    @property
    def launched(self) -> bool:
        return list(self.words[:3]) == LAUNCHER

    @property
    def complete(self) -> bool:
        """Whether nothing is left for the reader to fill in."""
        return not any(mark in word for word in self.words for mark in FILLED_IN)


def commands_of(block: Block) -> list[Command]:
    """Those of a block, comments and line breaks behind a backslash removed."""
    found, pending, start = [], "", 0
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        start = start or number
        if line.endswith("\\"):
            pending += line[:-1]
            continue
        words = shlex.split(pending + line, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        if words[:1] == ["until"]:  # until COMMAND; do sleep …; done
            end = next(i for i, word in enumerate(words) if word.endswith(";"))
            words = [*words[1:end], words[end][:-1]]
        for part in _split(words):
            found.append(Command(tuple(part), start))
        pending, start = "", 0
    return found


def _split(words: list[str]) -> list[list[str]]:
    """The commands between ``&&``."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def all_commands(page: Page) -> list[Command]:
    """Of a page's blocks."""
    return [command for block in page.code("bash") for command in commands_of(block)]


def parser_of(name: str) -> main._Parser:
    """The parser of a command of ours."""
    parser = main._Parser(prog=name)
    importlib.import_module(f"paddleseg_ext.cli.commands.{name}").add_arguments(parser)
    parser.add_threads()
    return parser
