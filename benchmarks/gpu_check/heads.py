"""The contract of all heads: forward and backward on the device are those of plain float32 on the CPU.

As a program it compares one precision and prints a line of JSON for each head. On a CPU the fast kernels stand in for
the device's float32, and imitations of a GPU's arithmetic for its other types.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_check.room import Failed, Room, Skipped, last_words

if TYPE_CHECKING:  # the check itself runs without it
    import paddle

MARK, ENDED = "HEAD ", "ALL HEADS COMPARED"
# Largest difference of an output, of the largest value there is; least cosine between all gradients of parameters.
# float32 adds up in another order; TF32 and float16 keep 10 bits of each factor, bfloat16 7. Wide sums of random maps
# nearly cancel. With the arithmetic imitated, the worst head comes to half of what is allowed; mmsegmentation's heads,
# of the same sizes, under PyTorch 2.11 on an H200 beside float64 to a third (DeepLabV3+, bfloat16: 3.1e-2 and 6.7e-2).
TOLERANCES = {
    "narrow": {"float32": (1e-4, 0.9999), "tf32": (2e-2, 0.99), "float16": (2e-2, 0.99), "bfloat16": (1e-1, 0.98)},
    "wide": {"float32": (1e-4, 0.9999), "tf32": (4e-2, 0.98), "float16": (4e-2, 0.98), "bfloat16": (2e-1, 0.9)},
}
KEYS = ("head", "width", "precision", "difference", "allowed", "cosine", "least", "finite", "result")
CLASSES = 19
LOSS_SCALES = (2.0**15, 2.0**12, 2.0**9)  # of float16: a run begins with the first and lowers it where it overflows
IMAGES = 4  # BatchNorm after global pooling amplifies every rounding where it sees two values


def step(precision: str, room: Room) -> str:
    """Compare all heads in one precision; the rows are added to ``contract.csv``.

    Raises:
        Failed: A head is off.
        Skipped: On a CPU, or the card has no such type.
    """
    machine = room.machine
    if precision == "bfloat16" and not machine.small and not machine.bfloat16:
        raise Skipped(f"{machine.name} has no bfloat16")
    log = f"heads_{precision}"
    text = room.run(log, ["-m", "benchmarks.gpu_check.heads", machine.device, precision], expect=None)
    rows = [json.loads(line[len(MARK) :]) for line in text.splitlines() if line.startswith(MARK)]
    path = room.results / "contract.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, KEYS)
        if new:
            writer.writeheader()
        writer.writerows(rows)
    wrong = [f"{row['width']} {row['head']} {row['result']}" for row in rows if row["result"] != "pass"]
    if ENDED not in text:
        wrong.append(f"the comparison broke off: {last_words(text)}")
    if wrong:
        raise Failed(f"{'; '.join(wrong)} (logs/{log}.txt)")
    told = "; ".join(_worst(width, [row for row in rows if row["width"] == width]) for width in widths(machine.device))
    if machine.small and precision != "float32":
        raise Skipped(f"{precision} is computed on a GPU alone; walked with its arithmetic imitated: {told}")
    return told


def widths(device: str) -> tuple[str, ...]:
    """Of the heads: ``narrow``, and as in the papers on a GPU only."""
    return tuple(TOLERANCES) if device == "gpu" else ("narrow",)


def _worst(width: str, rows: list[dict]) -> str:
    difference, cosine = max(float(row["difference"]) for row in rows), min(float(row["cosine"]) for row in rows)
    return (
        f"{len(rows)} {width} heads, outputs differ by at most {difference:.1e} of the largest (allowed "
        f"{rows[0]['allowed']:g}), gradients' cosine at least {cosine:.6f} (allowed {rows[0]['least']:g})"
    )


def main(device: str, precision: str) -> int:
    """Compare every head; 0 also where one is off, which its line says."""
    import paddle

    import paddleseg_ext  # noqa: F401  # first: it repairs what it finds
    from paddleseg_ext.layers.functional import KERNELS

    kernels = dict(KERNELS)
    for width, (name, build) in product(widths(device), builders().items()):
        KERNELS.clear()
        paddle.set_device("cpu")
        net, feats, labels = example(name, build, width == "narrow")
        expected = outputs_and_gradients(net, feats, labels, None)
        KERNELS.update(kernels)
        paddle.set_device(device)
        again = build([feat.shape[1] for feat in feats], CLASSES, **sizes(name, width == "narrow"))
        again.set_state_dict({key: paddle.to_tensor(value.numpy()) for key, value in net.state_dict().items()})
        moved = [paddle.to_tensor(feat.numpy()) for feat in feats]
        try:
            with arithmetic(device, precision):
                half = precision if precision in ("float16", "bfloat16") else None
                found = outputs_and_gradients(again, moved, paddle.to_tensor(labels.numpy()), half)
        except Exception as error:  # a kernel that is missing, memory that is; the other heads are still compared
            row: dict[str, Any] = dict.fromkeys(KEYS, "")
            row.update(
                head=name,
                width=width,
                precision=precision,
                result=f"{type(error).__name__}: {str(error).strip()[-200:]}",
            )
        else:
            row = compared(name, width, precision, expected, found)
        print(MARK + json.dumps(row), flush=True)
    print(ENDED)
    return 0


def builders() -> dict[str, Callable[..., Any]]:
    """The heads by name, FastFCN around EncNet's."""
    from paddleseg_ext.heads import EncHead, FastFCNHead, FCNHead
    from paddleseg_ext.registry import HEADS

    found: dict[str, Callable[..., Any]] = dict(HEADS)
    return {**found, "FastFCNHead": partial(FastFCNHead, head=EncHead), "FCNHead": partial(FCNHead, in_index=2)}


def sizes(name: str, narrow: bool) -> dict[str, int]:
    """Arguments that make a head narrow."""
    if not narrow:
        return {}
    return {"jpu_channels": 32} if name == "FastFCNHead" else {"channels": 64}


def example(name: str, build: Callable[..., Any], narrow: bool) -> tuple[Any, list[paddle.Tensor], paddle.Tensor]:
    """A head, the maps of `IMAGES` images, of odd sizes, and labels at the size of the second map."""
    import paddle
    from paddle import nn

    paddle.seed(1)
    channels = (16, 32, 64, 128) if narrow else (256, 512, 1024, 2048)
    height, width = (17, 23) if narrow else (25, 41)
    strides = (1, 2, 4, 8) if name == "FastFCNHead" else (1, 2, 2, 2)
    net = build(channels, CLASSES, **sizes(name, narrow))
    for path, parameter in net.named_parameters():
        if path.endswith("gamma"):  # of attention, which begins as nothing
            parameter.set_value(paddle.full([1], 0.5))
    shapes = [(IMAGES, c, -(-2 * height // s), -(-2 * width // s)) for c, s in zip(channels, strides)]
    return (
        net,
        [nn.functional.relu(paddle.randn(s)) for s in shapes],
        paddle.randint(0, CLASSES, [IMAGES, height, width]),
    )


def outputs_and_gradients(
    net: Any, feats: list[paddle.Tensor], labels: paddle.Tensor, half: str | None
) -> tuple[list[Any], Any]:
    """Outputs, and all parameters' gradients in one vector, as float32 arrays; in training mode without dropout."""
    import numpy as np
    import paddle
    import paddle.nn.functional as F

    net.train()
    for layer in net.sublayers():
        if type(layer).__name__.startswith("Dropout") or hasattr(layer, "dropout"):
            layer.eval()
    if half is None:
        outputs = net(feats)
    else:
        with paddle.amp.auto_cast(dtype=half):
            outputs = net([feat.astype(half) for feat in feats])
    outputs = [out.astype("float32") for out in outputs]
    logits = F.interpolate(outputs[0], labels.shape[1:], mode="bilinear")
    loss = F.cross_entropy(logits.transpose([0, 2, 3, 1]), labels)
    for scores in outputs[1:]:  # (N, classes), of EncNet; bounded gradients as in training
        loss = loss + 0.2 * F.binary_cross_entropy_with_logits(scores, paddle.zeros_like(scores))
    for scale in LOSS_SCALES if half == "float16" else (1.0,):
        net.clear_gradients()
        (loss * scale).backward(retain_graph=True)
        gradients = [p.grad.astype("float32").numpy().ravel() for p in net.parameters() if p.grad is not None]
        gradient = np.concatenate(gradients) / scale
        if np.isfinite(gradient).all():
            break
    return [out.detach().numpy() for out in outputs], gradient


def compared(
    name: str, width: str, precision: str, expected: tuple[list[Any], Any], found: tuple[list[Any], Any]
) -> dict:
    """A row: how far outputs and gradients are apart, what is allowed, and whether that passes."""
    import numpy as np

    (outputs, gradient), (others, other) = expected, found
    allowed, least = TOLERANCES[width][precision]
    difference = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(outputs, others))
    a, b = gradient.astype(np.float64), other.astype(np.float64)
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    finite = bool(all(np.isfinite(out).all() for out in others) and np.isfinite(b).all())
    good = finite and a.shape == b.shape and difference <= allowed and cosine >= least
    result = "pass" if good else f"differs by {difference:.1e}, cosine {cosine:.4f}, finite: {finite}"
    values = (name, width, precision, f"{difference:.2e}", allowed, f"{cosine:.6f}", least, finite, result)
    return dict(zip(KEYS, values))


@contextmanager
def arithmetic(device: str, precision: str) -> Iterator[None]:
    """Within the block float32 is exact unless TF32 is asked for; on a CPU a GPU's arithmetic is imitated."""
    from paddleseg_ext.compat.paddle import exact_float32

    if device == "cpu":
        from benchmarks.amp_emulator import emulated
        from tests.gpu_arithmetic import tf32

        imitated = {"float32": nullcontext, "tf32": tf32}.get(precision, emulated)
        with imitated():
            yield
    elif precision == "float32":
        with exact_float32():
            yield
    else:
        yield


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
