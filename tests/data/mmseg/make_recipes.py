"""Write `recipes.json` and `colors.npz` of this folder, in the environment that `make.py` describes:

    oracle/bin/python -m tests.data.mmseg.make_recipes [FOLDER]

recipes.json holds, for each of our configurations on ResNet-v1c, what mmsegmentation's own file of the same network
says, field by field; tests/test_recipes.py compares. colors.npz holds what its PhotoMetricDistortion makes of random
pictures.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import mmseg
import numpy as np
from mmengine.config import Config

from tests.data.mmseg_peer import load_models

load_models()
from mmseg.datasets.transforms import PhotoMetricDistortion  # noqa: E402 - compiled operators are replaced first
from mmseg.models.losses import CrossEntropyLoss  # noqa: E402

HERE = Path(__file__).parent
FILES = Path(mmseg.__file__).parent / ".mim" / "configs"
DATA = {
    "cityscapes_1024x512_80k": "4xb2-80k_cityscapes-512x1024",
    "cityscapes_769x769_80k": "4xb2-80k_cityscapes-769x769",
    "ade20k_512x512_160k": "4xb4-160k_ade20k-512x512",
}
SEEDS, SHAPE = range(24), (12, 9, 3)


def files() -> dict[str, Path]:
    """mmsegmentation's file of each of our configurations."""
    found = {}
    for ours, theirs in DATA.items():
        for net in ("deeplabv3plus", "pspnet", "dmnet", "encnet", "ccnet"):
            for depth in (50, 101):
                name = f"{net}_resnet{depth}_v1c_os8_{ours}"
                found[name] = FILES / net / f"{net}_r{depth}-d8_{theirs}.py"
        if "769" not in ours:
            for head in ("enc", "psp", "aspp"):
                file = f"fastfcn_r50-d32_jpu_{head}_{theirs}.py"
                found[f"fastfcn_{head}_resnet50_v1c_os32_{ours}"] = FILES / "fastfcn" / file
    return found


def fields(config: Config) -> dict[str, Any]:
    """What decides how a network is trained and evaluated."""
    model, preprocessor = config.model, config.model.data_preprocessor
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    resize = next(step for step in config.val_dataloader.dataset.pipeline if step.type == "Resize")
    (schedule,), optimizer = config.param_scheduler, config.optim_wrapper.optimizer
    test = model.test_cfg
    heads = [model.decode_head, model.auxiliary_head]
    return {
        "iters": config.train_cfg.max_iters,
        "batch_size": config.train_dataloader.batch_size,
        "optimizer": [optimizer[key] for key in ("type", "lr", "momentum", "weight_decay")],
        "schedule": [schedule[key] for key in ("type", "power", "eta_min", "begin", "end")],
        "clip_grad": config.optim_wrapper.get("clip_grad"),
        "fit": list(steps["RandomResize"].scale),
        "scales": list(steps["RandomResize"].ratio_range),
        "crop": list(steps["RandomCrop"].crop_size)[::-1],
        "category_max_ratio": steps["RandomCrop"].cat_max_ratio,
        "flip": steps["RandomFlip"].prob,
        "colors": defaults(PhotoMetricDistortion, steps["PhotoMetricDistortion"]),
        "mean": [round(value / 255, 6) for value in preprocessor.mean],
        "std": [round(value / 255, 6) for value in preprocessor.std],
        "padding": [preprocessor.pad_val, preprocessor.seg_pad_val],
        "evaluated at": list(resize.scale),
        "test": [test.mode, list(test.get("crop_size", [])), list(test.get("stride", []))],
        "backbone": [
            f"{model.backbone.type} {model.backbone.depth}",
            *(list(model.backbone[key]) for key in ("strides", "dilations")),
            model.backbone.contract_dilation,
        ],
        "backbone weights": model.pretrained,
        "neck": model.get("neck") and [model.neck.mid_channels, list(model.neck.dilations)],
        "decode head": head(model.decode_head),
        "auxiliary head": [*head(model.auxiliary_head), model.auxiliary_head.num_convs],
        "align_corners": [section.align_corners for section in heads],
        "losses": [loss for section in heads for loss in losses(section)],
    }


def head(section: Any) -> list[Any]:
    kinds = ("pool_scales", "dilations", "filter_sizes", "recurrence", "num_codes", "add_lateral", "c1_channels")
    special = {key: section[key] for key in kinds if key in section}
    return [section.type, section.channels, section.dropout_ratio, section.num_classes, special]


def losses(section: Any) -> list[list[Any]]:
    """Kind, weight, and whether ignored pixels are left out of the mean."""
    found = [["cross entropy", section.loss_decode.loss_weight, mean_of_labelled(section.loss_decode)]]
    if section.get("use_se_loss"):
        found.append(["presence of classes", section.loss_se_decode.loss_weight, None])
    return found


def mean_of_labelled(section: Any) -> bool:
    return section.get("avg_non_ignore", inspect.signature(CrossEntropyLoss).parameters["avg_non_ignore"].default)


def defaults(kind: type, section: Any) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.items()
    return {key: section.get(key, parameter.default) for key, parameter in parameters}


def colors() -> dict[str, np.ndarray]:
    """Pictures in RGB by the seed that they and the distortion are drawn from."""
    found = {}
    for seed in SEEDS:
        picture = np.random.default_rng(seed).integers(0, 256, SHAPE).astype(np.uint8)
        np.random.seed(seed)
        distorted = PhotoMetricDistortion().transform({"img": np.ascontiguousarray(picture[..., ::-1])})["img"]
        found[str(seed)] = distorted[..., ::-1]
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    recipes = {name: fields(Config.fromfile(path)) for name, path in sorted(files().items())}
    lines = [f'"{name}": {json.dumps(recipe)}' for name, recipe in recipes.items()]  # one network a line
    (folder / "recipes.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    np.savez_compressed(folder / "colors.npz", **colors())
