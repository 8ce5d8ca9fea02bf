"""Write the files of this folder. Needs PyTorch and mmsegmentation, in an environment without Paddle:

    python3 -m venv oracle
    oracle/bin/pip install torch==2.13.0 mmcv-lite==2.1.0 mmengine mmsegmentation==1.2.2 ftfy regex 'numpy<2'
    oracle/bin/python -m tests.data.importers.make [FOLDER [SIZE …]]

Run it from the repository's root. With a folder it writes there instead; with sizes (``256x512``) it writes complete
logits of a wider network there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MessageHub

from tests.data.mmseg_peer import load_models

MODELS = load_models()
HERE = Path(__file__).parent
NORM, CLASSES = {"type": "BN"}, 3
SE = {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 0.2}
ENC = {"type": "EncHead", "num_codes": 4, "use_se_loss": True, "loss_se_decode": SE}
HEADS = {
    "deeplabv3plus": {"type": "DepthwiseSeparableASPPHead", "dilations": (1, 12, 24, 36), "c1_channels": 4},
    "pspnet": {"type": "PSPHead", "pool_scales": (1, 2, 3, 6)},
    "dmnet": {"type": "DMHead", "filter_sizes": (1, 3, 5, 7)},
    "encnet": {**ENC, "add_lateral": True},
    "ccnet": {"type": "CCHead", "recurrence": 2},
    "fastfcn_enc": {**ENC, "add_lateral": False},
    "fastfcn_psp": {"type": "PSPHead", "pool_scales": (1, 2, 3, 6)},
    "fastfcn_aspp": {"type": "ASPPHead", "dilations": (1, 12, 24, 36)},
}


def configuration(name: str, depth: int, base: int, channels: int, align_corners: bool) -> dict:
    """The sections of mmsegmentation's own configuration, narrower."""
    expansion = 1 if depth < 50 else 4
    feats = [expansion * base * 2**i for i in range(4)]
    common = {
        "channels": channels,
        "num_classes": CLASSES,
        "norm_cfg": NORM,
        "dropout_ratio": 0.1,
        "align_corners": align_corners,
    }
    jpu = name.startswith("fastfcn")
    backbone = {
        "type": "ResNetV1c",
        "depth": depth,
        "base_channels": base,
        "stem_channels": 2 * base,
        "dilations": (1, 1, 2, 4),
        "strides": (1, 2, 2, 2) if jpu else (1, 2, 1, 1),
        "out_indices": (1, 2, 3) if jpu else (0, 1, 2, 3),
        "contract_dilation": True,
        "norm_cfg": NORM,
    }
    neck, last = None, feats[3]
    if jpu:
        dilations = (1, 2, 4, 8)
        neck = {
            "type": "JPU",
            "in_channels": tuple(feats[1:]),
            "mid_channels": channels,
            "start_level": 0,
            "end_level": -1,
        }
        neck.update(dilations=dilations, norm_cfg=NORM, align_corners=align_corners)
        last = channels * len(dilations)
    head = dict(HEADS[name])
    if head["type"] == "EncHead":
        place = {"in_channels": [*feats[1:3], last], "in_index": (0, 1, 2) if jpu else (1, 2, 3)}
    else:
        place = {"in_channels": last, "in_index": 2 if jpu else 3}
    if "c1_channels" in head:
        place["c1_in_channels"] = feats[0]
    aux = {"type": "FCNHead", "num_convs": 1, "concat_input": False, "in_channels": feats[2]}
    aux["in_index"] = 1 if jpu else 2
    return {
        "type": "EncoderDecoder",
        "backbone": backbone,
        "neck": neck,
        "decode_head": {**head, **place, **common},
        "auxiliary_head": {**aux, **common, "channels": channels // 2},
        "test_cfg": {"mode": "whole"},
    }


def randomise(net: torch.nn.Module) -> None:
    """Random weights and statistics of three bits, which compress well and leave no branch without effect."""
    generator = np.random.default_rng(0)
    for name, value in net.state_dict().items():
        steps = generator.integers(-3, 4, tuple(value.shape)).astype("float32")
        if name.endswith(("bn.weight", "norm.weight", "running_var")) or ".bn" in name and name.endswith("weight"):
            steps = 1 + steps / 8
        elif name.endswith("encoding.0.scale"):
            steps = -np.abs(steps) / 64
        elif name.endswith("gamma.scale"):
            steps = np.float32(0.75)
        elif value.ndim > 1:
            steps = steps * 2.0 ** -round(np.log2(2 * max(1, value[0].numel()) ** 0.5))
        elif name.endswith("num_batches_tracked"):
            continue
        else:
            steps = steps / 8
        value.copy_(torch.as_tensor(steps))


def image(height: int, width: int) -> np.ndarray:
    """The picture that the tests make for themselves, too."""
    return 2 * np.sin(0.37 * np.arange(3 * height * width)).reshape(1, 3, height, width).astype("float32")


def logits(net: torch.nn.Module, height: int, width: int) -> np.ndarray:
    with torch.no_grad():
        return net.encode_decode(torch.from_numpy(image(height, width)), [{"img_shape": (height, width)}]).numpy()


def write_checkpoints(folder: Path) -> None:
    """A tiny network as mmsegmentation 0.x and 1.x save it, in PyTorch's two formats; and every kind of tensor."""
    net = MODELS.build({k: v for k, v in configuration("pspnet", 18, 1, 4, False).items() if v is not None}).eval()
    randomise(net)
    state = net.state_dict()
    classes, palette = ("road", "sky", "car"), [[128, 64, 128], [70, 130, 180], [0, 0, 142]]
    text = "model = dict(decode_head=dict(align_corners=False), auxiliary_head=dict(align_corners=False))"
    old = {"mmseg_version": "0.30.0", "config": text, "CLASSES": classes, "PALETTE": palette, "epoch": 1, "iter": 80000}
    old_file = {"meta": old, "state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.01}]}}
    torch.save(old_file, folder / "mmseg_0x_legacy.pth", _use_new_zipfile_serialization=False)
    hub = MessageHub("golden")
    hub.update_scalar("train/loss", 1.5)
    new = {"cfg": text, "dataset_meta": {"classes": classes, "palette": palette}, "epoch": 0, "iter": 80000}
    torch.save({"meta": new, "state_dict": state, "message_hub": hub.state_dict()}, folder / "mmseg_1x_zip.pth")
    np.save(folder / "mmseg_checkpoint_logits.npy", logits(net, 65, 97))

    numbers = torch.arange(-6, 6)
    kinds = {str(kind)[6:]: numbers.to(kind) for kind in (torch.float32, torch.float64, torch.float16, torch.bfloat16)}
    kinds |= {str(kind)[6:]: numbers.to(kind) for kind in (torch.int64, torch.int32, torch.int16, torch.int8)}
    kinds |= {"uint8": numbers.abs().to(torch.uint8), "bool": numbers > 0}
    table = numbers.float().reshape(3, 4)
    kinds |= {"transposed": table.t(), "window": table[1:, 1:3], "tied": table, "parameter": torch.nn.Parameter(table)}
    kinds |= {"scalar": torch.tensor(0.75), "empty": torch.zeros(0, 3), "note": "no tensor", "size": table.shape}
    torch.save(kinds, folder / "kinds_zip.pth")
    torch.save(kinds, folder / "kinds_legacy.pth", _use_new_zipfile_serialization=False)


def main(folder: Path = HERE, *sizes: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not sizes:
        write_checkpoints(folder)
    for name in HEADS:
        blob = {}
        for align_corners in (False, True):
            config = configuration(name, *((50, 16, 64) if sizes else (50, 2, 8)), align_corners)
            net = MODELS.build({key: value for key, value in config.items() if value is not None}).eval()
            randomise(net)
            for size in sizes or ["129x161", "256x512"]:
                result = logits(net, *map(int, size.split("x")))
                assert result.std(axis=(2, 3)).min() > 1e-3, "an output without structure tests nothing"
                key = f"logits/{size}/{int(align_corners)}"
                # Every 149th number of the logits keeps the files small and still meets every row and column phase.
                blob[key] = result if sizes else np.append(result.reshape(-1)[::149], np.abs(result).max())
        blob.update({f"sd/{key}": value.numpy() for key, value in net.state_dict().items()}, meta=json.dumps(config))
        path = folder / f"{name}.npz"
        np.savez_compressed(path, **blob)
        print(
            path.name,
            path.stat().st_size // 1024,
            "KiB",
            {k: float(np.abs(v).max()) for k, v in blob.items() if "logits" in k},
        )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]), *sys.argv[2:])
