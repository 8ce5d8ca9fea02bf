"""What several commands share: the configuration's arguments and the log."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings

import paddle

from paddleseg_ext.runtime.device import DEVICES


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` (required), ``--opts`` and ``--device``."""
    parser.add_argument("--config", required=True, help="the YAML file")
    parser.add_argument(
        "--opts",
        nargs="+",
        metavar="KEY=VALUE",
        help="change entries of the configuration, e.g. model.decode_head.channels=256",
    )
    parser.add_argument("--device", default="auto", help=f"{DEVICES}; auto picks a GPU when there is one")


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
