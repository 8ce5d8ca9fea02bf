"""One training by the command line that everybody uses, gone on with after whatever interrupted it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.camvid.runs import Run
from benchmarks.clone import ROOT, clone_environment
from paddleseg_ext.compat.environment import environment_before, given_threads
from paddleseg_ext.runtime.device import device_name
from paddleseg_ext.runtime.threads import cpu_threads

RESULT = "result.json"
KEPT = ("metrics.jsonl", "curve.png")


def command(run: Run, data_root: Path, work: Path, extra: Sequence[str] = ()) -> list[str]:
    """The command line of a training, relative to the project's root."""
    roots = [f"{section}.dataset_root={data_root}" for section in ("train_dataset", "val_dataset")]
    config, seed = str(run.config.relative_to(ROOT)), str(run.seed)
    return [
        *("tools/train.py", "--config", config, "--save_dir", str(work), "--seed", seed),
        *("--keep_checkpoint_max", "1", "--log_iters", "23", "--resume", "auto", *extra, "--opts", *roots),
    ]


def train(run: Run, data_root: Path, output: Path, extra: Sequence[str] = (), wait: bool = False) -> int | None:
    """Train to the end and write down the result, unless that is done.

    A signal that would end this process is passed on to the training, which saves a checkpoint to go on from.

    Args:
        run: Which.
        data_root: Folder of CamVid.
        output: Where ``runs`` and ``results`` go.
        extra: Further arguments of the training.
        wait: Where another process is at the same training, wait for its end.

    Returns:
        The training's exit status; None where another process is at it.

    Raises:
        SystemExit: a signal came.
    """
    result = output / "results" / run.name
    if (result / RESULT).is_file():
        return 0
    work = output / "runs" / run.name
    work.mkdir(parents=True, exist_ok=True)
    arguments = command(run, data_root, work, extra)
    stopped: list[int] = []
    with open(work / "log.txt", "a", encoding="utf-8") as log:
        try:  # the training inherits the lock, so that it holds for one that outlived its starter, too
            fcntl.flock(log, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return None
        if (result / RESULT).is_file():  # written while this process waited
            return 0
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=clone_environment(environment_before()),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's interrupt reaches it once, by way of `stop`
        )

        def stop(number: int, _: Any) -> None:
            stopped.append(number)
            child.send_signal(signal.SIGTERM)

        handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            status = child.wait()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if status == 0 and not stopped:
            _keep(work, result, arguments, data_root)
    if stopped:
        raise SystemExit(128 + stopped[0])
    return status


def _keep(work: Path, result: Path, arguments: list[str], data_root: Path) -> None:
    """Copy what a finished training left, but for weights and for where files lie on this machine."""
    result.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copy(work / name, result)
    places = {str(work): f"output/camvid/runs/{work.name}", str(data_root): "data/camvid"}
    places.update({folder + os.sep: "" for folder in (sys.prefix, str(ROOT))})
    configuration = yaml.safe_load((work / "best_model" / "config.yml").read_text("utf-8"))
    texts = {
        "config.yml": yaml.safe_dump(configuration, allow_unicode=True),
        "log.txt": (work / "log.txt").read_text("utf-8"),
        "command.txt": shlex.join(["python", *arguments]) + "\n",
    }
    for name, text in texts.items():
        for here, anywhere in places.items():
            text = text.replace(here, anywhere)
        (result / name).write_text(text, "utf-8")
    threads = given_threads() or cpu_threads()
    where = {"threads": str(threads), "device": device_name()}
    summary = {**summarize(read_records(work / "metrics.jsonl")), **where}
    (result / RESULT).write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for checkpoint in work.glob("iter_*"):
        shutil.rmtree(checkpoint)  # best_model stays


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a ``metrics.jsonl``."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def summarize(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of the best and of the last evaluation, time and memory of a training."""
    evaluations = [record for record in records if "miou" in record]
    steps = [record for record in records if "losses" in record]
    best = max(evaluations, key=lambda record: record["miou"])
    return {
        "best": _scores(best),
        "class_iou": {name: values["iou"] for name, values in best["classes"].items()},
        "last": _scores(evaluations[-1]),
        "seconds_per_iteration": min(record["seconds"] for record in steps),  # the least disturbed interval
        "peak_memory_gib": max(record["memory_gib"] for record in steps),
    }


def _scores(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in ("iter", "miou", "accuracy")}
