"""What a number was made with: versions of packages, the device, the command line."""

from __future__ import annotations

import platform
import shlex
import sys
from pathlib import Path

import paddle
import paddleseg

from paddleseg_ext.compat.environment import processor_entry
from paddleseg_ext.compat.paddle import threads

PACKAGE = __name__.partition(".")[0]


def versions() -> dict[str, str]:
    """Versions of this package and of what its results depend on, by name."""
    return {
        "paddle": paddle.__version__,
        "paddleseg": getattr(paddleseg, "__version__", "develop"),
        PACKAGE: sys.modules[PACKAGE].__version__,  # which imports all rooms, so none below may import it
        "python": platform.python_version(),
    }


def device() -> dict[str, str | int]:
    """The device that Paddle computes on: its name, and threads of a CPU, or driver, CUDA and cuDNN of a GPU."""
    name = paddle.get_device()
    if not name.startswith("gpu"):
        return {"device": name, "name": _processor(), "threads": threads()}
    found = {
        "device": name,
        "name": paddle.device.cuda.get_device_name(name),
        "driver": _driver(),
        "cuda": str(paddle.version.cuda()),
        "cudnn": str(paddle.version.cudnn()),
    }
    return {key: value for key, value in found.items() if value}


def command_line() -> str:
    """What started this process, as a shell takes it."""
    program, *arguments = sys.argv or [""]
    if Path(program).name == "__main__.py":
        start = ["python", "-m", Path(program).parent.name]
    elif program.endswith(".py"):
        start = ["python", program]
    else:
        start = [Path(program).name]
    return shlex.join([*start, *arguments])


def _processor(cpuinfo: str = "/proc/cpuinfo") -> str:
    return processor_entry("model name", cpuinfo) or platform.processor() or platform.machine()


def _driver(version: str = "/proc/driver/nvidia/version") -> str:
    """Of NVIDIA's kernel module: ``NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …``."""
    try:
        words = Path(version).read_text(errors="replace").splitlines()[0].split()
    except (OSError, IndexError):
        return ""
    return next((word for word in words if word[0].isdigit() and "." in word), "")
