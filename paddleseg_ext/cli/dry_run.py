"""A dry run: everything that a long run will do, once, in a temporary folder."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import paddle
from paddle import nn

from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.errors import UserError
from paddleseg_ext.export.formats import trace
from paddleseg_ext.export.wrapper import input_spec
from paddleseg_ext.runtime import distributed as parallel
from paddleseg_ext.training.config import Options
from paddleseg_ext.training.trainer import Trainer

VALIDATION_IMAGES = 2
logger = logging.getLogger(__name__)


def rehearse(make: Callable[[Options], Trainer], options: Options) -> None:
    """Train an iteration, save, evaluate some images, resume, train another, and trace the model as an export does.

    Args:
        make: Builds the trainer for given options.
        options: Those of the real run.

    Raises:
        UserError: Whatever the real run would have met in its course; or there are several processes.
    """
    if parallel.ranks() > 1:
        raise UserError("--dry_run: run it in one process, without paddle.distributed.launch")
    with tempfile.TemporaryDirectory() as folder:
        once = replace(options, save_dir=folder, iters=1, save_interval=1, log_iters=1, resume=None)
        trainer = make(once)
        trainer.val_dataset = shortened(trainer.val_dataset)
        trainer.run()
        logger.info("dry run: trained, saved" + (" and evaluated" if trainer.val_dataset is not None else ""))
        trainer = make(replace(once, iters=2, resume=checkpoint.latest(folder)))
        trainer.val_dataset = None
        trainer.run()
        logger.info("dry run: resumed and trained on")
        _trace(trainer.model, Path(folder))


def shortened(dataset: paddle.io.Dataset | None) -> paddle.io.Dataset | None:
    """The data set with its first images only, where it lists them as PaddleSeg's do."""
    if not hasattr(dataset, "file_list"):
        return dataset
    dataset = copy.copy(dataset)
    dataset.file_list = dataset.file_list[:VALIDATION_IMAGES]
    return dataset


def _trace(model: nn.Layer, folder: Path) -> None:
    """Trace the model for images of any number and size; that it cannot be is no reason not to train it."""
    model.eval()
    try:
        trace(model, input_spec([None, 3, None, None], with_colors=False), folder)
    except UserError as reason:
        logger.warning(f"warning: dry run: the model cannot be exported with dynamic sizes: {reason}")
    else:
        logger.info("dry run: traced for export")
