"""Versions that are installed, and those that do not go together."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import cv2
import numpy as np
import paddle
import paddleseg

from paddleseg_ext import __version__
from paddleseg_ext.errors import reason
from paddleseg_ext.inspection.findings import ERROR, OK, WARNING, Finding

RUN = ("2.6", "3.0", "3.1", "3.2", "3.3")  # minor versions of Paddle that this package supports


def version_line() -> str:
    """The versions that decide what runs, in a line."""
    parts = {"paddleseg-ext": __version__, "paddlepaddle": paddle.__version__, "paddleseg": _paddleseg()}
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def inspect_environment() -> list[Finding]:
    """Findings on the installed packages and the device; each conflict comes with what ends it."""
    versions = {
        "Python": platform.python_version(),
        "paddlepaddle": paddle.__version__,
        "paddleseg": _paddleseg(),
        "NumPy": np.__version__,
        "OpenCV": cv2.__version__,
    }
    found = [Finding(OK, ", ".join(f"{name} {value}" for name, value in versions.items()))]
    if not paddle.__version__.startswith(RUN):
        found.append(Finding(WARNING, f"paddlepaddle {paddle.__version__}: supported are {', '.join(RUN)}"))
    if int(np.__version__.split(".")[0]) >= 2 and int(cv2.__version__.split(".")[0]) < 5 and _minor(cv2) < (4, 10):
        found.append(Finding(ERROR, f"NumPy {np.__version__} and OpenCV {cv2.__version__}: pip install 'numpy<2'"))
    if _installed("paddlepaddle") and _installed("paddlepaddle-gpu"):
        cure = "pip uninstall paddlepaddle paddlepaddle-gpu, then install the one you want again"
        found.append(Finding(WARNING, f"paddlepaddle and paddlepaddle-gpu overwrite each other's files: {cure}"))
    if _installed("opencv-python") and _installed("opencv-python-headless"):
        cure = "pip uninstall opencv-python-headless, then pip install --force-reinstall opencv-python"
        found.append(Finding(WARNING, f"opencv-python and opencv-python-headless share their files: {cure}"))
    return [*found, _device()]


def _device() -> Finding:
    if not paddle.is_compiled_with_cuda():
        return Finding(OK, "this Paddle computes on the CPU")
    if not paddle.device.cuda.device_count():
        return Finding(WARNING, "this Paddle is built for GPUs but sees none: nvidia-smi tells what the driver sees")
    name = paddle.device.cuda.get_device_name()
    architecture = "sm_{}{}".format(*paddle.device.cuda.get_device_capability())
    try:
        product = float(paddle.ones([8, 8]).matmul(paddle.ones([8, 8])).sum())
    except Exception as error:  # of the driver, in many ways
        product, told = 0.0, f": {reason(error)}"
    else:
        told = ""
    if product != 512:
        return Finding(
            ERROR,
            f"{name} ({architecture}) does not compute with this Paddle, built for CUDA {paddle.version.cuda()}{told}; "
            "install the wheel for your driver and card from Paddle's install page",
        )
    return Finding(OK, f"{name} ({architecture}), Paddle for CUDA {paddle.version.cuda()}")


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _paddleseg() -> str:
    return getattr(paddleseg, "__version__", "develop")


def _minor(module: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(getattr(module, "__version__", "0.0")).split(".")[:2])
