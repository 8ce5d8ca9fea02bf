"""`paddleseg-ext COMMAND …`: finds the command, parses its arguments and turns a user's mistake into one sentence."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import select
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from paddleseg_ext.cli.common import MOST_THREADS, setup_logging, whole
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.inspection.environment import version_line
from paddleseg_ext.runtime.threads import use_threads

# name -> help. A command lives in paddleseg_ext/cli/commands/NAME.py, which is imported only when it is asked for.
COMMANDS = {
    "prepare": "check a data set and turn it into lists, labels of class ids and a configuration",
    "init": "write a whole configuration to edit: one that comes with the package, or one for your own data",
    "check": "look at environment, configuration and every pair of the data before a training",
    "train": "train a network from a YAML file",
    "val": "evaluate a trained network: mIoU, accuracy and IoU by class",
    "compare": "put trainings and evaluations side by side: curves, scores, classes, configurations",
    "predict": "write raw-id, color and overlay pictures for images",
    "explain": "show what a network attends to in an image",
    "export": "export a trained network to Paddle Inference and ONNX, and verify it",
    "convert": "turn a checkpoint of mmsegmentation, PaddleSeg or a paper's code into weights of this package",
    "analyze": "tell parameters, multiply-adds, activations, memory and time of a network, layer by layer",
    "list": "list what a configuration can name, and which head runs on which backbone",
    "benchmark": "measure speed and memory against PaddleSeg",
    "run": "run a PaddleSeg script with the extension imported",
}

BUG, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141
THREADS = "of the processor; default: OMP_NUM_THREADS where it is set, else a core each, shared with launched processes"


def main(argv: Sequence[str] | None = None, command: str | None = None) -> int:
    """Run a command; its exit status is 0, or 1 for a bug, 2 for bad input, 130 after Ctrl-C, 141 for no reader.

    Args:
        argv: The arguments, without the program's name. Default: those of the process.
        command: The command, where the caller has settled it (``tools/train.py``); otherwise it is ``argv[0]``.

    Raises:
        SystemExit: From argparse, for ``--help``.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser, prog = _overview(), None
    try:
        if command is None:
            command = parser.parse_args(argv[:1] or ["--help"]).command
            argv, prog = argv[1:], f"paddleseg-ext {command}"
        setup_logging()
        module = _load(command)
        parser = _Parser(prog=prog, description=module.__doc__)
        module.add_arguments(parser)
        parser.add_threads()
        if command != "run":
            _refuse_empty(argv)
        args = parser.parse_args(argv)
        with use_threads(args.threads):
            status = module.run(args)
        return CLOSED_PIPE if _reader_left() else status
    except UserError as error:
        print(f"error: {_with_flags(str(error), parser)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit:  # --help
        _reader_left()
        raise
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left(told=True):
            return CLOSED_PIPE
        if command == "run":  # the script's own
            raise
        if isinstance(error, OSError) and error.filename:  # what the system refuses: a name too long, a full disk, …
            print(f"error: {str(error.filename):.200}: {error.strerror}", file=sys.stderr)
            return BAD_INPUT
        print(f"error: {_as_a_bug(error, [str(command), *argv])}", file=sys.stderr)
        return BUG


def _reader_left(told: bool = False) -> bool:
    """Whether who read standard output, `head` say, has gone; what is still to be written then goes nowhere.

    Args:
        told: Writing to some pipe has failed already, which a second attempt need not.
    """
    try:
        if not told:
            sys.stdout.flush()
            return False
        watch = select.poll()
        watch.register(sys.stdout.fileno(), 0)  # errors are always told
        if not watch.poll(0):
            return False
    except BrokenPipeError:
        pass
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


class _Parser(argparse.ArgumentParser):
    """A parser that knows the flag of each argument, and refuses arguments in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Arguments that do not parse, told as all mistakes are.

        Raises:
            UserError: Always.
        """
        told = message.removeprefix("argument ")
        raise UserError(told if told.startswith("-") else f"{told} (see {self.prog} --help)")

    def add_threads(self) -> None:
        """Add ``--threads``; to the subcommands where there are some."""
        if subparsers := self._subcommands():
            for parser in subparsers:
                parser.add_threads()
        else:
            self.add_argument("--threads", type=whole(1, MOST_THREADS), metavar="N", help=THREADS)

    def _subcommands(self) -> list[_Parser]:
        choices = (action.choices for action in self._actions if isinstance(action.choices, dict))
        return [parser for parsers in choices for parser in dict.fromkeys(parsers.values())]

    @property
    def flags(self) -> dict[str, str]:
        """The flag, its first spelling, by the argument's name; those of subcommands too."""
        found = {}
        for action in self._actions:
            if action.option_strings:
                found[action.dest] = action.option_strings[0]
        for parser in self._subcommands():
            found.update(parser.flags)
        return found


def _with_flags(message: str, parser: _Parser) -> str:
    """A message in which arguments in backquotes are the command's flags, where it has them."""
    return re.sub(r"`(\w+)`", lambda match: parser.flags.get(match[1], match[1]), message)


def _refuse_empty(argv: Sequence[str]) -> None:
    """Refuse empty arguments, which a path would take for the current folder, or for none given."""
    for before, argument in zip(["an argument", *argv], argv):
        if not argument.strip() or "\0" in argument:
            raise UserError(f"{before}: what follows is empty; was a variable of the shell not set?")


def _as_a_bug(error: Exception, command: list[str]) -> str:
    """The sentence for what should have been told otherwise, or should not have happened; the traceback is kept."""
    if isinstance(error, MemoryError):
        return "there is not enough memory; smaller batches, crops or windows take less"
    text = f"{shlex.join(command)}\n\n{''.join(traceback.format_exception(type(error), error, error.__traceback__))}"
    told = f"{type(error).__name__}: {reason(error)}; this is a bug in paddleseg_ext"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="paddleseg_ext-", suffix=".txt", delete=False) as file:
            file.write(text)
    except OSError:  # a full disk, say
        return f"{told}:\n{text}"
    return f"{told}, please report it with {file.name}, which holds the traceback"


def _overview() -> _Parser:
    """The parser of `paddleseg-ext` itself: it knows the names of the commands, not their arguments."""
    parser = _Parser(prog="paddleseg-ext", description="Context heads for PaddleSeg.")
    parser.add_argument("--version", action="version", version=version_line(), help="show versions, and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def _load(command: str) -> ModuleType:
    return importlib.import_module(f"paddleseg_ext.cli.commands.{command}")
