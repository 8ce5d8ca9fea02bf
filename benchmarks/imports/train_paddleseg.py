"""PaddleSeg's training, evaluation and inference of a configuration, by its own functions.

A script as PaddleSeg's tools are; `paddleseg-ext run` makes it work on current Paddle.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle
import paddleseg
from paddleseg.core import evaluate, infer, train
from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.utils import utils

from benchmarks.imports.outputs import save_evaluation, save_output


@contextmanager
def recorded_inference(folder: Path) -> Iterator[None]:
    """Within the block what PaddleSeg's evaluation infers of each picture is kept in a folder."""
    original, numbers = infer.inference, itertools.count()

    def recording(*args: Any, **keywords: Any) -> tuple[paddle.Tensor, paddle.Tensor]:
        pred, logits = original(*args, **keywords)
        save_output(folder, next(numbers), pred[0, 0].numpy(), logits[0].numpy())
        return pred, logits

    infer.inference = recording
    try:
        yield
    finally:
        infer.inference = original


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--save_dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    utils.set_seed(args.seed)
    paddle.set_device("cpu")
    config = Config(args.config)
    builder = SegBuilder(config)
    model, dataset = builder.model, builder.val_dataset
    train(
        model,
        builder.train_dataset,
        optimizer=builder.optimizer,
        save_dir=str(args.save_dir),
        iters=config.iters,
        batch_size=config.batch_size,
        save_interval=config.iters,
        log_iters=20,
        losses=builder.loss,
        keep_checkpoint_max=1,
    )
    utils.load_entire_model(model, str(args.save_dir / f"iter_{config.iters}" / "model.pdparams"))
    with recorded_inference(args.save_dir):
        miou, _, class_iou, *_ = evaluate(model, dataset)
    version = getattr(paddleseg, "__version__", "develop")
    save_evaluation(args.save_dir, miou, class_iou, decimals=4, paddleseg=version, paddle=paddle.__version__)


if __name__ == "__main__":
    main()
