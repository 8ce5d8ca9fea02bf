"""What a network says of the validation pictures, in files; with NumPy alone, since several environments share it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

EVALUATION = "evaluation.json"


def save_output(folder: Path, index: int, pred: np.ndarray, logits: np.ndarray) -> None:
    """Keep class ids (H, W) and logits (K, H, W) of a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{index:05}.npz", pred=pred.astype(np.uint8), logits=logits.astype(np.float32))


def load_output(folder: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Class ids (H, W) uint8 and logits (K, H, W) float32 of a picture."""
    with np.load(folder / f"{index:05}.npz") as arrays:
        return arrays["pred"], arrays["logits"]


def save_evaluation(
    folder: Path, miou: float, class_iou: Sequence[float], decimals: int | None = None, **versions: str
) -> None:
    """Keep a project's own scores, fractions, the decimals that it rounds mIoU to, and what computed them."""
    record = {"miou": float(miou), "decimals": decimals, "class_iou": list(map(float, class_iou)), "versions": versions}
    (folder / EVALUATION).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def load_evaluation(folder: Path) -> dict[str, Any]:
    """What `save_evaluation` kept."""
    return json.loads((folder / EVALUATION).read_text("utf-8"))
