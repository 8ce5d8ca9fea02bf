"""The training loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import paddle
from paddle import nn

from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.data.classes import class_names, palette
from paddleseg_ext.data.dataloader import load
from paddleseg_ext.data.sampler import Batches, SampleStream
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.evaluate import evaluate
from paddleseg_ext.evaluation.predictor import Inference
from paddleseg_ext.runtime import distributed as parallel
from paddleseg_ext.runtime.amp import Precision
from paddleseg_ext.runtime.seeding import ITERATION, seed_all
from paddleseg_ext.training import checks as preflight
from paddleseg_ext.training import state_dict as state
from paddleseg_ext.training.config import Options, Outcome
from paddleseg_ext.training.ema import Ema
from paddleseg_ext.training.interrupt import Interrupt, Interrupted
from paddleseg_ext.training.losses import of_mask
from paddleseg_ext.training.metric_logger import Meter, Reporter, training_record
from paddleseg_ext.training.param_groups import train_mode
from paddleseg_ext.training.step import NonFinite, Step
from paddleseg_ext.visualization.comparisons import evenly_spaced, triptychs
from paddleseg_ext.visualization.draw import curve

PICTURES, PICTURE_WIDTH = 4, 512  # in VisualDL: at each evaluation, and pixels of each of a picture's three panels
logger = logging.getLogger(__name__)


class Trainer:
    """Trains one model; `run` does it all.

    Args:
        model: In PaddleSeg's form: returns a list of outputs.
        train_dataset: In PaddleSeg's form: ``dataset[i]`` is a dict with ``img`` and ``label``.
        losses: ``{"types": [loss layers], "coef": [numbers]}``, one entry an output.
        optimizer: Built over the model's parameters.
        options: See `Options`.
        val_dataset: Evaluated at each checkpoint, or None.

    Raises:
        UserError: What `preflight` finds wrong, or a checkpoint that does not fit.
    """

    def __init__(
        self,
        model: nn.Layer,
        train_dataset: paddle.io.Dataset,
        losses: dict,
        optimizer: paddle.optimizer.Optimizer,
        options: Options,
        val_dataset: paddle.io.Dataset | None = None,
    ):
        preflight.check_outputs(model, losses)
        preflight.check_size(train_dataset, options.batch_size, parallel.ranks())
        preflight.check_labels(train_dataset, train_dataset.num_classes)
        if val_dataset is not None:
            preflight.check_size(val_dataset, 1, key="val_dataset")
            preflight.check_labels(val_dataset, val_dataset.num_classes, key="val_dataset")
        self.model, self.optimizer, self.options, self.val_dataset = model, optimizer, options, val_dataset
        self.precision = Precision(options.precision, options.amp_level)
        self.samples = options.batch_size * options.accumulate * parallel.ranks()  # an iteration
        self.skipped = 0
        self.stale = 0  # evaluations since the best
        self.iteration = 0
        self.position = 0  # of the next sample in the stream
        self.best: dict = {}
        self.seed = options.seed
        self.newest: Path | None = None
        self._evaluated = True
        self.ema = Ema(model, options.ema_decay) if options.ema_decay is not None else None
        if options.resume is not None:
            self._restore(options.resume)
        elif (found := checkpoint.latest(options.save_dir)) is not None:
            raise UserError(
                f"--save_dir {options.save_dir} holds checkpoints of an earlier run ({found.name}); go on with it by "
                "--resume auto, choose another --save_dir, or delete it"
            )
        else:
            self.precision.prepare(model, optimizer)
        undoable = options.skip_nonfinite > 0
        self.step = Step(model, losses, optimizer, options.accumulate, self.precision, options.clip_norm, undoable)
        self.stream = SampleStream(train_dataset, self.seed)
        self.reporter = Reporter(options.save_dir, self.iteration, options.use_vdl) if parallel.rank() == 0 else None
        self.meter = Meter()

    def run(self) -> Outcome:
        """Train to the last iteration, or until SIGINT or SIGTERM, and return how it ended.

        Raises:
            UserError: A file cannot be read, the number of losses is not that of outputs, or the loss is not finite.
        """
        train_mode(self.model)
        with Interrupt() as interrupt:
            try:
                self._catch_up(interrupt)
                self._iterate(interrupt)
            except Interrupted:
                pass  # in an evaluation, which is repeated after a resume
            finally:
                if self.reporter:
                    self.reporter.close()
        return Outcome(self.iteration, self.newest, self.best, interrupt.signal)

    def _iterate(self, interrupt: Interrupt) -> None:
        options = self.options
        todo = range(self.iteration + 1, options.iters + 1)
        if not todo or self._stopped_early():
            return
        batches = Batches(
            self.position, len(todo) * options.accumulate, options.batch_size, parallel.rank(), parallel.ranks()
        )
        loaded = load(self.stream, batches, options.num_workers)
        self.meter.reset()
        for iteration in todo:
            seed_all(ITERATION, self.seed, iteration, parallel.rank())
            lr = self.optimizer.get_lr()
            try:
                with preflight.watch_batch_norm(self.model) if iteration == todo[0] else nullcontext():
                    losses = self._guarded_step(loaded, iteration, lr)
            except UserError:
                if interrupt.signal is None:
                    raise
                self.optimizer.clear_grad()
                break  # the signal went to the whole process group and ended the loader's workers too
            schedule = state.scheduler_of(self.optimizer)
            if schedule is not None:
                schedule.step()
            self.iteration = iteration
            self.position += self.samples
            self.meter.add(losses)
            last = iteration == options.iters
            if iteration % options.log_iters == 0 or last:
                self._log(lr)
            if iteration % options.save_interval == 0 or last:
                self._save_and_evaluate(interrupt)
            interrupt.signal = parallel.largest(interrupt.signal or 0) or None
            if interrupt.signal is not None or self._stopped_early():
                break
        if interrupt.signal is not None and self._unsaved():
            self._save(evaluated=True)

    def _fetch(self, loaded: Iterator[dict]) -> Iterator[dict]:
        """The batches of an iteration, with the time spent waiting for them noted."""
        for _ in range(self.options.accumulate):
            started = time.perf_counter()
            batch = next(loaded)
            self.meter.waited(time.perf_counter() - started)
            yield batch

    def _guarded_step(self, loaded: Iterator[dict], iteration: int, lr: float) -> dict[str, float]:
        """Take a step; {} if it was skipped because something was not finite.

        Raises:
            UserError: Something was not finite once too often, or a batch cannot be read.
        """
        try:
            losses = self.step(self._fetch(loaded))
        except NonFinite as error:
            images = self.stream.images(list(range(self.position, self.position + self.samples)))
            message = (
                f"not finite at iteration {iteration}: {error}; learning rate {lr:.3g}, images {', '.join(images)}"
            )
            self.skipped += 1
            if self.skipped > self.options.skip_nonfinite:
                raise UserError(f"{message}; the newest checkpoint is {self.newest}") from error
            logger.warning(f"warning: skipped ({self.skipped} of {self.options.skip_nonfinite}), {message}")
            return {}
        if self.ema:
            self.ema.update()
        return losses

    def _log(self, lr: float) -> None:
        if self.reporter and self.meter.iterations:
            epoch = (self.position - 1) // len(self.stream) + 1
            record = training_record(self.iteration, epoch, lr, self.samples, self.meter)
            self.reporter.training(record, self.options.iters)
        self.meter.reset()

    def _save_and_evaluate(self, interrupt: Interrupt) -> None:
        """Save first: whatever happens in the evaluation, the training up to here is safe."""
        started = time.perf_counter()
        self._save(evaluated=self.val_dataset is None)
        if self.val_dataset is not None:
            with interrupt.immediate():
                self._evaluate()
        self.meter.pause(time.perf_counter() - started)

    def _catch_up(self, interrupt: Interrupt) -> None:
        """Evaluate a checkpoint whose evaluation was cut short."""
        if not self._evaluated and self.val_dataset is not None:
            with interrupt.immediate():
                self._evaluate()

    def _evaluate(self) -> None:
        options = self.options
        with self.ema.applied(self.model) if self.ema else nullcontext():
            settings = {"precision": options.precision, **options.test_config}
            loss = of_mask(self.model, self.step.losses)
            reading = {"num_workers": options.num_workers, "progress": False}
            result = evaluate(self.model, self.val_dataset, loss=loss, **reading, **settings)
            if self.reporter and options.use_vdl:
                self._show(Inference(**settings))
            record = {"iter": self.iteration, **result.to_dict(class_names(self.val_dataset))}
            score = record[options.metric] or 0.0
            better = not self.best or score > self.best["score"]
            self.stale = 0 if better else self.stale + 1
            if better:
                self.best = {"metric": options.metric, "score": score, "iteration": self.iteration}
                if parallel.rank() == 0:
                    checkpoint.save_best(options.save_dir, state.model_arrays(self.model), options.config)
        if self.reporter:
            self.reporter.evaluation(record)
            checkpoint.update_record(self.newest, self._record(evaluated=True))
            curve(self.reporter.history, Path(options.save_dir) / "curve.png")
        best = f"best {options.metric} {self.best['score']:.4f} at iter {self.best['iteration']}"
        logger.info(f"evaluation at iter {self.iteration}: {result}; {best}")

    def _show(self, how: Inference) -> None:
        data = self.val_dataset
        chosen, names, colors = evenly_spaced(len(data), PICTURES), class_names(data), palette(data)
        for index, picture in triptychs(self.model, data, chosen, names, colors, how, PICTURE_WIDTH):
            self.reporter.picture(self.iteration, f"Evaluate/image_{index}", picture)

    def _record(self, evaluated: bool) -> dict:
        return {
            "iteration": self.iteration,
            "position": self.position,
            "seed": self.seed,
            "skipped": self.skipped,
            "stale": self.stale,
            "best": self.best,
            "evaluated": evaluated,
            "schedule": state.schedule_record(self.optimizer),
            "scaler": self.precision.record(),
            "ema_steps": self.ema.steps if self.ema else 0,
        }

    def _stopped_early(self) -> bool:
        patience = self.options.early_stop_intervals
        return patience is not None and self.stale >= patience

    def _unsaved(self) -> bool:
        return self.iteration > 0 and (self.newest is None or self.newest.name != f"iter_{self.iteration}")

    def _save(self, evaluated: bool) -> None:
        self.newest = Path(self.options.save_dir) / f"iter_{self.iteration}"
        if parallel.rank() > 0:
            return
        arrays = state.optimizer_arrays(self.optimizer, self.model)
        if self.ema:
            arrays.update(self.ema.arrays())
        weights = state.model_arrays(self.model)
        whole = checkpoint.Checkpoint(weights, arrays, self._record(evaluated), self.options.config)
        checkpoint.save(self.options.save_dir, whole, self.options.keep_checkpoint_max)

    def _restore(self, path: Path) -> None:
        whole = checkpoint.read(path)
        record = whole.record
        state.load_model(self.model, whole.weights, str(path))
        if self.ema:
            if not record["ema_steps"]:
                raise UserError(
                    f"checkpoint {path}: it was saved without --use_ema, so there is no average to go on with"
                )
            self.ema.restore(whole.arrays, record["ema_steps"])
        self.precision.prepare(self.model, self.optimizer)  # casts the weights, so after they are loaded
        self.precision.restore(record["scaler"])
        state.load_optimizer(self.optimizer, self.model, whole.arrays, record["schedule"], str(path))
        self.iteration, self.position, self.seed = record["iteration"], record["position"], record["seed"]
        self.skipped, self.stale = record["skipped"], record["stale"]
        self.best, self._evaluated = record["best"], record["evaluated"]
        self.newest = path
