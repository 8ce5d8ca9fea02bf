"""Settings that must be in the environment before Paddle and OpenCV are imported."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

PIXELS_VARIABLE = "PADDLESEG_EXT_MAX_PIXELS"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# As they were before Paddle, which writes 1 into the first where there is none.
THREADS_BEFORE = {name: os.environ.get(name, "") for name in THREAD_VARIABLES}


def max_pixels() -> int:
    """The largest picture that is read, in pixels: 2³⁰ unless the environment says otherwise."""
    value = os.environ.get(PIXELS_VARIABLE, "")
    return int(value) if value.isdigit() and int(value) > 0 else 2**30


def raise_opencv_limit() -> None:
    """Let OpenCV read pictures as large as the rest of the package does; counts only before it reads the first."""
    os.environ.setdefault("CV_IO_MAX_IMAGE_PIXELS", str(max_pixels()))


def processor_vendor(cpuinfo: str = "/proc/cpuinfo") -> str:
    """Vendor of the first processor (``AuthenticAMD``, ``GenuineIntel``, …), or ``""`` where it cannot be read."""
    return processor_entry("vendor_id", cpuinfo)


def processor_entry(key: str, cpuinfo: str = "/proc/cpuinfo") -> str:
    """What Linux says of the first processor under a key, e.g. ``model name``; ``""`` where it cannot be read."""
    try:
        lines = Path(cpuinfo).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def tune_mkl() -> None:
    """On AMD processors, let the MKL inside Paddle's CPU wheel use its AVX2 kernels.

    That MKL (before 2020.1) runs its slowest path on processors that are not Intel's unless
    ``MKL_DEBUG_CPU_TYPE=5`` is set. The variable counts only before Paddle is loaded; on Intel
    it must stay unset. A value that the user chose is kept.
    """
    if "paddle" not in sys.modules and processor_vendor() == "AuthenticAMD":
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")


def tune_openmp() -> None:
    """Let the threads of Paddle's OpenMP stay awake for one millisecond after their work, instead of 200.

    They take a core meanwhile, which the kernels' threads and the processes that read data could use. The variable
    counts only before Paddle is loaded. A way of waiting that the user chose is kept.
    """
    if "paddle" not in sys.modules and not {"KMP_BLOCKTIME", "OMP_WAIT_POLICY", "KMP_LIBRARY"} & os.environ.keys():
        os.environ["KMP_BLOCKTIME"] = "1"


def given_threads() -> int | None:
    """The number of threads that the user set in the environment, None where there is none.

    A process of Paddle's launcher has the launcher's own ``OMP_NUM_THREADS=1`` in it, which nobody asked for.
    """
    launched = "PADDLE_TRAINER_ID" in os.environ
    for name, value in THREADS_BEFORE.items():
        first = value.partition(",")[0].strip()  # one for each level of nesting
        if first.isdigit() and int(first) and not (launched and name == "OMP_NUM_THREADS" and first == "1"):
            return int(first)
    return None


def environment_before() -> dict[str, str]:
    """The environment for another command: this process's, with the user's own numbers of threads."""
    return {
        **{k: v for k, v in os.environ.items() if k not in THREADS_BEFORE},
        **{k: v for k, v in THREADS_BEFORE.items() if v},
    }


class quiet_about_threads(redirect_stderr):  # noqa: N801 - used as a function
    """Within the block, the import of Paddle, it does not warn of every ``OMP_NUM_THREADS`` but 1, its own default.

    The warning is about builds with OpenBLAS. Whatever else is said is said behind the block.
    """

    def __init__(self) -> None:
        super().__init__(io.StringIO())

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        said = self._new_target.getvalue()  # type: ignore[attr-defined]
        sys.stderr.write(re.sub(r"WARNING: OMP_NUM_THREADS set .*\n|PLEASE USE OMP_NUM_THREADS WISELY.\n", "", said))


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """Within the block, an import, Ctrl-C is told as what it is, whatever the imported package makes of it.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed. Left to itself Python shows the message without a traceback.
    """
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    usual = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if usual:  # a program's own handler knows better
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except BaseException as error:
        if not pressed and not isinstance(error, KeyboardInterrupt):
            raise
        sys.excepthook = _without_traceback(sys.excepthook)
        raise KeyboardInterrupt(f"interrupted while {what} was being imported") from error
    finally:
        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:  # and swallowed
        sys.excepthook = _without_traceback(sys.excepthook)
        raise KeyboardInterrupt(f"interrupted while {what} was being imported")


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    """Within the block, an import, nobody takes over SIGTERM for good.

    Paddle does, to print where it was hit. That takes memory, in the middle of whatever the process was doing: if that
    was taking memory, too, both wait for each other for ever, and a training that is told to end while it starts hangs.
    """
    if threading.current_thread() is not threading.main_thread():  # Python forbids it elsewhere
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:  # of C code, which Python cannot put back
            signal.signal(signal.SIGTERM, before)


def _without_traceback(usual: Any) -> Any:
    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt) and error.args:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201
        else:
            usual(kind, error, traceback)

    return hook
