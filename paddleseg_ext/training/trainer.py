"""The training loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.checkpoint.run.damage import read_whole
from paddleseg_ext.checkpoint.run.folder import NonFiniteWeights, RunFolder
from paddleseg_ext.checkpoint.save import Checkpoint
from paddleseg_ext.compat.paddle import lr_scheduler
from paddleseg_ext.data.classes import entries_of
from paddleseg_ext.data.dataloader import load
from paddleseg_ext.data.sampler import COUNTS, Batches, SampleStream
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.amp import Precision
from paddleseg_ext.runtime.device import reading_processes
from paddleseg_ext.runtime.interrupt import Interrupt, Interrupted
from paddleseg_ext.runtime.seeding import ITERATION, seed_all
from paddleseg_ext.training import checks, state_dict
from paddleseg_ext.training.config import RunConfig, TrainResult
from paddleseg_ext.training.ema import Ema
from paddleseg_ext.training.label_watch import LabelWatch
from paddleseg_ext.training.param_groups import train_mode
from paddleseg_ext.training.reporting.metric_logger import AverageMeter, MetricLogger, training_record
from paddleseg_ext.training.state import TrainState
from paddleseg_ext.training.step import NonFinite, Step
from paddleseg_ext.training.validation import Validator

logger = logging.getLogger(__name__)


class Trainer:
    """Trains one model; `run` does it all, after `restore` where it goes on from a checkpoint.

    Args:
        model: In PaddleSeg's form: returns a list of outputs.
        train_dataset: In PaddleSeg's form: ``dataset[i]`` is a dict with ``img`` and ``label``.
        losses: ``{"types": [loss layers], "coef": [numbers]}``, one entry per output.
        optimizer: Built over the model's parameters.
        run: See `RunConfig`.
        val_dataset: Evaluated at each checkpoint, or None.

    Raises:
        UserError: The device lacks the precision.
    """

    def __init__(
        self,
        model: nn.Layer,
        train_dataset: Any,
        losses: dict,
        optimizer: paddle.optimizer.Optimizer,
        run: RunConfig,
        val_dataset: Any = None,
    ):
        self.model, self.losses, self.optimizer, self.config = model, losses, optimizer, run
        self.train_dataset, self.val_dataset = train_dataset, val_dataset
        self.state = TrainState(seed=run.train.seed or 0)
        self.folder = RunFolder(run.save_dir, run.train.keep_checkpoint_max)
        self.precision = Precision(run.train.precision, run.train.amp_level)
        self.ema = Ema(model, run.train.ema_decay, self._masters) if run.train.ema else None
        self.validator = Validator(model, val_dataset, losses, run, self.folder) if val_dataset is not None else None
        self.metrics = MetricLogger(run.save_dir, run.use_vdl, run.use_tensorboard) if distributed.rank() == 0 else None
        self.meter = AverageMeter()
        self.labels = LabelWatch(train_dataset)

    @property
    def samples(self) -> int:
        """Samples per iteration, of all processes."""
        return self.config.batch_size * self.config.train.accumulate * distributed.world_size()

    def restore(self, path: Path, anyway: bool = False) -> None:
        """Go on from a checkpoint.

        Args:
            path: Its folder.
            anyway: Also where it was trained with other settings, or has no optimizer state.

        Raises:
            UserError: It cannot be read, is of another model, or was trained with settings that give other weights.
        """
        saved = read_whole(path, without_optimizer=anyway)
        if not anyway:
            checks.check_same_settings(path, saved, self.config.config)
        record = saved.record
        state_dict.load_model(self.model, saved.weights, str(path))
        if self.ema:
            self.ema.restore(saved.arrays, record["ema_steps"], str(path))
        self.precision.prepare(self.model, self.optimizer)  # casts the weights, so after they are loaded
        self.precision.restore(record["scaler"], str(path))
        self.state.restore(record)
        state_dict.check_optimizer(self.optimizer, saved, path, anyway)
        state_dict.load_optimizer(self.optimizer, self.model, saved.arrays, record["schedule"], str(path))
        self.meter.restore(record.get("meter", {}))
        self.config = self.config.with_seed(self.state.seed)
        self.folder.newest = path
        if self.state.best and self.folder.best_is_newer(self.state.iteration):
            self.state.best, self.state.stale = {}, 0  # its weights were replaced since

    def run(self) -> TrainResult:
        """Train to the last iteration, or until SIGINT or SIGTERM, and return how it ended.

        Raises:
            UserError: What `checks` finds wrong, a file that cannot be read, or a loss that is not finite.
        """
        self._check()
        if self.folder.newest is None:
            self.precision.prepare(self.model, self.optimizer)
        self.stream = SampleStream(self.train_dataset, self.state.seed)
        train_mode(self.model)
        with Interrupt(lingers=distributed.launched()) as interrupt, ExitStack() as opened:
            if self.metrics:
                size = sum(value.size for value in self.model.state_dict().values()) * 4  # bytes of a float32
                opened.enter_context(self.folder.opened(self.state.iteration, size))
                opened.enter_context(self.metrics.opened(self.state.iteration, self.state.evaluated))
            self.step = self._make_step(interrupt)
            try:
                if not self.state.evaluated:  # an evaluation was cut short
                    self._evaluate(interrupt)
                self._iterate(interrupt)
            except Interrupted:
                pass  # in an evaluation, which is repeated after a resume
        return TrainResult(self.state.iteration, self.folder.newest, self.state.best, interrupt.signal)

    def _make_step(self, interrupt: Interrupt) -> Step:
        train = self.config.train
        return Step(
            self.model,
            self.losses,
            self.optimizer,
            train.accumulate,
            self.precision,
            train.clip_norm,
            undoable=train.skip_nonfinite > 0,
            meanwhile=self.ema.catch_up if self.ema else lambda: None,
            stopping=lambda: interrupt.signal is not None,
        )

    def _iterate(self, interrupt: Interrupt) -> None:
        run, train, state = self.config, self.config.train, self.state
        todo = range(state.iteration + 1, run.iters + 1)
        if not todo or self._gave_up():
            return
        rank, world_size = distributed.rank(), distributed.world_size()
        batches = Batches(state.position, len(todo) * train.accumulate, run.batch_size, rank, world_size)
        loaded = load(self.stream, batches, reading_processes(train.num_workers), train.loader_timeout)
        self.meter.start()
        for iteration in todo:
            seed_all(ITERATION, state.seed, iteration, rank)
            self.lr = self.optimizer.get_lr()
            try:
                with checks.watch_batch_norm(self.model) if iteration == todo[0] else nullcontext():
                    losses = self._guarded_step(loaded, iteration)
            except UserError:
                if interrupt.signal is None:
                    raise
                self.optimizer.clear_grad()
                break  # the signal went to the whole process group and ended the loader's workers too
            if (schedule := lr_scheduler(self.optimizer)) is not None:
                schedule.step()
            state.iteration = iteration
            state.position += self.samples
            self.meter.add(losses)
            last = iteration == run.iters
            if iteration % train.log_iters == 0 or last:
                self._log()
            if iteration % train.save_interval == 0 or last:
                self._save_and_evaluate(interrupt)
            if self._leaves(interrupt, last):
                break
        if interrupt.signal is not None and self._unsaved():
            self._save()

    def _leaves(self, interrupt: Interrupt, last: bool) -> bool:
        """Whether this was the last iteration, in all processes alike; then they agree on the signal, too.

        That a signal has come is shared together with the losses, as asking for it would have a GPU wait: one that
        comes later is for the next iteration's turn.
        """
        signalled = self.step.stop if distributed.world_size() > 1 else interrupt.signal is not None
        if not (signalled or last or self._gave_up()):
            return False
        if agreed := distributed.all_reduce_max(interrupt.signal or 0):  # 0 must not replace one that came meanwhile
            interrupt.signal = agreed
        return True

    def _fetch(self, loaded: Iterator[dict]) -> Iterator[dict]:
        """The batches of an iteration, with the time spent waiting for them noted."""
        for _ in range(self.config.train.accumulate):
            started = time.perf_counter()
            batch = next(loaded)
            self.meter.waited(time.perf_counter() - started)
            self.labels.add(batch.pop(COUNTS))
            yield batch

    def _guarded_step(self, loaded: Iterator[dict], iteration: int) -> dict[str, float]:
        """Take a step; {} if it was skipped because something was not finite.

        Raises:
            UserError: Something was not finite once too often, or a batch cannot be read.
        """
        state, allowed = self.state, self.config.train.skip_nonfinite
        try:
            losses = self.step(self._fetch(loaded))
        except NonFinite as error:
            message = f"not finite at iteration {iteration}: {error}; {self._circumstances(state.position)}"
            state.skipped += 1
            if state.skipped > allowed:
                raise UserError(f"{message}; the newest checkpoint is {self.folder.newest}") from error
            logger.warning(f"warning: skipped ({state.skipped} of {allowed}), {message}")
            return {}
        if self.ema:
            self.ema.stepped()
        return losses

    def _circumstances(self, position: int) -> str:
        """Of the iteration whose first sample is at `position` in the stream."""
        images = self.stream.images(list(range(position, position + self.samples)))
        return f"learning rate {self.lr:.3g}, images {', '.join(images)}"

    def _log(self) -> None:
        self.labels.check(self.state.position)
        if self.metrics and self.meter.iterations:
            epoch = (self.state.position - 1) // len(self.stream) + 1
            self.labels.warn()
            record = training_record(self.state.iteration, epoch, self.lr, self.samples, self.meter)
            self.metrics.training(record, self.config.iters)
        self.meter.reset()

    def _save_and_evaluate(self, interrupt: Interrupt) -> None:
        """Save first: whatever happens in the evaluation, the training up to here is safe."""
        started = time.perf_counter()
        self.state.evaluated = self.validator is None
        self._save()
        self.labels.warn(again=True)
        self._evaluate(interrupt)
        self.meter.pause(time.perf_counter() - started)

    def _evaluate(self, interrupt: Interrupt) -> None:
        if self.validator is None:
            return
        with interrupt.immediate(), self.ema.applied(self.model) if self.ema else nullcontext():
            self.validator(self.state, self.metrics, self.ema.averages if self.ema else self._masters())
            if self.metrics:
                self.folder.update_record(self._record())

    def _gave_up(self) -> bool:
        return self.validator is not None and self.validator.gave_up(self.state)

    def _unsaved(self) -> bool:
        iteration, newest = self.state.iteration, self.folder.newest
        return iteration > 0 and (newest is None or newest.name != f"iter_{iteration}")

    def _record(self) -> dict:
        return {
            **self.state.record(),
            "processes": distributed.world_size(),
            "schedule": state_dict.schedule_record(self.optimizer),
            "scaler": self.precision.record(),
            "ema_steps": self.ema.steps if self.ema else 0,
            "meter": self.meter.record(),
        }

    def _save(self) -> None:
        if distributed.rank() > 0:
            self.folder.newest = self.folder.path / f"iter_{self.state.iteration}"
            return
        arrays = state_dict.optimizer_arrays(self.optimizer, self.model)
        if self.ema:
            arrays.update(self.ema.arrays())
        weights, classes = state_dict.model_arrays(self.model, self._masters()), entries_of(self.train_dataset)
        try:
            self.folder.save(Checkpoint(weights, arrays, self._record(), self.config.to_yaml(), classes))
        except NonFiniteWeights as error:
            where = f"{error}; {self._circumstances(self.state.position - self.samples)}"
            told = f"not finite after iteration {self.state.iteration}, so not saved: {where}"
            raise UserError(f"{told}; the newest checkpoint is {self.folder.newest}") from error

    def _masters(self) -> dict[str, paddle.Tensor]:
        return state_dict.masters(self.optimizer, self.model)

    def _check(self) -> None:
        """What can be found wrong before the first iteration."""
        checks.check_outputs(self.model, self.losses)
        checks.check_size(self.train_dataset, self.config.batch_size, distributed.world_size())
        checks.check_labels(self.train_dataset)
        if self.val_dataset is not None:
            checks.check_size(self.val_dataset, 1, key="val_dataset")
            checks.check_labels(self.val_dataset, key="val_dataset")
        self.folder.check()
        distributed.barrier()  # all have looked at the folder before it changes
