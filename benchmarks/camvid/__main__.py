"""Trains what is not trained yet, one network after the other: `bash tools/camvid.sh DATA_ROOT [OUTPUT]`."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.camvid import table
from benchmarks.camvid.runs import Run, ablation, plan
from benchmarks.camvid.train import train
from benchmarks.clone import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/camvid.sh", description=__doc__)
    parser.add_argument("data_root", type=Path, help="folder of CamVid, laid out as configs/camvid/README.md says")
    parser.add_argument("output", type=Path, nargs="?", default=ROOT / "output" / "camvid", help="default: %(default)s")
    parser.add_argument("--status", action="store_true", help="tell what is done, write the tables, and train nothing")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="trainings whose names hold one of these")
    parser.add_argument("--iters", type=int, help="fewer iterations, to see that everything works")
    parser.add_argument("--save_interval", type=int, help="iterations between evaluations")
    args = parser.parse_args(arguments)
    data_root, output = args.data_root.resolve(), args.output.resolve()
    if not (data_root / "train.txt").is_file():
        parser.error(f"{data_root} has no train.txt; configs/camvid/README.md tells the layout")
    runs = plan()
    if args.status:
        print("\n".join(table.status([*runs, *_full(runs, output), *ablation()], output)))
        _write_tables(output)
        return 0
    flags = [("--iters", args.iters), ("--save_interval", args.save_interval)]
    extra = [word for flag, value in flags if value for word in (flag, str(value))]
    failed = 0
    for stage in (lambda: runs, lambda: _full(runs, output), ablation):
        chosen = [run for run in stage() if not args.only or any(word in run.name for word in args.only)]
        failed += _train(chosen, data_root, output, extra)
    return 1 if failed else 0


def _full(runs: Sequence[Run], output: Path) -> list[Run]:
    """The best of our heads at full size, known once all at half size are finished."""
    best = table.best_head(runs, output)
    return [Run(best, "ours", 1, full=True)] if best else []


def _train(runs: Sequence[Run], data_root: Path, output: Path, extra: list[str]) -> int:
    """Train, tell of each and bring the tables up to date; how many failed.

    What another process is at is left to it until the rest is done.
    """
    failed = 0
    for wait in (False, True):
        for number, run in enumerate(runs, 1):
            if table.result_of(run, output) is not None:
                continue
            _tell(f"{number} of {len(runs)}: {run.name}")
            code = train(run, data_root, output, extra, wait)
            if code is None:
                _tell("another process is at it")
            elif code:
                failed += wait  # the second turn tries it again
                _tell(f"it failed with status {code}; see {output / 'runs' / run.name / 'log.txt'}")
            else:
                _tell(table.status([run], output)[0])
                _write_tables(output)
    return failed


def _write_tables(output: Path) -> None:
    table.write([*plan(), *_full(plan(), output)], output)
    table.write_ablation(ablation(), output)


def _tell(text: str) -> None:
    print(f"{datetime.datetime.now():%m-%d %H:%M} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
