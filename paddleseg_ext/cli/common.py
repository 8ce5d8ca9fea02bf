"""What several commands share: the configuration's arguments, types that refuse a value before work begins, the log."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle

from paddleseg_ext.checkpoint.writable import file_problem, folder_problem
from paddleseg_ext.config.own_data import BACKBONES
from paddleseg_ext.config.values import Allowed
from paddleseg_ext.runtime.device import DEVICES


def add_config_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add ``--config``, ``--opts`` and ``--device``."""
    parser.add_argument("--config", required=required, help="a YAML file, or a name of `list configs`")
    parser.add_argument(
        "--opts",
        nargs="+",
        metavar="KEY=VALUE",
        help="change entries of the configuration, e.g. model.decode_head.channels=256",
    )
    parser.add_argument("--device", default="auto", help=f"{DEVICES}; auto picks a GPU when there is one")


def add_classes_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--classes``, which `given_classes` reads."""
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", help="of the classes by id; or their number; or a file like labels.txt"
    )


def given_classes(words: list[str] | None) -> list[str] | int | str | None:
    """Names, a number or a file, as they were given."""
    if words is None or len(words) > 1:
        return words
    only = words[0]
    if only.isdecimal():
        return int(only)
    return only if Path(only).is_file() or Path(only).suffix == ".txt" else [only]


def add_backbone_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--backbone``, that of the small network for one's own data."""
    light, small = BACKBONES
    parser.add_argument(
        "--backbone",
        choices=BACKBONES,
        help=f"of the configuration: {light} starts from ImageNet weights, {small} from random ones; default: the "
        "former where there is no GPU and the weights are installed",
    )


def setup_logging() -> None:
    """Send the project's log to standard output; of several processes only the first reports progress."""
    logger = logging.getLogger("paddleseg_ext")
    for handler in list(logger.handlers):  # a second call, after standard output was replaced
        logger.removeHandler(handler)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if paddle.distributed.get_rank() == 0 else logging.WARNING)
    logger.propagate = False
    # Paddle says it of every model in training mode; it is what BatchNorm is meant to do.
    warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")


MOST_ROUNDS = 1000  # of a measurement
MOST_IMAGES = 1024  # at once, of a measurement
MOST_THREADS = 1024


def whole(at_least: int, at_most: int | None = None) -> Callable[[str], int]:
    """A whole number within a range."""
    return checked(Allowed(int, at_least=at_least, at_most=at_most), int)


def number(**limits: Any) -> Callable[[str], float]:
    """A finite number within the limits of `Allowed`."""
    return checked(Allowed(float, **limits), float)


def checked(allowed: Allowed, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A value of a kind, if it is among those allowed."""

    def value(text: str) -> Any:
        found = kind(text)
        if wrong := allowed.problem(found):
            raise argparse.ArgumentTypeError(wrong)
        return found

    value.__name__ = kind.__name__  # argparse names it where the text is no number
    return value


def output_folder(text: str) -> str:
    """A folder that files can be put into; it need not be there yet."""
    return _writable(text, folder_problem)


def output_file(text: str) -> str:
    """A file that can be written or replaced."""
    return _writable(text, file_problem)


def _writable(text: str, problem: Callable[[Path], str | None]) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    if wrong := problem(Path(text)):
        raise argparse.ArgumentTypeError(f"{text:.200}: {wrong}")
    return text
