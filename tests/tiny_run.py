"""A training run of seconds: a data set of colored squares, a network of two convolutions, a YAML file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import paddle
import yaml
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.checkpoint.save import load_checkpoint

SIZE, CLASSES = 32, 3


@manager.MODELS.add_component
class TwoOutputs(nn.Layer):
    """Mask and auxiliary logits; with batch normalization and dropout unless ``plain``."""

    output_names = ["mask", "aux0"]

    def __init__(self, num_classes: int, in_channels: int = 3, plain: bool = False) -> None:
        super().__init__()
        self.backbone = nn.Conv2D(in_channels, 8, 3, padding=1)
        self.norm = nn.Identity() if plain else nn.BatchNorm2D(8)
        self.drop = nn.Identity() if plain else nn.Dropout2D(0.2)
        self.mask = nn.Conv2D(8, num_classes, 3, padding=1)
        self.aux = nn.Conv2D(8, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = nn.functional.relu(self.norm(self.backbone(x)))
        mask = self.mask(self.drop(x))
        return [mask, self.aux(x)] if self.training else [mask]


def write_samples(root: Path, count: int = 6, seed: int = 0) -> Path:
    """Pictures of colored rectangles whose color tells the class, and the list ``train.txt``."""
    generator = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        label = np.zeros((SIZE, SIZE), np.uint8)
        for value in range(1, CLASSES):
            top, left = generator.integers(0, SIZE // 2, 2)
            label[top : top + SIZE // 2, left : left + SIZE // 2] = value
        colors = np.array([[40, 40, 40], [200, 60, 60], [60, 60, 200]])
        image = colors[label] + generator.integers(-20, 20, (SIZE, SIZE, 3))
        cv2.imwrite(str(root / f"image{number}.png"), image.astype(np.uint8))
        cv2.imwrite(str(root / f"label{number}.png"), label)
        lines.append(f"image{number}.png label{number}.png\n")
    (root / "train.txt").write_text("".join(lines), encoding="utf-8")
    return root


def write_config(root: Path, **changes: object) -> Path:
    """A configuration over `write_samples`' data; `changes` replace top-level entries."""
    dataset = {"type": "Dataset", "dataset_root": str(root), "num_classes": CLASSES}
    augmentation = [
        {"type": "ResizeStepScaling", "min_scale_factor": 0.75, "max_scale_factor": 1.5, "scale_step_size": 0.25},
        {"type": "RandomPaddingCrop", "crop_size": [24, 24]},
        {"type": "RandomHorizontalFlip"},
        {"type": "RandomDistort"},
        {"type": "Normalize"},
    ]
    config = {
        "batch_size": 2,
        "iters": 20,
        "train_dataset": {
            **dataset,
            "mode": "train",
            "train_path": str(root / "train.txt"),
            "transforms": augmentation,
        },
        "val_dataset": {
            **dataset,
            "mode": "val",
            "val_path": str(root / "train.txt"),
            "transforms": [{"type": "Normalize"}],
        },
        "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 1.0e-4},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.1, "power": 0.9},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1, 0.4]},
        "model": {"type": "TwoOutputs", "num_classes": CLASSES},
    }
    path = root / "config.yml"
    path.write_text(yaml.safe_dump({**config, **changes}), encoding="utf-8")
    return path


def weights(path: Path) -> dict[str, np.ndarray]:
    """Of a checkpoint."""
    return load_checkpoint(path).weights


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
