"""Kills a training again and again at random, resumes it, and compares the end with that of an undisturbed run.

    python -m tests.training.kills --kills 50 --seed 0

Each run is forked from this process, which has imported Paddle but computed nothing, or, one in five, a Python of its
own. Compared are weights, optimizer state, averages, record, best model and metrics (without times), all bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.checkpoint.save import iteration_of, latest_checkpoint, list_checkpoints, load_checkpoint
from paddleseg_ext.cli.main import main as command
from paddleseg_ext.training.validation import Validator
from tests.tiny_run import assert_same, write_config, write_samples

ROOT = Path(__file__).resolve().parents[2]
INTERVAL = 5
FLAGS = f"--save_interval {INTERVAL} --log_iters 3 --keep_checkpoint_max 2 --do_eval --use_ema"
MORE = "--ema_decay 0.9 --seed 3 --num_workers 1 --resume auto"
MOMENTS = ("starting", "anywhere", "saving", "evaluating", "best model")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TIMES = {"seconds", "samples_per_second", "reader_seconds", "memory_gib"}
EXPECTED = {0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT}


class Run:
    """A training in a process of its own."""

    def __init__(self, root: Path, folder: Path, iterations: int, fresh: bool) -> None:
        arguments = ["train", "--config", str(root / "config.yml"), *FLAGS.split(), *MORE.split()]
        arguments += ["--iters", str(iterations)]
        arguments += ["--save_dir", str(folder)]
        self.log = root / "log.txt"
        if fresh:
            start = [sys.executable, "-m", "tests.training.kills", "--command", *arguments]
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(start, stdout=log, stderr=log, cwd=ROOT)
            self.pid = self.process.pid
            return
        self.pid = os.fork()
        if self.pid == 0:
            log_file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log_file, 1)
            os.dup2(log_file, 2)
            os._exit(_status_of(arguments))

    def ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> int:
        """The exit status; minus the signal's number where one ended it."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if status not in EXPECTED:
            raise AssertionError(f"status {status}:\n{self.log.read_text()}")
        return status


def _status_of(arguments: list[str]) -> int:
    try:
        return command(arguments)
    except KeyboardInterrupt:  # before the command has begun
        return 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1


def wait_for(moment: str, folder: Path, run: Run, dice: random.Random, duration: float) -> None:
    """Wait until a run is in the middle of something, or has ended."""
    if moment in ("starting", "anywhere"):
        end = time.monotonic() + dice.uniform(0, duration if moment == "anywhere" else 0.3 * duration)
        while time.monotonic() < end and not run.ended():
            time.sleep(0.001)
        return
    after = _newest(folder) + dice.choice([0, 0, INTERVAL, 2 * INTERVAL])
    while not run.ended():
        if _newest(folder) >= after and _is_at(moment, folder):
            time.sleep(dice.uniform(0, 0.01))
            return
        time.sleep(0.0002)


def _newest(folder: Path) -> int:
    found = latest_checkpoint(folder)
    return iteration_of(found) if found else 0


def _is_at(moment: str, folder: Path) -> bool:
    if moment == "evaluating":
        found = latest_checkpoint(folder)
        try:
            return found is not None and not json.loads((found / "training.json").read_text())["evaluated"]
        except (OSError, ValueError):
            return False
    names = os.listdir(folder) if folder.exists() else []
    if moment == "saving":
        return any(name.startswith((".iter_", ".removed_iter_", ".last")) for name in names)
    return ".best_model~" in names


def compare(folder: Path, other: Path) -> None:
    """Two finished runs: equal in everything but times."""
    assert [path.name for path in list_checkpoints(folder)][-1] == list_checkpoints(other)[-1].name
    a, b = (load_checkpoint(path / "last") for path in (folder, other))
    assert_same(a.weights, b.weights)
    assert_same(a.arrays, b.arrays)
    assert a.record == b.record, (a.record, b.record)
    for name in ("model.pdparams", "model.safetensors"):
        assert_same(read_weights(folder / "best_model" / name), read_weights(other / "best_model" / name))
    first, second = (path / "best_model" / "best.json" for path in (folder, other))
    assert first.read_bytes() == second.read_bytes()
    assert metrics(folder) == metrics(other)
    assert not list(folder.glob(".*~"))


def metrics(folder: Path) -> list[dict]:
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in record.items() if key not in (*TIMES, "resumed")} for record in records]


def torment(root: Path, kills: int, seed: int, iterations: int, fresh_share: float, report=print) -> Counter:
    """Kill so often, in as many trainings as it takes; the counts by moment, signal and result.

    Raises:
        AssertionError: A run ended otherwise, or was not equal.
    """
    dice = random.Random(seed)
    write_config(write_samples(root), imports=["tests.tiny_run"])
    start = time.monotonic()
    assert Run(root, root / "straight", iterations, False).wait() == 0
    duration = time.monotonic() - start
    counts: Counter = Counter()
    planned = [(moment, number) for moment in MOMENTS for number in SIGNALS]
    dice.shuffle(planned)
    done = chains = 0
    while done < kills:
        chains += 1
        folder = root / f"run{chains}"
        while True:
            run = Run(root, folder, iterations, dice.random() < fresh_share)
            if done < kills:
                moment, number = planned[done % len(planned)]
                wait_for(moment, folder, run, dice, duration)
                if not run.ended():
                    os.kill(run.pid, number)
                    done += 1
                    counts[f"{moment} {number.name}"] += 1
                    report(f"{done}: {number.name} while {moment}, newest iter_{_newest(folder)}, {folder.name}")
            status = run.wait()
            counts[f"status {status}"] += 1
            if status == 0:
                break
        compare(folder, root / "straight")
        report(f"{folder.name} ended as if undisturbed")
    counts["trainings"] = chains
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=40, help="of each training")
    parser.add_argument("--fresh", type=float, default=0.2, help="share of runs in a Python of their own")
    parser.add_argument("--no_curves", action="store_true", help="draw none but in fresh runs: they take long")
    parser.add_argument("--command", nargs=argparse.REMAINDER, help="be one of these runs")
    args = parser.parse_args()
    if args.command:
        sys.exit(_status_of(args.command))
    if args.no_curves:
        Validator._draw = lambda *_: None  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        counts = torment(Path(folder), args.kills, args.seed, args.iterations, args.fresh)
    for name, count in sorted(counts.items()):
        print(f"{count:4d} {name}")


if __name__ == "__main__":
    main()
