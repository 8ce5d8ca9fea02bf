"""Configurations on ResNet-v1c follow mmsegmentation's own files, field by field, but for what a README names.

The other side is tests/data/mmseg/recipes.json, which make_recipes.py beside it reads from mmsegmentation 1.2.2.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext.backbones.resnet_v1c import SCALES
from paddleseg_ext.config.load import load_config
from paddleseg_ext.data.transforms import PhotoMetricDistortion, ScaleCropFlip
from paddleseg_ext.registry import HEADS, argument_names

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs"
RECIPES = json.loads((HERE / "data" / "mmseg" / "recipes.json").read_text("utf-8"))
THEIR_HEADS = {
    **{"DeepLabV3PlusHead": "DepthwiseSeparableASPPHead", "ASPPHead": "ASPPHead", "PSPHead": "PSPHead"},
    **{"DMHead": "DMHead", "EncHead": "EncHead", "CCHead": "CCHead", "FCNHead": "FCNHead"},
}
NAMED_IN_README = {"backbone weights": "ImageNet weights"}  # departure: words of the README's table


def argument(kind: Any, section: dict[str, Any], name: str) -> Any:
    """What a section says, or its component's default."""
    return section.get(name, default(kind, name))


def default(kind: Any, name: str) -> Any:
    for base in kind.__mro__:
        parameters = inspect.signature(base.__init__).parameters
        if name in parameters:
            return parameters[name].default
    raise KeyError(name)


def fields(path: Path) -> dict[str, Any]:
    """What decides how a network is trained and evaluated, in the terms of recipes.json."""
    config = load_config(path)
    model, optimizer, schedule = config.model_cfg, config.optimizer_cfg, config.lr_scheduler_cfg
    train, value = (section["transforms"] for section in (config.train_dataset_cfg, config.val_dataset_cfg))
    steps = {step["type"]: step for step in train}
    crop, padding = steps["ScaleCropFlip"], steps["Padding"]
    assert argument(ScaleCropFlip, crop, "scale_step_size") == 0 and crop["im_padding_value"] is None
    assert [step["type"] for step in train] == ["ScaleCropFlip", "PhotoMetricDistortion", "Normalize", "Padding"]
    assert padding["target_size"] == crop["crop_size"]
    normalize = next(step for step in value if step["type"] == "Normalize")
    assert normalize == steps["Normalize"]
    backbone, test = model["backbone"], config.test_config
    stride = backbone["output_stride"]
    head, aux = model["decode_head"], model["auxiliary_heads"][0]
    neck = head if head["type"] == "FastFCNHead" else None
    head = neck["head"] if neck else head
    classes, corners = model["num_classes"], model.get("align_corners", False)
    dropout = head.get("proj_dropout", 0) or argument(HEADS[head["type"]], head, "dropout")
    whole = {"ADE20K": None, "Cityscapes": [2048, 1024]}[config.train_dataset_cfg["type"]]  # of all its pictures
    return {
        "iters": config.iters,
        "batch_size": config.batch_size,
        "optimizer": [optimizer["type"], schedule["learning_rate"], optimizer["momentum"], optimizer["weight_decay"]],
        "schedule": ["PolyLR", schedule["power"], schedule["end_lr"], 0, config.iters],
        "clip_grad": config.dic["train"]["clip_norm"],
        "fit": crop["fit"],
        "scales": [crop["min_scale_factor"], crop["max_scale_factor"]],
        "crop": crop["crop_size"],
        "category_max_ratio": crop["category_max_ratio"],
        "flip": argument(ScaleCropFlip, crop, "flip_prob"),
        "colors": {
            name: list(value) if isinstance(value, tuple) else value
            for name in argument_names(PhotoMetricDistortion)
            for value in [argument(PhotoMetricDistortion, steps["PhotoMetricDistortion"], name)]
        },
        "mean": normalize["mean"],
        "std": normalize["std"],
        "padding": [
            padding["im_padding_value"],
            argument(manager.TRANSFORMS["Padding"], padding, "label_padding_value"),
        ],
        "evaluated at": next((step["target_size"] for step in value if step["type"] == "Resize"), whole),
        "test": ["slide" if test.get("is_slide") else "whole", test.get("crop_size", []), test.get("stride", [])],
        "backbone": [
            f"ResNetV1c {backbone['type'].removeprefix('ResNet').removesuffix('_v1c')}",
            *(list(backbone.get(name, SCALES[stride][index])) for index, name in enumerate(("strides", "dilations"))),
            backbone.get("contract_dilation", True),
        ],
        "backbone weights": backbone.get("pretrained"),
        "neck": neck and [neck["jpu_channels"], list(argument(HEADS["FastFCNHead"], neck, "dilations"))],
        "decode head": [THEIR_HEADS[head["type"]], head["channels"], dropout, classes, special(head)],
        "auxiliary head": [THEIR_HEADS[aux["type"]], aux["channels"], aux["dropout"], classes, {}, 1],
        "align_corners": [head.get("align_corners", corners), aux.get("align_corners", corners)],
        "losses": losses(config.loss_cfg),
    }


def special(head: dict[str, Any]) -> dict[str, Any]:
    """What only this kind of head has, under mmsegmentation's names."""
    kind = HEADS[head["type"]]

    def get(name: str) -> Any:
        value = argument(kind, head, name)
        return list(value) if isinstance(value, tuple) else value

    return {
        "DeepLabV3PlusHead": lambda: {"dilations": [1, *get("dilations")], "c1_channels": get("low_channels")},
        "ASPPHead": lambda: {"dilations": [1, *get("dilations")]},
        "PSPHead": lambda: {"pool_scales": get("bin_sizes")},
        "DMHead": lambda: {"filter_sizes": get("filter_sizes")},
        "EncHead": lambda: {"num_codes": get("num_codes"), "add_lateral": bool(get("laterals"))},
        "CCHead": lambda: {"recurrence": get("recurrence")},
    }[head["type"]]()


def losses(section: dict[str, Any]) -> list[list[Any]]:
    kinds = {"CrossEntropyLoss": "cross entropy", "SECrossEntropyLoss": "presence of classes"}
    return [
        [kinds[term["type"]], weight, term.get("avg_non_ignore", True) if term["type"] == "CrossEntropyLoss" else None]
        for term, weight in zip(section["types"], section["coef"])
    ]


def test_every_configuration_on_v1c_has_its_recipe() -> None:
    assert {path.stem for path in CONFIGS.rglob("*_v1c_*80k.yml")} | {
        path.stem for path in CONFIGS.rglob("*_v1c_*160k.yml")
    } == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_follows_mmsegmentation_but_for_what_the_readme_names(name: str) -> None:
    (path,) = CONFIGS.rglob(f"{name}.yml")
    ours, theirs = fields(path), RECIPES[name]
    assert ours.keys() == theirs.keys()
    departures = {key: (ours[key], theirs[key]) for key in theirs if ours[key] != theirs[key]}
    readme = (path.parent / "README.md").read_text("utf-8")
    unnamed = {k: v for k, v in departures.items() if k not in NAMED_IN_README or NAMED_IN_README[k] not in readme}
    assert not unnamed


@pytest.mark.parametrize("name", [name.replace("_v1c_", "_vd_") for name in RECIPES])
def test_the_same_networks_on_vd_are_trained_alike(name: str) -> None:
    """But for the backbone, the head's variant and losses over labelled pixels: see the READMEs."""
    found = list(CONFIGS.rglob(f"{name}.yml"))
    if not found:  # FastFCN on vd has its paper's head alone
        return
    data = load_config(found[0]).dic
    peer = load_config(next(CONFIGS.rglob(f"{name.replace('_vd_', '_v1c_')}.yml"))).dic
    for key in ("train_dataset", "val_dataset", "optimizer", "lr_scheduler", "iters", "batch_size", "test_config"):
        assert data.get(key) == peer.get(key), key
