"""A dry run: everything that a long run will do, once, in a temporary folder."""

from __future__ import annotations

import copy
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from paddle import nn
from paddleseg.cvlibs import Config

from paddleseg_ext.errors import UserError
from paddleseg_ext.export.formats import trace
from paddleseg_ext.export.wrapper import input_spec
from paddleseg_ext.runtime import distributed
from paddleseg_ext.training.build import build_trainer
from paddleseg_ext.training.config import RunConfig
from paddleseg_ext.training.validation import Validator

VALIDATION_IMAGES = 2
logger = logging.getLogger(__name__)


def dry_run(config: Config, run: RunConfig) -> None:
    """Train an iteration, save, evaluate some images, resume, train another, and trace the model as an export does.

    Args:
        config: Of `load_config`.
        run: That of the real run.

    Raises:
        UserError: Whatever the real run would have met in its course; or there are several processes.
    """
    if distributed.world_size() > 1:
        raise UserError("`dry_run`: run it in one process, without paddle.distributed.launch")
    with tempfile.TemporaryDirectory() as folder:
        brief = replace(run.train, save_interval=1, log_iters=1)
        once = replace(run, save_dir=folder, iters=1, train=brief)
        trainer = build_trainer(copy.deepcopy(config), once)
        if trainer.val_dataset is not None:
            trainer.val_dataset = shortened(trainer.val_dataset)
            trainer.validator = Validator(trainer.model, trainer.val_dataset, trainer.losses, once, trainer.folder)
        trainer.run()
        logger.info("dry run: trained, saved" + (" and evaluated" if trainer.val_dataset is not None else ""))
        again = replace(once, iters=2, train=replace(brief, do_eval=False, early_stop_intervals=None))
        trainer = build_trainer(copy.deepcopy(config), again, "auto")
        trainer.run()
        logger.info("dry run: resumed and trained on")
        _trace(trainer.model, Path(folder))


def shortened(dataset: Any) -> Any:
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
