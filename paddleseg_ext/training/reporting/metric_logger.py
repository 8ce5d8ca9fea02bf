"""What is told of a run while it trains: the progress line, logs, ``metrics.jsonl``, VisualDL and TensorBoard."""

from __future__ import annotations

import datetime
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.checkpoint.atomic import write_file
from paddleseg_ext.checkpoint.folders import set_aside
from paddleseg_ext.checkpoint.run.folder import METRICS
from paddleseg_ext.checkpoint.run.records import not_records, read_records
from paddleseg_ext.checkpoint.run.refusals import told
from paddleseg_ext.evaluation.provenance import of_device, of_versions
from paddleseg_ext.runtime.device import peak_memory
from paddleseg_ext.runtime.versions import command_line, device, versions
from paddleseg_ext.training.reporting.boards import Boards
from paddleseg_ext.training.reporting.run_log import RunLog
from paddleseg_ext.training.step import NORM

logger = logging.getLogger(__name__)


class AverageMeter:
    """Losses and times since the last line."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start a new interval."""
        self.iterations = 0
        self.sums: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """Take times from here on."""
        self._timed, self._paused, self._waited = 0, 0.0, 0.0
        self._start = time.perf_counter()

    def record(self) -> dict[str, Any]:
        """The interval so far, without times, as plain values."""
        return {"iterations": self.iterations, "sums": dict(self.sums)}

    def restore(self, record: dict[str, Any]) -> None:
        """Go on with the interval that `record` gave."""
        self.iterations, self.sums = record.get("iterations", 0), dict(record.get("sums", {}))

    def waited(self, seconds: float) -> None:
        """Count seconds that an iteration waited for data."""
        self._waited += seconds

    def add(self, losses: dict[str, float]) -> None:
        """Count one iteration and its loss by name; one that was skipped has none and does not count."""
        self.iterations += bool(losses)
        self._timed += bool(losses)
        for name, value in losses.items():
            if not math.isfinite(value):  # the norm of float16 gradients that overflowed
                continue
            self.sums[name] = self.sums.get(name, 0.0) + value

    def pause(self, seconds: float) -> None:
        """Leave out time spent on something else than iterating: an evaluation, a checkpoint."""
        self._paused += seconds

    def losses(self) -> dict[str, float]:
        """The mean loss by name."""
        return {name: value / self.iterations for name, value in self.sums.items()}

    def seconds(self) -> float:
        """Mean seconds per iteration of those since `start`."""
        return (time.perf_counter() - self._start - self._paused) / max(self._timed, 1)

    def reader_seconds(self) -> float:
        """Mean seconds that these waited for data."""
        return self._waited / max(self._timed, 1)


class MetricLogger:
    """While `opened`, writes the records of a run to the log, to ``metrics.jsonl`` and to the boards asked for.

    Args:
        folder: Where the files go.
        use_vdl: Also write for VisualDL.
        use_tensorboard: Also write for TensorBoard.

    Attributes:
        log: What was said so far, for ``train.log``; one is begun in `opened` where there is none.
    """

    def __init__(self, folder: str | Path, use_vdl: bool = False, use_tensorboard: bool = False) -> None:
        self.path = Path(folder) / METRICS
        self._asked = use_vdl, use_tensorboard
        self.history: list[dict] = []
        self.log: RunLog | None = None
        self._boards: Boards | None = None
        self._resumed = 0  # the iteration that the run goes on from, until a record has told it
        self._whole = True  # the file has all of the history

    @property
    def shows_images(self) -> bool:
        """Whether pictures are asked for."""
        return any(self._asked)

    @contextmanager
    def opened(self, iteration: int = 0, evaluated: bool = True) -> Iterator[None]:
        """Within the block records are written.

        Args:
            iteration: Records of later iterations, left by a run that was killed after its checkpoint, are dropped.
            evaluated: Whether that iteration's evaluation is done; otherwise its record, too, is dropped.

        Raises:
            UserError: A board is asked for but cannot be imported, or the system refuses to write.
        """
        self.history = [
            record
            for record in read_history(self.path)
            if record["iter"] < iteration or (record["iter"] == iteration and (evaluated or "loss" in record))
        ]
        with told(METRICS, self.path.parent, None):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write_all()
        made_by = [command_line(), f"{of_versions(versions())}; {of_device(device())}"]
        self._resumed = iteration
        self._boards = Boards(self.path.parent, *self._asked, iteration + evaluated, self.history)
        try:
            with (self.log or RunLog()).opened(self.path.parent, made_by):
                yield
        finally:
            self._boards.close()

    def training(self, record: dict, iters: int) -> None:
        """Report a training interval; `record` is as `training_record` makes it."""
        if self._resumed:
            record, self._resumed = {**record, "resumed": self._resumed}, 0
        self._keep(record)
        parts = ", ".join(f"{name} {value:.4f}" for name, value in record["losses"].items())
        remaining = datetime.timedelta(seconds=round((iters - record["iter"]) * record["seconds"]))
        logger.info(
            f"epoch {record['epoch']}  iter {record['iter']}/{iters}  loss {record['loss']:.4f} ({parts})  "
            f"lr {record['lr']:.3g}  {record['samples_per_second']:.1f} samples/s  "
            f"reader {record['reader_seconds']:.3f} s  memory {record['memory_gib']:.1f} GiB  ETA {remaining}"
        )

    def evaluation(self, record: dict) -> None:
        """Report an evaluation: a record with ``iter``, ``miou``, ``accuracy`` and perhaps ``classes``."""
        self._keep(record)

    def image(self, iteration: int, tag: str, image: np.ndarray) -> None:
        """Show an (H, W, 3) uint8 RGB image on the boards."""
        if self._boards:
            self._boards.image(iteration, tag, image)

    def _keep(self, record: dict) -> None:
        """Append to the file; where the system refuses, a checkpoint that fails, too, will end the run, not this."""
        self.history.append(record)
        if self._boards:
            self._boards.record(record)
        try:
            if self._whole:
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
            else:
                self._write_all()
            self._whole = True
        except OSError as error:
            if self._whole:
                logger.warning(f"warning: {self.path} cannot be written ({error.strerror}); it is made up for later")
            self._whole = False

    def _write_all(self) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in self.history)
        write_file(self.path, lambda path: path.write_text(lines, encoding="utf-8"))


def training_record(iteration: int, epoch: int, lr: float, samples: int, meter: AverageMeter) -> dict:
    """The record of an interval.

    Args:
        iteration: The last one of the interval.
        epoch: That it belongs to, from 1 on.
        lr: Its learning rate.
        samples: Samples per iteration, of all processes.
        meter: Losses and times of the interval.
    """
    losses, seconds = meter.losses(), meter.seconds()
    norm = losses.pop(NORM, None)
    return {
        "iter": iteration,
        "epoch": epoch,
        "loss": sum(losses.values()),
        "losses": losses,
        NORM: norm,
        "lr": lr,
        "seconds": seconds,
        "samples_per_second": samples / seconds,
        "reader_seconds": meter.reader_seconds(),
        "memory_gib": peak_memory() / 2**30,
    }


def read_history(path: str | Path) -> list[dict]:
    """The records of a ``metrics.jsonl``; a last line cut short by a kill is left out.

    Other lines that are no records are told and left out, too; a copy of the file then stays under another name.
    """
    path = Path(path)
    records, damaged = read_records(path)
    if damaged:
        aside = set_aside(path, "damaged")
        logger.warning(f"warning: {path}: {not_records(damaged)}; left out, the whole is kept as {aside.name}")
    return records
