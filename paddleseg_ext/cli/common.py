"""What several commands share: the device, the configuration's arguments and the log."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings

import paddle

from paddleseg_ext.errors import UserError

DEVICES = "auto, cpu, gpu, gpu:N, xpu, npu or mlu"
INSTALL_PAGE = "https://www.paddlepaddle.org.cn/en/install/quick"


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


def set_device(name: str = "auto") -> str:
    """Choose the device on which Paddle computes and return its name as Paddle spells it (``cpu``, ``gpu:0``).

    Raises:
        UserError: `name` is none of those allowed, or this Paddle or this machine lacks the device.
    """
    kind = name.split(":")[0]
    if kind not in ("auto", "cpu", "gpu", "xpu", "npu", "mlu"):
        raise UserError(f"--device {name}: there is no such device; allowed are {DEVICES}")
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if kind == "auto":
        name = "gpu" if gpus else "cpu"
    elif kind == "gpu" and not paddle.is_compiled_with_cuda():
        raise UserError(
            f"--device {name}: the installed paddlepaddle {paddle.__version__} is the CPU build; install "
            f"paddlepaddle-gpu (the command for your CUDA version is at {INSTALL_PAGE}) or use --device cpu"
        )
    elif kind == "gpu" and not gpus:
        raise UserError(f"--device {name}: Paddle sees no GPU on this machine; use --device cpu")
    try:
        return str(paddle.set_device(name) and paddle.get_device())
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"--device {name}: Paddle cannot use it: {reason}") from error


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
