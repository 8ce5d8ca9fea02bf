"""Signals while Paddle is imported, and after it: Ctrl-C is told as that, SIGTERM stays with whom it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERRUPT = "import os, signal, sys\nsys.modules.setdefault('cv2', sys)\nos.kill(os.getpid(), signal.SIGINT)\n"
FAKES = {
    "comes out": INTERRUPT,
    "becomes an ImportError": f"try:\n    exec({INTERRUPT!r})\nexcept BaseException:\n    raise ImportError('no')\n",
    "is swallowed": f"try:\n    exec({INTERRUPT!r})\nexcept BaseException:\n    pass\n",
}


def imported(folder: Path, paddle: str) -> subprocess.CompletedProcess:
    """Our package imported by a Python of its own, with a module of this text for Paddle."""
    (folder / "paddle.py").write_text(paddle)
    (folder / "cv2.py").write_text("")
    return subprocess.run(
        [sys.executable, "-c", "import paddleseg_ext"],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a run in the background ignores it
    )


@pytest.mark.parametrize("name", FAKES)
def test_it_is_told(tmp_path: Path, name: str) -> None:
    run = imported(tmp_path, FAKES[name])
    assert run.stderr == "error: interrupted while PaddlePaddle was being imported\n"
    assert run.returncode in (-signal.SIGINT, 130)


def test_a_missing_paddle_is_told_as_before(tmp_path: Path) -> None:
    run = imported(tmp_path, "raise ImportError('no libpaddle.so')")
    assert "paddleseg_ext needs PaddlePaddle, which could not be imported (no libpaddle.so)" in run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sigterm_is_whose_it_was() -> None:
    """Paddle's handler prints where it was hit, and hangs where memory was being taken."""
    lines = [
        "import signal",
        "find = lambda: [line for line in open('/proc/self/status') if line.startswith(('SigCgt', 'SigIgn'))]",
        "state = lambda: [int(line.split()[1], 16) >> signal.SIGTERM - 1 & 1 for line in find()]",
        "before = state()",
        "import sys, paddleseg_ext, paddle",
        "assert not {'sklearn', 'pandas'} & {*sys.modules}",  # deferred, to start sooner
        "paddle.ones([2]).sum()",
        "assert state() == before, (before, state())",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
