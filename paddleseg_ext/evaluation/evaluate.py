"""Evaluation of a network on a data set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn
from tqdm import tqdm

from paddleseg_ext.data.dataloader import LOADER_TIMEOUT
from paddleseg_ext.data.eval_loader import plan, read
from paddleseg_ext.data.label_io import odd_counts
from paddleseg_ext.data.sampler import files_of
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.boundary_iou import BoundaryIoU
from paddleseg_ext.evaluation.confusions import ConfusedImages
from paddleseg_ext.evaluation.lanes import predict_each
from paddleseg_ext.evaluation.metrics import ConfusionMatrix, Metrics, mean, percent, plain
from paddleseg_ext.evaluation.predictor import Predictor, evaluating
from paddleseg_ext.evaluation.score_maps import Map, to_tensor
from paddleseg_ext.runtime import distributed


@dataclass
class EvalResult:
    """What an evaluation found.

    Attributes:
        matrix: All pixels of all images.
        image_miou: (images,) mIoU of each image by itself, NaN where nothing is labeled.
        seconds: Wall time.
        boundary: (K,) boundary IoU of each class, NaN for an absent one, or None where it was not asked for.
        loss: Mean validation loss of the images, NaN where it could not be computed; None where it was not asked for
            or inference is not by whole images.
        confused: In which images each class was taken for each other; None where nobody noted it.
    """

    matrix: ConfusionMatrix
    image_miou: np.ndarray
    seconds: float
    boundary: np.ndarray | None = None
    loss: float | None = None
    confused: ConfusedImages | None = None

    def __post_init__(self) -> None:
        self.metrics: Metrics = self.matrix.metrics()

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.image_miou)

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur."""
        return self.metrics.miou

    @property
    def accuracy(self) -> float:
        """Fraction of labeled pixels that are right."""
        return self.metrics.accuracy

    @property
    def class_iou(self) -> np.ndarray:
        """(K,) IoU of each class, NaN for one that occurs neither in the label nor in the prediction."""
        return self.metrics.iou

    @property
    def boundary_miou(self) -> float | None:
        """Mean boundary IoU over the classes that occur, or None where it was not asked for."""
        return None if self.boundary is None else mean(self.boundary)

    def means(self) -> dict[str, float]:
        """The numbers over all classes by their printed titles."""
        further = {} if self.boundary_miou is None else {"mean boundary IoU": self.boundary_miou}
        return {**self.metrics.means(), **further}

    def table(self, names: Sequence[str] | None = None) -> str:
        """A plain-text table by class name, in percent."""
        columns = {} if self.boundary is None else {"boundary": self.boundary}
        return self.metrics.table(names, self.means(), **columns)

    def to_dict(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """The scores for JSON, fractions and seconds; null where a value does not exist."""
        extra = {} if self.boundary is None else {"boundary_iou": self.boundary}
        further = {} if self.boundary_miou is None else {"boundary_miou": plain(self.boundary_miou)}
        loss = {} if self.loss is None else {"val_loss": self.loss if math.isfinite(self.loss) else None}
        scores = {**self.metrics.to_dict(names, **extra), **further}
        return {"images": self.images, "seconds": self.seconds, **loss, **scores}

    def confusion_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """The confusion matrix for JSON: pixels, a row per true class and a column per predicted one."""
        counts, ignored = self.matrix.counts.tolist(), int(self.matrix.ignored[0])
        return {"classes": list(names), "counts": counts, "ignored_pixels": ignored}

    def doubts(self, names: Sequence[str]) -> str | None:
        """What looks wrong about the labels, which no metric would show; None where nothing does."""
        return odd_counts(self.matrix.label_counts(), names)

    def __str__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"{self.images} images, mIoU {percent(self.miou)}, accuracy {percent(self.accuracy)}{loss}"


def evaluate(
    model: nn.Layer,
    dataset: Any,
    *,
    batch_size: int = 1,
    num_workers: int = 0,
    loader_timeout: float = LOADER_TIMEOUT,
    boundary: bool = False,
    progress: bool = True,
    loss: Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor] | None = None,
    **settings: Any,
) -> EvalResult:
    """Run `model` on every image of `dataset` and compare with the label.

    Under `paddle.distributed.launch` each process takes a share and all get the same result, that of one process.
    The model's layers leave in the mode, training or evaluation, in which they came.

    Args:
        model: Returns a list with the mask's logits first.
        dataset: A PaddleSeg data set in mode `val`.
        batch_size: Images of one size that the network sees at once.
        num_workers: Processes that read ahead.
        loader_timeout: Seconds to wait for a batch of theirs.
        boundary: Also compute boundary IoU.
        progress: Show a bar.
        loss: Of logits (1, K, H, W) and a label (1, H, W) at the label's size: also take its mean over the images.
            Windows and augmentation hold no logits of a whole image at little cost: with them it is left out.
        **settings: Arguments of `Predictor`, e.g. those that `read_test_config` returns.

    Raises:
        UserError: The data set is empty, a file cannot be read, a label is wrong or of another size than its image,
            no label has a labeled pixel, the model has another number of classes than the data, or memory does
            not suffice.
    """
    if len(dataset) == 0:
        raise UserError(f"{type(dataset).__name__}: there is nothing to evaluate, the data set has no images")
    start = time.perf_counter()
    predictor = Predictor(**settings)
    distributed.init()
    rank, world_size = distributed.rank(), distributed.world_size()
    matrix = ConfusionMatrix(dataset.num_classes, dataset.ignore_index)
    confused = ConfusedImages(dataset.num_classes)
    edges = BoundaryIoU(dataset.num_classes, dataset.ignore_index) if boundary else None
    image_miou = np.zeros(len(dataset))  # each entry is filled by one process, so their sum is the whole
    image_loss = np.zeros(len(dataset)) if loss is not None and predictor.is_whole else None
    batches = plan(dataset, batch_size, rank, world_size)
    images = sum(map(len, batches))
    bar = tqdm(total=images, unit="image", disable=None if progress and rank == 0 else True, leave=False)
    reader = read(dataset, batches, num_workers, loader_timeout)
    predicted = predict_each(predictor, model, reader, logits=image_loss is not None)
    with evaluating(model), bar, closing(reader), closing(predicted):
        for batch, results in predicted:
            for index, (pred, logits), label in zip(batch.indices, results, batch.labels):
                label = _reshape_label(label, pred, files_of(dataset, index))
                counts = matrix.update(pred, label, files_of(dataset, index)[-1])
                confused.update(counts, index)
                image_miou[index] = Metrics(counts).miou
                if image_loss is not None and loss is not None:
                    truth = label if isinstance(label, paddle.Tensor) else paddle.to_tensor(label)
                    image_loss[index] = float(loss(to_tensor(logits), truth[None]))
                if edges is not None:
                    edges.update(np.asarray(pred), np.asarray(label))
            bar.update(len(batch.indices))
    for share in (matrix.counts, matrix.ignored, image_miou, image_loss, None if edges is None else edges.counts):
        if share is not None:
            distributed.all_reduce_sum(share)
    confused.merge()
    if not matrix.counts.sum():
        raise UserError(
            f"none of the {len(dataset)} labels of the evaluation has a labeled pixel, so there is no score"
        )
    found = edges.iou() if edges is not None else None
    mean_loss = float(image_loss.mean()) if image_loss is not None else None
    return EvalResult(matrix, image_miou, time.perf_counter() - start, found, mean_loss, confused)


def _reshape_label(label: Map, pred: Map, files: list[str]) -> Map:
    """The label as (H, W).

    Raises:
        UserError: It has another size than the image.
    """
    size, expected = tuple(label.shape[-2:]), tuple(pred.shape)
    if size != expected or math.prod(label.shape) != math.prod(expected):
        raise UserError(
            f"{files[-1]}: the label has the shape {'×'.join(map(str, label.shape))}, but its image is "
            f"{expected[1]} wide and {expected[0]} high"
        )
    return label.reshape(expected)
