"""Runs all steps and writes the report: `bash tools/gpu_check.sh [MINUTES] [--device gpu|cpu]`."""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clone import ROOT
from benchmarks.gpu_check import environment, plan, report, steps
from benchmarks.gpu_check.room import Failed, Machine, Room

PROGRAM = "gpu_check.sh"
FOLDER = ROOT / "output" / "gpu_check"  # emptied first
MINUTES, LEAST, MOST = 20.0, 2.0, 600.0
DEVICES = ("gpu", "cpu")
RESERVE = 10.0  # seconds, for ending the last step and for the report
FAILED, BAD_ARGUMENTS, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Exit status: 0 if no step failed, 1 if one did, 2 for bad arguments (a device that is not there, too)."""
    args = _arguments(argv)
    end = time.monotonic() + 60 * args.minutes - RESERVE
    shutil.rmtree(folder, ignore_errors=True)
    room = Room(folder, Machine(args.device), deadline=end)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends what runs, too
    try:
        environment.look(room)
    except (Failed, environment.NoDevice) as reason:
        print(f"error: {str(reason).removeprefix('error: ')}", file=sys.stderr)
        return FAILED if isinstance(reason, Failed) else BAD_ARGUMENTS
    print(f"GPU check on {room.machine.name}, at most {args.minutes:g} minutes")
    try:
        outcomes = steps.run_steps(plan.steps(room.machine), room, end, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        return INTERRUPTED
    shutil.rmtree(folder / "runs", ignore_errors=True)  # gigabytes of checkpoints
    path = report.write_report(room, outcomes, shlex.join([PROGRAM, *(sys.argv[1:] if argv is None else argv)]))
    print(f"{report.verdict(outcomes)}; {path}")
    return steps.status(outcomes)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(PROGRAM, description="Find out on a GPU what only a GPU can tell.")
    parser.add_argument(
        "minutes", nargs="?", type=_minutes, default=MINUTES, metavar="MINUTES", help=f"for all; default {MINUTES:g}"
    )
    parser.add_argument("--device", choices=DEVICES, default="gpu", help="cpu walks through it in small")
    return parser.parse_args(argv)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not LEAST <= value <= MOST:
        raise argparse.ArgumentTypeError(f"{text}: minutes are a number from {LEAST:g} to {MOST:g}")
    return value


if __name__ == "__main__":
    sys.exit(main())
