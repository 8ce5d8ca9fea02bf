"""Write the files of this folder. Needs PyTorch and checkouts of the papers' repositories, and no Paddle:

    python3 -m venv torchenv
    torchenv/bin/pip install torch==2.13.0 numpy tqdm scipy requests pillow portalocker
    torchenv/bin/python -m tests.data.originals.make CHECKOUTS [FOLDER [wide]]

Run it from the repository's root. CHECKOUTS holds the folders semseg, CCNet, FastFCN and PyTorch-Encoding. With another
folder it writes there instead; with ``wide`` the networks in their own widths, and the checkpoints as the repositories
save them, which tests/importers/test_originals.py compares too where PADDLESEG_EXT_ORIGINALS names that folder.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from tests.data.originals import peers

torch.set_num_threads(2)
HERE = Path(__file__).parent
NARROW, EVERY = 32, 149  # the narrow networks have 1/32 of the channels; the files have every 149th logit
SIZES = {True: ((65, 97), (73, 57), (129, 105)), False: ((65, 97), (71, 90), (113, 135))}  # must they be 8n + 1?


def image(height: int, width: int) -> torch.Tensor:
    """A picture, red first, of squares under noise, which the tests make for themselves, too."""
    generator = np.random.default_rng(0)
    squares = generator.random((1, 3, -(-height // 16), -(-width // 16))).repeat(16, 2).repeat(16, 3)
    numbers = 3 * squares[:, :, :height, :width] + generator.random((1, 3, height, width)) - 2
    return torch.from_numpy(numbers.astype("float32"))


def randomize(net: torch.nn.Module, coarse: bool) -> None:
    """Random weights that leave no branch without effect; coarse ones, of three bits, compress well."""
    generator = np.random.default_rng(0)
    for name, value in net.named_parameters():
        shape = tuple(value.shape)
        draw = generator.integers(-3, 4, shape) / 2 if coarse else generator.standard_normal(shape)
        if name.endswith("encoding.3.scale"):
            draw = -np.abs(draw) * 4 / net.get_parameter(name.replace("scale", "codewords")).shape[1]
        elif name.endswith("gamma"):
            draw = np.full(shape, 0.75)
        elif value.ndim > 1:
            draw *= 2.0 ** -round(np.log2(value[0].numel() ** 0.5))
            if "query" in name or "key" in name:
                draw /= 4  # energies of a few units: attention neither one-hot nor even
        elif name.endswith("weight"):  # of a norm; InPlaceABN has negative ones, too
            draw = (1 + draw / 4) * (generator.choice([-1, 1], shape) if peers.in_place(net) else 1)
            if re.search(r"layer\d\.\d+\.bn3", name):  # blocks that add little keep rounding errors small
                draw /= 4
        else:
            draw /= 4
        value.data.copy_(torch.as_tensor(draw, dtype=torch.float32))


def calibrate(net: torch.nn.Module, picture: torch.Tensor) -> None:
    """Set each norm's statistics to those of its input, a quarter off, as after a training.

    A variance is at least a tenth of the whole input's square, so that no channel's rounding errors are blown up.
    """
    generator = torch.Generator().manual_seed(0)

    def measure(norm: torch.nn.Module, arguments: tuple[torch.Tensor]) -> None:
        axes = [axis for axis in range(arguments[0].ndim) if axis != 1]
        variance, mean = torch.var_mean(arguments[0], axes, correction=0)
        variance = variance + 0.1 * arguments[0].square().mean()
        norm.running_mean.copy_(mean + variance.sqrt() * 0.25 * torch.randn(mean.shape, generator=generator))
        norm.running_var.copy_(variance * (0.75 + 0.5 * torch.rand(mean.shape, generator=generator)))

    hooks = [layer.register_forward_pre_hook(measure) for layer in net.modules() if hasattr(layer, "running_mean")]
    with torch.no_grad():
        net(picture)
    for hook in hooks:
        hook.remove()


def outputs(case: peers.Case, net: torch.nn.Module, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Logits of the mask at the picture's size; logits of the other heads as they come. In double precision."""
    found = {}
    net = net.double()
    hook = case.auxiliary(net).register_forward_hook(lambda layer, arguments, result: found.update(aux=result))
    picture = image(*size).double()
    with torch.no_grad():
        result = net(picture.flip(1) if case.bgr else picture)
        result = list(result) if isinstance(result, (list, tuple)) else [result]
        if "aux" not in found:  # semseg's runs in training only
            case.auxiliary(net)(case.third_stage(net, picture))
    hook.remove()
    found["mask"] = F.interpolate(result[0], size, mode="bilinear", align_corners=True)
    if case.has_se:
        found["se"] = result[1]
    net.float()
    return {name: value.float().numpy() for name, value in found.items()}


def write(case: peers.Case, folder: Path, wide: bool) -> None:
    net = case.build(19 if wide else 5)
    net.eval()
    randomize(net, coarse=not wide)
    calibrate(net, image(*SIZES[case.odd][-1]))
    blob: dict[str, np.ndarray] = {}
    for size in SIZES[case.odd]:
        for name, value in outputs(case, net, size).items():
            assert value.std() > 1e-2, "an output without structure tests nothing"
            sample = value if wide else np.append(value.reshape(-1)[::EVERY], np.abs(value).max())
            blob[f"{name}/{size[0]}x{size[1]}"] = sample
            print(case.name, name, size, float(np.abs(value).max()))
    state = case.saved(net)
    meta = {"source": case.source, "classes": 19 if wide else 5, "torch": torch.__version__}
    if wide:
        torch.save(state, folder / f"{case.name}.pth")
    else:
        weights = state.get("state_dict", state)
        blob |= {f"sd/{name}": value.numpy() for name, value in weights.items() if not name.endswith("batches_tracked")}
    np.savez_compressed(folder / f"{case.name}.npz", **blob, meta=np.array(json.dumps(meta)))


def main(checkouts: str, folder: str = str(HERE), width: str = "narrow", source: str = "") -> None:
    """All cases, those of each repository in a process of its own: two of them are packages of the same name."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    if not source:
        for name in peers.SOURCES:
            subprocess.run([sys.executable, "-m", __spec__.name, checkouts, folder, width, name], check=True)
        return
    if width == "narrow":
        peers.narrow(NARROW)
    for case in peers.SOURCES[source](Path(checkouts)):
        write(case, Path(folder), wide=width == "wide")


if __name__ == "__main__":
    main(*sys.argv[1:])
