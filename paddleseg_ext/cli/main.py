"""`paddleseg-ext COMMAND …`: finds the command, parses its arguments and turns a user's mistake into one sentence."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from types import ModuleType

from paddleseg_ext.cli.common import setup_logging
from paddleseg_ext.errors import UserError

# name -> help. A command lives in paddleseg_ext/cli/NAME.py, which is imported only when it is asked for.
COMMANDS = {
    "prepare": "check a data set and turn it into lists, labels of class ids and a configuration",
    "check": "look at environment, configuration and every pair of the data before a training",
    "train": "train a network from a YAML file",
    "val": "evaluate a trained network: mIoU, accuracy and IoU by class",
    "predict": "write raw-id, color and overlay pictures for images",
    "export": "export a trained network to Paddle Inference and ONNX, and verify it",
    "convert": "turn a checkpoint of mmsegmentation, PaddleSeg or a paper's code into weights of this package",
    "list": "list what a configuration can name, and which head runs on which backbone",
    "benchmark": "measure speed and memory against PaddleSeg",
    "run": "run a PaddleSeg script with the extension imported",
}

BAD_INPUT, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None, command: str | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 for bad input, or 130 after Ctrl-C.

    Args:
        argv: The arguments, without the program's name. Default: those of the process.
        command: The command, where the caller has settled it (``tools/train.py``); otherwise it is ``argv[0]``.

    Raises:
        SystemExit: From argparse: status 0 for ``--help``, 2 for arguments that do not parse.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    prog = None
    if command is None:
        command = _overview().parse_args(argv[:1]).command
        argv, prog = argv[1:], f"paddleseg-ext {command}"
    setup_logging()
    module = _load(command)
    parser = _Parser(prog=prog, description=module.__doc__)
    try:
        module.add_arguments(parser)
        return module.run(parser.parse_args(argv))
    except UserError as error:
        print(f"error: {_with_flags(str(error), parser)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """A parser that knows the flag of each argument."""

    @property
    def flags(self) -> dict[str, str]:
        """The flag, its first spelling, by the argument's name; those of subcommands too."""
        found = {}
        for action in self._actions:
            if action.option_strings:
                found[action.dest] = action.option_strings[0]
            elif isinstance(action.choices, dict):  # subcommands and their parsers
                for parser in action.choices.values():
                    found.update(parser.flags)
        return found


def _with_flags(message: str, parser: _Parser) -> str:
    """A message in which arguments in backquotes are the command's flags, where it has them."""
    return re.sub(r"`(\w+)`", lambda match: parser.flags.get(match[1], match[1]), message)


def _overview() -> argparse.ArgumentParser:
    """The parser of `paddleseg-ext` itself: it knows the names of the commands, not their arguments."""
    parser = argparse.ArgumentParser(prog="paddleseg-ext", description="Context heads for PaddleSeg.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def _load(command: str) -> ModuleType:
    return importlib.import_module(f"paddleseg_ext.cli.{command}")
