"""Networks of mmsegmentation and of this package give the same logits with the same weights."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext import EncoderDecoder, UserError
from paddleseg_ext.heads import FCNHead
from paddleseg_ext.importers import mmseg
from paddleseg_ext.importers.fit import MMSEG, fit
from paddleseg_ext.importers.prefixes import plain_names
from tests.mmseg_variants import head_factory

HERE = Path(__file__).parents[1] / "data" / "importers"
NETWORKS = ["ccnet", "deeplabv3plus", "dmnet", "encnet", "fastfcn_aspp", "fastfcn_enc", "fastfcn_psp", "pspnet"]
TOLERANCE = 1e-4  # of the largest logit
EVERY = 149  # the files contain every 149th logit


def read(name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """Weights, logits and configuration of a golden file."""
    with np.load(HERE / f"{name}.npz") as blob:
        state = {key[3:]: blob[key] for key in blob if key.startswith("sd/")}
        logits = {key: blob[key] for key in blob if key.startswith("logits/")}
        return state, logits, json.loads(str(blob["meta"]))


def build(config: dict[str, Any], align_corners: bool = False, **changes: Any) -> EncoderDecoder:
    """Network of this package by the sections of mmsegmentation's configuration."""
    section, head, aux = config["backbone"], config["decode_head"], config["auxiliary_head"]
    backbone = manager.BACKBONES[f"ResNet{section['depth']}_v1c"](
        output_stride=32 if config["neck"] else 8,
        dilations=section["dilations"],
        base_channels=section["base_channels"],
        stem_channels=section["stem_channels"],
    )
    factory = head_factory(head, head, config["neck"])
    model = EncoderDecoder(
        head["num_classes"],
        backbone,
        partial(factory, **changes),
        [partial(FCNHead, in_index=2, channels=aux["channels"])],
        align_corners,
    )
    model.eval()
    return model


def load(model: EncoderDecoder, weights: dict[str, np.ndarray]) -> None:
    model.set_state_dict({name: paddle.to_tensor(value) for name, value in weights.items()})


def image(height: int, width: int) -> paddle.Tensor:
    """Image that the golden files were generated with."""
    return paddle.to_tensor(2 * np.sin(0.37 * np.arange(3 * height * width)).reshape(1, 3, height, width), "float32")


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_same_logits(name: str, align_corners: bool) -> None:
    state, expected, config = read(name)
    model = build(config, align_corners)
    load(model, fit(mmseg.convert(state), model, MMSEG))
    for size in ("129x161", "256x512"):
        with paddle.no_grad():
            logits = model(image(*map(int, size.split("x"))))[0].numpy()
        *sample, largest = expected[f"logits/{size}/{int(align_corners)}"]
        assert np.abs(logits.reshape(-1)[::EVERY] - sample).max() <= TOLERANCE * largest
        assert abs(np.abs(logits).max() - largest) <= TOLERANCE * largest


@pytest.mark.parametrize("name", NETWORKS)
def test_every_name_is_mapped(name: str) -> None:
    state, _, config = read(name)
    names = mmseg.names(state)
    assert set(state) - set(names) == {key for key in state if key.endswith("num_batches_tracked")}
    assert set(names.values()) == set(build(config).state_dict())


@pytest.mark.parametrize(
    "name, change",
    [
        ("deeplabv3plus", {"branch_order": "pool_last"}),
        ("fastfcn_enc", {"branch_order": "deep_first"}),
        ("fastfcn_psp", {"branch_order": "deep_first"}),
        ("pspnet", {"bin_sizes": (6, 3, 2, 1)}),
        ("pspnet", {"bin_sizes": (2, 6, 1, 3)}),
    ],
)
def test_channels_are_in_the_models_order(name: str, change: dict) -> None:
    state, expected, config = read(name)
    model = build(config, **change)
    weights = mmseg.convert(state)
    for fitted, same in [(fit(weights, model, MMSEG), True), (weights, False)]:
        load(model, fitted)
        with paddle.no_grad():
            logits = model(image(129, 161))[0].numpy()
        *sample, largest = expected["logits/129x161/0"]
        error = np.abs(logits.reshape(-1)[::EVERY] - sample).max()
        assert (error <= TOLERANCE * largest) == same


def test_names_of_data_parallel_training_and_of_several_auxiliary_heads() -> None:
    in_file = plain_names(
        [
            "module.decode_head.psp_modules.0.1.conv.weight",
            "module.auxiliary_head.1.convs.0.bn.running_mean",
            "module.backbone.layer1.0.bn1.running_var",
            "module.backbone.layer1.0.bn1.num_batches_tracked",
        ]
    )
    names = mmseg.names(in_file)
    assert list(names.values()) == [
        "decode_head.pyramid.branches.0.conv.weight",
        "auxiliary_heads.1.convs.0.norm._mean",
        "backbone.layer1.0.bn1._variance",
    ]


def test_other_networks_are_named() -> None:
    with pytest.raises(UserError, match=r"not the weights of a network of mmsegmentation .* begin with backbone, neck"):
        mmseg.names(["backbone.a", "neck.b"])


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("ccnet", {"act": "leaky_relu"}, r"before\.act is LeakyReLU in the model but ReLU .* set `act: relu`"),
        ("deeplabv3plus", {"dw_act": False}, r"Identity in the model but ReLU .* set `dw_act: true`"),
        (
            "deeplabv3plus",
            {"proj_kernel": 1},
            r"project\.conv\.weight is \[8, 40, 3, 3\] .* \[8, 40, 1, 1\] .* proj_kernel",
        ),
        ("deeplabv3plus", {"low_channels": 6}, r"low_level\.conv\.weight is \[4, 8, 1, 1\] .* change low_channels"),
        ("encnet", {"num_codes": 8}, r"codewords is \[4, 8\] .* \[8, 8\] .* change num_codes"),
        (
            "pspnet",
            {"channels": 16},
            r"classifier\.weight is \[3, 8, 1, 1\] in the file but \[3, 16, 1, 1\] .* change channels",
        ),
        ("pspnet", {"bin_sizes": (1, 2, 3)}, r"bottleneck\.conv\.weight is .* change the number of branches"),
        ("pspnet", {"bin_sizes": (1, 2, 3, 6, 8)}, r"no weights for 5 of .* change model\.decode_head"),
        ("dmnet", {"bottleneck_kernel": 1}, r"bottleneck\.conv\.weight .* bottleneck_kernel"),
        ("fastfcn_enc", {"jpu_channels": 16}, r"jpu\.laterals\.0\.conv\.weight .* change jpu_channels"),
    ],
)
def test_mismatches_are_named_with_their_setting(name: str, change: dict, message: str) -> None:
    state, _, config = read(name)
    with pytest.raises(UserError, match=message):
        fit(mmseg.convert(state), build(config, **change), MMSEG)


def test_wrong_number_of_classes_and_other_backbone() -> None:
    state, _, config = read("pspnet")
    for section, key, value, message in [
        ("decode_head", "num_classes", 4, r"classifier\.weight is \[3, .* change model\.num_classes"),
        ("backbone", "base_channels", 4, r"backbone\.layer1\.0\.conv1\.weight .* change model\.backbone"),
        (
            "auxiliary_head",
            "channels",
            16,
            r"auxiliary_heads\.0\.classifier\.weight .* change channels .* of model\.auxiliary_heads",
        ),
    ]:
        changed = {**config, section: {**config[section], key: value}}
        with pytest.raises(UserError, match=message):
            fit(mmseg.convert(state), build(changed), MMSEG)
