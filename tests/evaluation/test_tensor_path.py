"""On a GPU, scores stay tensors and Paddle's own operations compute; the result is that of NumPy and OpenCV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.datasets import Dataset
from paddleseg.models.losses import CrossEntropyLoss
from paddleseg.transforms import Normalize, Padding, Resize

from paddleseg_ext.evaluation import score_maps
from paddleseg_ext.evaluation.evaluate import EvalResult, evaluate
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.runtime import arrays
from paddleseg_ext.training.losses import mask_loss

CLASSES, HEIGHT, WIDTH = 5, 70, 94
WINDOWS = {"is_slide": True, "crop_size": [48, 40], "stride": [32, 30]}
SCALES = {"aug_eval": True, "scales": [0.75, 1.0, 1.25], "flip_horizontal": True, "flip_vertical": True}
CASES: dict[str, dict[str, Any]] = {
    "whole": {},
    "windows": WINDOWS,
    "aug": SCALES,
    "aug and windows": {**SCALES, **WINDOWS},
}
CLOSE = 1e-5  # of scores of about 1


class Coarse(nn.Layer):
    """Scores at half the image's size, so that they are resized."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, CLASSES, 5, padding=2, stride=2)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.conv(x)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(3):
        label = rng.integers(0, CLASSES, (HEIGHT // 5, WIDTH // 5)).astype(np.uint8)
        label = cv2.resize(label, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        label[: 3 * i] = 255
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
        cv2.imwrite(str(folder / f"{i}_label.png"), label)
    (folder / "val.txt").write_text("".join(f"{i}.png {i}_label.png\n" for i in range(3)), "utf-8")
    return folder


def as_on_a_gpu(patch: pytest.MonkeyPatch) -> None:
    """No tensor lies where NumPy could reach it, whichever module asks."""
    asking = [module for name, module in sys.modules.items() if name.startswith("paddleseg_ext.")]
    asking = [module for module in asking if getattr(module, "on_host", None) is arrays.on_host]
    assert len(asking) >= 3  # besides the kernels of the CPU, which the package does without
    for module in asking:
        patch.setattr(module, "on_host", lambda tensor: False)
    patch.setattr(arrays, "to_array", lambda tensor: pytest.fail("a tensor's memory was read by NumPy"))
    patch.setattr(score_maps, "_count_arrays", lambda *_: pytest.fail("counted by NumPy"))


def undecided(net: nn.Layer, dataset: Dataset, settings: dict[str, Any]) -> int:
    """Pixels whose best two scores are so close that rounding may choose."""
    found = 0
    for i in range(len(dataset)):
        with paddle.no_grad():
            logits = Predictor(**settings).logits(net, paddle.to_tensor(dataset[i]["img"][None]))
        best = np.sort(np.asarray(logits)[..., :HEIGHT, :WIDTH], axis=1)[:, -2:]  # all are equal where it is padded
        found += int((best[:, 1] - best[:, 0] < 2 * CLOSE).sum())
    return found


def both_ways(net: nn.Layer, dataset: Dataset, **settings: Any) -> tuple[EvalResult, EvalResult]:
    """On the host and as on a GPU."""
    loss = mask_loss(net, {"types": [CrossEntropyLoss()], "coef": [1.0]})
    options = {"boundary": True, "progress": False, "loss": loss, **settings}
    host = evaluate(net, dataset, **options)
    with pytest.MonkeyPatch.context() as patch:
        as_on_a_gpu(patch)
        return host, evaluate(net, dataset, **options)


@pytest.mark.parametrize(
    "transform", [None, Resize((80, 64)), Padding((100, 80))], ids=["as they are", "resized", "padded"]
)
@pytest.mark.parametrize("case", CASES)
def test_results_are_those_of_the_host(root: Path, case: str, transform: object) -> None:
    settings = CASES[case]
    transforms = [transform, Normalize()] if transform else [Normalize()]
    dataset = Dataset("val", str(root), transforms, CLASSES, val_path=str(root / "val.txt"))
    net = Coarse()
    host, device = both_ways(net, dataset, batch_size=2, **settings)
    different = int(np.abs(host.matrix.counts - device.matrix.counts).sum()) // 2
    assert different <= undecided(net, dataset, settings) <= 10
    assert host.matrix.counts.sum() == device.matrix.counts.sum() > 0
    np.testing.assert_array_equal(host.matrix.ignored, device.matrix.ignored)
    np.testing.assert_allclose(host.image_miou, device.image_miou, rtol=0, atol=1e-3)
    np.testing.assert_allclose(host.boundary, device.boundary, rtol=0, atol=1e-3 if different else 0)
    if settings:
        assert host.loss is device.loss is None
    else:
        assert device.loss == pytest.approx(host.loss, rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_the_host(root: Path, case: str) -> None:
    net, predictor, images = Coarse(), Predictor(**CASES[case]), paddle.randn([2, 3, HEIGHT, WIDTH])
    with paddle.no_grad(), pytest.MonkeyPatch.context() as patch:
        host = predictor.logits(net, images)
        as_on_a_gpu(patch)
        device = predictor.logits(net, images)
    assert isinstance(host, np.ndarray) and isinstance(device, paddle.Tensor)
    np.testing.assert_allclose(device.numpy(), host, rtol=0, atol=CLOSE)


def test_more_classes_than_a_byte_holds_are_counted_alike() -> None:
    classes, rng = 300, np.random.default_rng(0)
    label = rng.integers(0, classes + 3, (40, 50))
    logits = rng.normal(size=(classes, 40, 50)).astype(np.float32)
    counts = []
    for scores, truth in ((logits, label.astype(np.uint16)), (paddle.to_tensor(logits), paddle.to_tensor(label))):
        counts.append(score_maps.count_pairs(score_maps.argmax(scores), truth, classes, ignore_index=classes + 1))
    np.testing.assert_array_equal(*counts)
    assert counts[0].sum() == label.size and counts[0][-2:].sum() == (label >= classes).sum()
