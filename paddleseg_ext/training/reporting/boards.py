"""Where a run can be watched: VisualDL and TensorBoard, under the same tags; those that PaddleSeg has are its own."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.errors import UserError, reason

logger = logging.getLogger(__name__)


class Boards:
    """Writes numbers and pictures of a run to those boards that are asked for.

    A run that goes on shows each point once. TensorBoard reads all files of a folder, and is told from which iteration
    on the older ones do not count; VisualDL reads the newest alone, which therefore begins with the whole history, but
    without the older pictures.

    Args:
        folder: Of the run.
        use_vdl: Write for VisualDL.
        use_tensorboard: Write for TensorBoard.
        first: The first iteration that is told anew.
        history: The records before it, and perhaps some of it.

    Raises:
        UserError: What is asked for cannot be imported, or the system refuses to write.
    """

    def __init__(
        self, folder: Path, use_vdl: bool, use_tensorboard: bool, first: int = 0, history: Iterable[dict] = ()
    ) -> None:
        suffix = f".{first:08d}"  # two of one second are two files
        self._writers: list[_VisualDL | _TensorBoard] = []
        try:
            if use_vdl:
                self._writers.append(_VisualDL(folder, suffix))
            if use_tensorboard:
                self._writers.append(_TensorBoard(folder, suffix, first))
        except OSError as error:
            raise UserError(f"`save_dir` {folder}: nothing can be written there ({error.strerror})") from error
        for record in history:
            for writer in self._writers:
                if record["iter"] >= writer.first:
                    self._scalars(writer, record)

    def record(self, record: dict) -> None:
        """Write the numbers of a record of training or of an evaluation."""
        for writer in list(self._writers):
            self._scalars(writer, record)

    def image(self, iteration: int, tag: str, image: np.ndarray) -> None:
        """Show an (H, W, 3) uint8 RGB image."""
        for writer in list(self._writers):
            self._guarded(writer, lambda writer=writer: writer.image(tag, image, iteration))

    def close(self) -> None:
        """Write what is held back."""
        for writer in self._writers:
            self._guarded(writer, writer.close)

    def _scalars(self, writer: Any, record: dict) -> None:
        values = training_scalars(record) if "loss" in record else evaluation_scalars(record)
        self._guarded(writer, lambda: writer.scalars(values, record["iter"]))

    def _guarded(self, writer: Any, write: Any) -> None:
        """Call `write`; a run does not end for want of a board."""
        try:
            write()
        except OSError as error:
            logger.warning(f"warning: {writer.title} is written no more ({reason(error)})")
            self._writers = [other for other in self._writers if other is not writer]


def training_scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a training interval by tag."""
    values = {
        "Train/loss": record.get("loss"),
        "Train/lr": record.get("lr"),
        "Train/batch_cost": record.get("seconds"),
        "Train/reader_cost": record.get("reader_seconds"),
    }
    return _numbers({**values, **{f"Train/loss_{name}": value for name, value in record.get("losses", {}).items()}})


def evaluation_scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation by tag, of the classes ``Evaluate/IoU/NAME``; what is 0/0 is left out."""
    values = {
        "Evaluate/mIoU": record.get("miou"),
        "Evaluate/Acc": record.get("accuracy"),
        "Evaluate/loss": record.get("val_loss"),
    }
    for name, scores in record.get("classes", {}).items():
        tag = "Evaluate/IoU/" + re.sub(r"[^-\w.]", "_", name)  # VisualDL refuses %, TensorBoard replaces what it lacks
        while tag in values:
            tag += "_"
        values[tag] = scores.get("iou")
    return _numbers(values)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {tag: value for tag, value in values.items() if value is not None}


class _VisualDL:
    title = "VisualDL"
    first = 0  # a new file replaces all older ones

    def __init__(self, folder: Path, suffix: str) -> None:
        try:
            from visualdl import LogWriter
        except ImportError as error:
            raise UserError(f"`use_vdl`: VisualDL cannot be imported ({error}); pip install visualdl") from error
        self._writer = LogWriter(str(folder), filename_suffix=suffix)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def image(self, tag: str, image: np.ndarray, step: int) -> None:
        self._writer.add_image(tag, image, step)

    def close(self) -> None:
        self._writer.close()


class _TensorBoard:
    """Writes each record at once: tensorboardX's `SummaryWriter` would wait for its thread for ever on a full disk."""

    title = "TensorBoard"

    def __init__(self, folder: Path, suffix: str, first: int) -> None:
        try:
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        except ImportError as error:
            raise UserError(
                f"`use_tensorboard`: tensorboardX cannot be imported ({error}); pip install tensorboardX"
            ) from error
        self.first, self._summary, self._event = first, summary, Event
        self._file = EventsWriter(str(folder / "events"), suffix)
        start = SessionLog(status=SessionLog.START)
        self._file.write_event(Event(wall_time=time.time(), step=first, session_log=start))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            self._write(self._summary.scalar(tag, value), step)
        self._file.flush()

    def image(self, tag: str, image: np.ndarray, step: int) -> None:
        self._write(self._summary.image(tag, image, dataformats="HWC"), step)
        self._file.flush()

    def _write(self, summary: Any, step: int) -> None:
        self._file.write_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        self._file.close()
