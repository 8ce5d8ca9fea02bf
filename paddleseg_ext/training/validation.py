"""Evaluating while training: the best model, early stopping, pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.checkpoint.atomic import write_file
from paddleseg_ext.checkpoint.run.folder import RunFolder
from paddleseg_ext.data.classes import class_names, entries_of, palette
from paddleseg_ext.evaluation.evaluate import evaluate
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.device import reading_processes
from paddleseg_ext.training.config import RunConfig
from paddleseg_ext.training.losses import mask_loss
from paddleseg_ext.training.reporting.metric_logger import MetricLogger
from paddleseg_ext.training.state import TrainState
from paddleseg_ext.training.state_dict import model_arrays
from paddleseg_ext.visualization.class_curves import plot_classes
from paddleseg_ext.visualization.comparisons import comparisons, evenly_spaced
from paddleseg_ext.visualization.curve import plot_history

IMAGES, PANEL_WIDTH = 4, 512  # on the boards: at each evaluation, and pixels of each of an image's panels
logger = logging.getLogger(__name__)


class Validator:
    """Evaluates a model on a data set, and keeps the best one.

    Args:
        model: In PaddleSeg's form.
        dataset: Of validation images.
        losses: Those of training; the first gives the validation loss.
        run: See `RunConfig`.
        folder: Where the best model goes.
    """

    def __init__(self, model: nn.Layer, dataset: Any, losses: dict, run: RunConfig, folder: RunFolder) -> None:
        self.model, self.dataset, self.run = model, dataset, run
        self.losses, self.folder = losses, folder

    def __call__(
        self, state: TrainState, metrics: MetricLogger | None, exact: Mapping[str, paddle.Tensor] | None = None
    ) -> None:
        """Evaluate the model as it is now; `state` notes the result, process 0 writes it down.

        Args:
            state: Its `best`, `stale` and `evaluated` change.
            metrics: Of process 0.
            exact: See `model_arrays`; of what is kept as the best model.
        """
        train = self.run.train
        settings = {"precision": train.precision, **self.run.test_config}
        loss = mask_loss(self.model, self.losses)
        result = evaluate(
            self.model,
            self.dataset,
            batch_size=train.val_batch_size,
            num_workers=reading_processes(train.num_workers),
            loader_timeout=train.loader_timeout,
            progress=False,
            loss=loss,
            **settings,
        )
        record = {"iter": state.iteration, **result.to_dict(class_names(self.dataset))}
        score = record[train.metric] or 0.0
        better = not state.best or score > state.best["score"]
        state.stale = 0 if better else state.stale + 1
        state.evaluated = True
        if better:
            state.best = {"metric": train.metric, "score": score, "iteration": state.iteration}
            if distributed.rank() == 0:
                weights = model_arrays(self.model, exact)
                self.folder.save_best(weights, self.run.to_yaml(), state.best, entries_of(self.dataset))
        if metrics:
            if metrics.shows_images:
                self._show(metrics, state.iteration, Predictor(**settings))
            metrics.evaluation(record)
            self._draw(metrics)
        if doubts := result.doubts(class_names(self.dataset)):
            logger.warning(f"warning: validation labels: {doubts}")
        best = f"best {train.metric} {state.best['score']:.4f} at iter {state.best['iteration']}"
        logger.info(f"evaluation at iter {state.iteration}: {result}; {best}")

    def gave_up(self, state: TrainState) -> bool:
        """Whether too many evaluations in a row were not better than the best."""
        patience = self.run.train.early_stop_intervals
        return patience is not None and state.stale >= patience

    def _draw(self, metrics: MetricLogger) -> None:
        """Draw the curves; a run does not end for want of them."""
        history, metric, colors = metrics.history, self.run.train.metric, palette(self.dataset)
        plots: dict[str, Callable[[Path], None]] = {
            "curve.png": lambda partial: plot_history(history, partial, metric),
            "classes_curve.png": lambda partial: plot_classes(history, partial, colors),
        }
        for name, plot in plots.items():
            path = Path(self.run.save_dir) / name
            try:
                write_file(path, plot)
            except OSError as error:
                logger.warning(f"warning: {path} cannot be written ({error.strerror})")

    def _show(self, metrics: MetricLogger, iteration: int, predictor: Predictor) -> None:
        chosen = evenly_spaced(len(self.dataset), IMAGES)
        names, colors = class_names(self.dataset), palette(self.dataset)
        for index, image in comparisons(self.model, self.dataset, chosen, names, colors, predictor, PANEL_WIDTH):
            metrics.image(iteration, f"Evaluate/image_{index}", image)
