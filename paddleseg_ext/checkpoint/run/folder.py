"""The folder of a run: held by one process, written so that nothing is lost, and nothing but our own removed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from paddleseg_ext.checkpoint import save
from paddleseg_ext.checkpoint.finite import not_finite
from paddleseg_ext.checkpoint.folders import set_aside, sweep
from paddleseg_ext.checkpoint.run.damage import AVERAGES
from paddleseg_ext.checkpoint.run.lock import locked
from paddleseg_ext.checkpoint.run.refusals import check_room, told
from paddleseg_ext.errors import UserError

METRICS = "metrics.jsonl"
logger = logging.getLogger(__name__)


class NonFiniteWeights(ArithmeticError):
    """Weights that are infinite or not a number; the message names them."""


class RunFolder:
    """Where a run leaves its checkpoints, and the best model.

    Args:
        path: The folder, which need not be there yet.
        keep: Checkpoints to keep; 0 keeps all.

    Attributes:
        newest: The checkpoint that a run goes on from: the one it started from, until it has written one; or None.
    """

    def __init__(self, path: str | Path, keep: int = 0) -> None:
        self.path, self.keep = Path(path), keep
        self.newest: Path | None = None
        self._start: Path | None = None

    def check(self) -> None:
        """Refuse to mix a run with the checkpoints of another.

        Raises:
            UserError: The folder has checkpoints, and the run starts anew or from one elsewhere.
        """
        if self._is_inside(self.newest) or (found := save.latest_checkpoint(self.path)) is None:
            return
        raise UserError(
            f"`save_dir` {self.path} holds checkpoints of an earlier run ({found.name}); go on with it by `resume` "
            "auto, choose another `save_dir`, or delete it"
        )

    def best_is_newer(self, iteration: int) -> bool:
        """Whether the best model in the folder is of a later iteration."""
        try:
            best = json.loads((self.path / save.BEST / save.BEST_RECORD).read_text(encoding="utf-8"))
            return best["iteration"] > iteration
        except (OSError, ValueError, KeyError, TypeError):  # none, or of a version that did not write it
            return False

    @contextmanager
    def opened(self, iteration: int, size: int) -> Iterator[None]:
        """Within the block the folder is this run's.

        What a run before left of iterations that come after the checkpoint is moved aside.

        Args:
            iteration: That the run starts from.
            size: Bytes of the weights.

        Raises:
            UserError: Another process holds the folder, it has the checkpoints of another run, it cannot be written, or
                a checkpoint would not fit.
        """
        with ExitStack() as stack:
            with told("the folder", self.path, self.newest):
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.path))
                self.check()
                sweep(self.path)
                check_room(self.path, size)
                self._start = self.newest
                if self._start is not None and self._is_inside(self._start):
                    self._move_later_aside(self._start, iteration)
            yield

    def save(self, checkpoint: save.Checkpoint) -> None:
        """Write a checkpoint, which becomes the newest.

        Raises:
            NonFiniteWeights: Its weights, or their averages, are not finite; nothing is written.
            UserError: The system refuses.
        """
        averages = {name: value for name, value in checkpoint.arrays.items() if name.startswith(AVERAGES)}
        checkpoint.record["arrays"] = len(checkpoint.arrays)
        what = f"the checkpoint of iteration {checkpoint.record['iteration']}"
        with ThreadPoolExecutor(1) as thread, told(what, self.path, self.newest):
            look = thread.submit(not_finite, {**checkpoint.weights, **averages})  # while the disk is waited for
            self.newest = save.save_checkpoint(
                self.path, checkpoint, self.keep, self._start, lambda: _refuse(look.result())
            )

    def save_best(
        self, weights: dict[str, np.ndarray], config: str, best: Mapping[str, object], classes: Sequence[dict] = ()
    ) -> None:
        """Replace the best model.

        Args:
            weights: Arrays by name.
            config: The configuration as YAML text.
            best: ``metric``, ``score`` and ``iteration`` of the evaluation.
            classes: As in `Checkpoint`.

        Raises:
            UserError: The system refuses.
        """
        with told("the best model", self.path, self.newest):
            save.save_best(self.path, weights, config, best, classes)

    def update_record(self, record: dict) -> None:
        """Change entries in the newest checkpoint's record, unless it is in another folder, which is not this run's.

        Raises:
            UserError: The system refuses, or the record cannot be read any more.
        """
        if self.newest is not None and self._is_inside(self.newest):
            with told(f"the record of {self.newest.name}", self.path, self.newest):
                save.update_record(self.newest, {**save.read_record(self.newest), **record})

    def _is_inside(self, checkpoint: Path | None) -> bool:
        return checkpoint is not None and checkpoint.resolve().parent == self.path.resolve()

    def _move_later_aside(self, start: Path, iteration: int) -> None:
        why = f"before_resume_from_{iteration}"
        found = [
            path
            for path in save.list_checkpoints(self.path)
            if save.iteration_of(path) >= iteration and path.resolve() != start.resolve()
        ]
        if self.best_is_newer(iteration):
            found.append(self.path / save.BEST)
        if not found:
            return
        if (metrics := self.path / METRICS).is_file():
            aside = set_aside(metrics, why)  # the records up to here are written again
            metrics.write_bytes(aside.read_bytes())
        names = ", ".join(f"{path.name} is now {set_aside(path, why).name}" for path in reversed(found))
        save.point_last_to(start)
        logger.info(f"going on from {start.name}; what came later is kept under other names: {names}")


def _refuse(broken: list[str]) -> None:
    if broken:
        more = f" and {len(broken) - 1} others" if len(broken) > 1 else ""
        raise NonFiniteWeights(f"{broken[0]}{more}")
