"""The trained network exported, verified, and evaluated on the device, on the CPU and as it was exported."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu_check.room import Failed, Room
from benchmarks.gpu_check.training import arguments, config

NETWORK = "pspnet"
SAME = 0.5  # points of mIoU and accuracy: TF32 decides up to a few pixels in a thousand otherwise


def export(room: Room) -> str:
    """`export` in float32, verified by the command itself, on a card whose float32 is TF32 otherwise.

    Raises:
        Failed: It is refused, or nothing was folded.
    """
    weights = trained(room)
    formats = "both" if find_spec("paddle2onnx") and not room.machine.small else "paddle"
    folder = room.folder / "exported"
    given = ["--config", config(room, NETWORK), "--model_path", weights, "--save_dir", folder, "--format", formats]
    text = room.run("export", room.tool("export", *given))
    verified = [line for line in text.splitlines() if line.startswith("verified")]
    if not verified:
        raise Failed("it was not verified (logs/export.txt)")
    folded = json.loads((folder / "export.json").read_text("utf-8"))["folded_batch_norms"]
    if not folded:
        raise Failed("no BatchNorm was folded (logs/export.txt)")
    return f"formats: {formats}; {folded} BatchNorms folded; {verified[-1]}"


def evaluation(room: Room) -> str:
    """`val` of the weights on the device, on the CPU, and of the exported network: the same scores.

    Raises:
        Failed: They differ by more than half a point.
    """
    weights, base = trained(room), ["--config", config(room, NETWORK)]
    cases = {f"on the {room.machine.device.upper()}": ["--model_path", weights]}
    if not room.machine.small:
        cases["on the CPU"] = ["--model_path", weights, "--device", "cpu"]
    if (room.folder / "exported" / "export.json").is_file():
        cases["exported"] = ["--exported", room.folder / "exported"]
    scores = {}
    for number, (name, more) in enumerate(cases.items()):
        text = room.run(f"val_{number}", room.tool("val", *base, *more))
        scores[name] = [_score(text, key) for key in ("mIoU", "accuracy")]
    told = ", ".join(f"{name} {miou:.2f} mIoU {accuracy:.2f} % accuracy" for name, (miou, accuracy) in scores.items())
    first = next(iter(scores.values()))
    if any(abs(a - b) > SAME for other in scores.values() for a, b in zip(first, other)):
        raise Failed(f"more than {SAME} points apart: {told}")
    return f"{told} (allowed difference {SAME})"


def trained(room: Room) -> Path:
    """Weights of the network trained for some iterations, which is done when first asked for."""
    folder = room.folder / "runs" / "trained"
    iterations = 8 if room.machine.small else 100
    path = folder / f"iter_{iterations}" / "model.pdparams"
    if not path.is_file():
        room.run("trained", arguments(room, NETWORK, folder, "--iters", iterations))
    return path


def _score(text: str, key: str) -> float:
    found = re.search(rf"^{key} +([\d.]+)", text, re.M)
    if not found:
        raise Failed(f"`val` printed no {key} (logs/val_0.txt)")
    return float(found[1])
