"""Write the files of this folder. Needs PyTorch and mmsegmentation, in an environment without Paddle:

    python3 -m venv oracle
    oracle/bin/pip install torch==2.13.0 mmcv-lite==2.1.0 mmengine mmsegmentation==1.2.2 ftfy regex 'numpy<2'
    oracle/bin/python -m tests.data.mmseg.make [FOLDER [wide]]

Run it from the repository's root. With a folder it writes there instead; with ``wide`` the same cases, wider, which
tests/heads/test_golden.py compares too where PADDLESEG_EXT_VECTORS names their folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.data.mmseg_peer import load_models, randomize

torch.set_num_threads(2)  # the order of sums, and so their last digit, depends on it
MODELS = load_models()
HERE = Path(__file__).parent
SEED, BATCH, CLASSES = 0, 2, 5
NORM = {"type": "BN"}
# Height and width of the image, channels of the backbone's four stages, channels of the head.
WIDTHS = {"small": ((57, 73), (8, 8, 16, 32), 16), "wide": ((65, 97), (16, 32, 64, 128), 32)}
CASES = ["cc", "deeplabv3plus", "dm", "enc", "enc_lateral", "fastfcn_aspp", "fastfcn_enc", "fastfcn_psp", "fcn", "psp"]


def head_section(case: str, stages: tuple[int, ...], channels: int) -> dict[str, Any]:
    """What the head's section holds beside what is common to all heads."""
    jpu = case.startswith("fastfcn")  # withholds the first stage, so that indices are lower by one
    se = {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 0.2}
    enc = {"num_codes": channels // 4, "use_se_loss": True, "add_lateral": case == "enc_lateral", "loss_se_decode": se}
    dilations, bins = {"dilations": (1, 12, 24, 36)}, {"pool_scales": (1, 2, 3, 6)}
    kind, options = {
        "cc": ("CCHead", {"recurrence": 2}),
        "deeplabv3plus": (
            "DepthwiseSeparableASPPHead",
            {**dilations, "c1_in_channels": stages[0], "c1_channels": stages[0] // 2},
        ),
        "dm": ("DMHead", {"filter_sizes": (1, 3, 5, 7)}),
        "enc": ("EncHead", enc),
        "aspp": ("ASPPHead", dilations),
        "fcn": ("FCNHead", {"num_convs": 1, "concat_input": False}),
        "psp": ("PSPHead", bins),
    }[case.replace("fastfcn_", "").replace("_lateral", "")]
    if kind == "EncHead":
        place = {"in_channels": stages[1:], "in_index": (0, 1, 2) if jpu else (1, 2, 3)}
    elif kind == "FCNHead":
        place = {"in_channels": stages[2], "in_index": 2}
    else:
        place = {"in_channels": stages[3], "in_index": 2 if jpu else 3}
    return {"type": kind, **place, **options}


def neck_section(stages: tuple[int, ...]) -> dict[str, Any]:
    dilations = (1, 2, 4, 8)
    place = {"in_channels": stages[1:], "mid_channels": stages[3] // len(dilations), "start_level": 0, "end_level": -1}
    return {"type": "JPU", **place, "dilations": dilations, "norm_cfg": NORM}


def features(image: tuple[int, int], stages: tuple[int, ...], strides: tuple[int, ...]) -> list[torch.Tensor]:
    """Stage i of a backbone: [BATCH, stages[i], ⌈height / strides[i]⌉, ⌈width / strides[i]⌉]."""
    generator = torch.Generator().manual_seed(SEED + 1)
    shapes = [(BATCH, width, *(-(-side // stride) for side in image)) for width, stride in zip(stages, strides)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def outputs(net: torch.nn.ModuleDict, feats: list[torch.Tensor]) -> list[torch.Tensor]:
    if "neck" in net:
        feats = list(net["neck"](tuple(feats[1:])))
    result = net["decode_head"](feats)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def weighted_sum(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Σ cos(0, 1, 2 …)·tensor over all tensors: a number that every element moves differently."""
    return sum((t * torch.cos(torch.arange(t.numel(), dtype=torch.float32)).reshape(t.shape)).sum() for t in tensors)


def golden(case: str, width: str, align_corners: bool) -> dict[str, np.ndarray]:
    image, stages, channels = WIDTHS[width]
    head, neck = head_section(case, stages, channels), None
    common = {"num_classes": CLASSES, "channels": channels, "norm_cfg": NORM, "dropout_ratio": 0.0}
    strides = (4, 8, 8, 8)
    net = torch.nn.ModuleDict({"decode_head": MODELS.build({**head, **common, "align_corners": align_corners})})
    if case.startswith("fastfcn"):
        neck, strides = neck_section(stages), (4, 8, 16, 32)
        net["neck"] = MODELS.build({**neck, "align_corners": align_corners})
    randomize(net, SEED)
    feats = features(image, stages, strides)

    # Copies, as training moves the statistics.
    blob = {f"sd/{name}": value.numpy().copy() for name, value in net.state_dict().items()}
    net.eval()
    with torch.no_grad():
        blob.update({f"eval/{i}": out.numpy() for i, out in enumerate(outputs(net, feats))})
    net.train()
    for feat in feats:
        feat.requires_grad_()
    trained = outputs(net, feats)
    weighted_sum(trained).backward()
    blob.update({f"train/{i}": out.detach().numpy() for i, out in enumerate(trained)})
    for i, feat in enumerate(feats):
        blob[f"feat/{i}"] = feat.detach().numpy()
        if feat.grad is not None:  # the head takes this stage
            blob[f"grad/{i}"] = feat.grad.numpy()
    meta = {"case": case, "head": head, "neck": neck, "common": common, "strides": strides, "channels": stages}
    meta |= {"input": image, "align_corners": align_corners, "mmseg": "1.2.2", "torch": torch.__version__}
    return {**blob, "meta": np.array(json.dumps(meta))}


def main(folder: Path = HERE, width: str = "small") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        for align_corners in (False, True):
            path = folder / f"{case}{'_ac' if align_corners else ''}.npz"
            np.savez_compressed(path, **golden(case, width, align_corners))
            print(path.name, path.stat().st_size // 1024, "KiB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]), *sys.argv[2:])
