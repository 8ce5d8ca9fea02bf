"""README's strip of each head: image, truth, prediction and errors of one validation picture under trained networks.

    python -m benchmarks.strips --output docs/images/heads.jpg --index 24 output/deeplabv3plus output/pspnet …

Each folder is a run of `tools/quickstart.sh` or `tools/train.py`, with ``best_model`` and ``metrics.jsonl``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import paddleseg_ext
from paddleseg_ext.builder import Builder
from paddleseg_ext.checkpoint.run.records import read_records
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.visualization.comparisons import compared
from paddleseg_ext.visualization.draw import side_by_side

WIDTH = 1200  # of the picture, in pixels
QUALITY = 85  # of a JPEG file
NAMES = {
    **{"DeepLabV3PlusHead": "DeepLabV3+", "PSPHead": "PSPNet", "DMHead": "DMNet"},
    **{"FastFCNHead": "FastFCN", "EncHead": "EncNet", "CCHead": "CCNet"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strips", description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of trainings")
    parser.add_argument("--output", type=Path, required=True, help="picture to write")
    parser.add_argument("--index", type=int, default=0, help="of the picture in the validation data")
    args = parser.parse_args(arguments)
    picture = np.vstack([strip(run, args.index) for run in args.runs])
    reduced = Image.fromarray(picture).resize((WIDTH, round(picture.shape[0] * WIDTH / picture.shape[1])), Image.BOX)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    reduced.save(args.output, quality=QUALITY)
    print(f"{args.output}: {reduced.width}×{reduced.height}")
    return 0


def strip(run: Path, index: int) -> np.ndarray:
    """The panels of one network, (h, w, 3) uint8 RGB, with its score above the prediction."""
    model = paddleseg_ext.load(run / "best_model")
    data = Builder(model.config).val_dataset
    (found,) = compared(model.network, data, [index], Predictor(**model.task.test_config))
    name = NAMES[type(model.network.decode_head).__name__]
    titles = ("image", "truth", f"{name}: mIoU {best_score(run):.1f}", "errors")
    return side_by_side(found.image, found.label, found.pred, model.palette, model.classes, titles)


def best_score(run: Path) -> float:
    """The best mIoU of a training, in percent."""
    records, _ = read_records(run / "metrics.jsonl")
    return 100 * max(record["miou"] for record in records if "miou" in record)


if __name__ == "__main__":
    sys.exit(main())
