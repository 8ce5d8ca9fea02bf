"""mmsegmentation's training, evaluation and inference of a PSPNet, by its own runner under PyTorch."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmengine
import mmseg
import torch

from benchmarks.imports.outputs import save_evaluation, save_output
from tests.data.mmseg_peer import load_models

load_models()  # before what needs mmcv's compiled operators
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402
from mmseg.datasets import BaseSegDataset  # noqa: E402
from mmseg.evaluation import IoUMetric  # noqa: E402
from mmseg.registry import DATASETS, METRICS  # noqa: E402

NORM = {"type": "BN", "requires_grad": True}
LOSS = {"type": "CrossEntropyLoss", "use_sigmoid": False}
CROP = (90, 120)  # height, width


@DATASETS.register_module()
class ListedPairs(BaseSegDataset):
    """The pictures and labels of a list in JSON; a label that is no class is ignored."""

    def load_data_list(self) -> list[dict]:
        classes = len(self.metainfo["classes"])
        common = {"label_map": {value: 255 for value in range(classes, 255)}, "reduce_zero_label": False}
        pairs = json.loads(Path(self.ann_file).read_text("utf-8"))
        return [{"img_path": image, "seg_map_path": label, **common, "seg_fields": []} for image, label in pairs]


@METRICS.register_module()
class KeptIoU(IoUMetric):
    """mmsegmentation's IoU, which it rounds to two digits of a percentage, with the unrounded and the outputs kept."""

    def __init__(self, folder: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.folder, self.numbers = Path(folder), itertools.count()

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            pred, logits = (sample[key]["data"].numpy() for key in ("pred_sem_seg", "seg_logits"))
            save_output(self.folder, next(self.numbers), pred[0], logits)
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        areas = [sum(column) for column in zip(*results)]
        self.class_iou = self.total_area_to_metrics(*areas, self.metrics)["IoU"]
        return super().compute_metrics(results)


def model_config(classes: int) -> dict:
    """PSPNet on ResNet18-v1c at output stride 16."""
    head = {"num_classes": classes, "norm_cfg": NORM, "align_corners": False, "dropout_ratio": 0.1}
    colors = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
    backbone = {"type": "ResNetV1c", "depth": 18, "dilations": (1, 1, 1, 2), "strides": (1, 2, 2, 1)}
    return {
        "type": "EncoderDecoder",
        "data_preprocessor": {"type": "SegDataPreProcessor", **colors, "pad_val": 0, "seg_pad_val": 255, "size": CROP},
        "backbone": {**backbone, "norm_cfg": NORM, "style": "pytorch", "contract_dilation": True},
        "decode_head": {
            **{"type": "PSPHead", "in_channels": 512, "in_index": 3, "channels": 128, "pool_scales": (1, 2, 3, 6)},
            **head,
            "loss_decode": LOSS,
        },
        "auxiliary_head": {
            **{"type": "FCNHead", "in_channels": 256, "in_index": 2, "channels": 64, "num_convs": 1},
            **head,
            "concat_input": False,
            "loss_decode": {**LOSS, "loss_weight": 0.4},
        },
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }


def runner_config(args: argparse.Namespace) -> Config:
    """Data, schedule and evaluation."""
    classes = json.loads((args.data / "classes.json").read_text("utf-8"))
    read = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
    augment = [
        {"type": "RandomResize", "scale": (480, 360), "ratio_range": (0.5, 1.0), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": CROP, "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
    ]

    def loader(mode: str, steps: list[dict], batch_size: int, sampler: dict) -> dict:
        dataset = {"type": "ListedPairs", "ann_file": str(args.data / f"{mode}.json"), "metainfo": {"classes": classes}}
        pipeline = [*read, *steps, {"type": "PackSegInputs"}]
        return {
            "batch_size": batch_size,
            "num_workers": 0,
            "sampler": sampler,
            "dataset": {**dataset, "pipeline": pipeline},
        }

    sgd = {"type": "SGD", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0005}
    poly = {"type": "PolyLR", "eta_min": 1e-4, "power": 0.9, "begin": 0, "end": args.iters, "by_epoch": False}
    hooks = {
        "logger": {"type": "LoggerHook", "interval": 20, "log_metric_by_epoch": False},
        "checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": args.iters},
    }
    return Config(
        {
            "default_scope": "mmseg",
            "model": model_config(len(classes)),
            "train_dataloader": loader("train", augment, 4, {"type": "InfiniteSampler", "shuffle": True}),
            "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": args.iters},
            "optim_wrapper": {"type": "OptimWrapper", "optimizer": sgd},
            "param_scheduler": [poly],
            "test_dataloader": loader("val", [], 1, {"type": "DefaultSampler", "shuffle": False}),
            "test_cfg": {"type": "TestLoop"},
            "test_evaluator": {"type": "KeptIoU", "iou_metrics": ["mIoU"], "folder": str(args.save_dir)},
            "default_hooks": hooks,
            "work_dir": str(args.save_dir),
            "randomness": {"seed": args.seed},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.json, val.json and classes.json")
    parser.add_argument("--save_dir", type=Path, required=True)
    parser.add_argument("--iters", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    runner = Runner.from_cfg(runner_config(args))
    runner.train()
    printed = runner.test()
    (metric,) = runner.test_evaluator.metrics
    versions = {"torch": torch.__version__, "mmsegmentation": mmseg.__version__, "mmengine": mmengine.__version__}
    save_evaluation(args.save_dir, printed["mIoU"] / 100, metric.class_iou, decimals=4, **versions)


if __name__ == "__main__":
    main()
