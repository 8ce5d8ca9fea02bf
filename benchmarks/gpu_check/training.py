"""Runs of the command `train` on the demo's data: killed, resumed and compared."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clone import ROOT
from benchmarks.gpu_check.room import Failed, Room, Skipped

ITERATIONS, SAVED_EVERY = 60, 10
SMALL_ITERATIONS, SMALL_CROP = 21, [96, 64]  # on a CPU; width, height
SMALL_COUNTS = {"train_images": 24, "val_images": 6}  # of pictures, which are drawn first


def config(room: Room, network: str) -> str:
    """The demo's configuration; on a CPU one with small crops of fewer pictures, written into the room's folder."""
    path = f"configs/quickstart/{network}_from_noise.yml"
    if not room.machine.small:
        return path
    small = room.folder / f"{network}.yml"
    crop = {"type": "ScaleCropFlip", "crop_size": SMALL_CROP, "min_scale_factor": 1.0, "max_scale_factor": 1.25}
    colors = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    data = {"dataset_root": str(room.folder / "streets"), **SMALL_COUNTS}
    train = {**data, "transforms": [crop, colors]}
    changed = {"_base_": [str(ROOT / path)], "batch_size": 2, "train_dataset": train, "val_dataset": data}
    small.write_text(json.dumps(changed), encoding="utf-8")  # which is YAML
    return str(small)


def arguments(room: Room, network: str, save_dir: Path, *more: object) -> list[str]:
    """The command line of a run."""
    given = ["--config", config(room, network), "--save_dir", save_dir, "--seed", 1, "--log_iters", 1]
    return room.tool("train", *given, "--save_interval", SAVED_EVERY, "--keep_checkpoint_max", 2, *more)


def kill_and_resume(precision: str, level: str, room: Room) -> str:
    """60 iterations at once, and again ended by SIGTERM, then by SIGKILL, and resumed each time: bit for bit alike.

    That is to be expected on a GPU too, since the runs are `--deterministic`.

    Raises:
        Failed: A run ends otherwise than documented, or the two differ.
        Skipped: On a CPU, where mixed precision is refused, and the card's lack of bfloat16.
    """
    log, last = f"resume_{precision}_{level}", SMALL_ITERATIONS if room.machine.small else ITERATIONS
    flags: list[object] = ["--iters", last, "--deterministic", "--precision", precision]
    if precision != "fp32":
        flags += ["--amp_level", level]
        if room.machine.small:
            _refused(room, arguments(room, "pspnet", room.folder / "runs" / log, *flags), log)
        if precision == "bf16" and not room.machine.bfloat16:
            raise Skipped(f"{room.machine.name} has no bfloat16")
    if level == "O2":
        flags.append("--use_ema")  # averages the float32 copies
    whole, broken = (room.folder / "runs" / f"{log}_{how}" for how in ("whole", "broken"))
    room.run(f"{log}_whole", arguments(room, "pspnet", whole, *flags))
    command = arguments(room, "pspnet", broken, *flags)
    ended_by(signal.SIGTERM, 128 + signal.SIGTERM, room, command, f"{log}_sigterm", broken, last // 4)
    stopped = newest(broken)
    if f"stopped by SIGTERM at iteration {stopped}," not in room.log(f"{log}_sigterm").read_text("utf-8"):
        raise Failed(f"SIGTERM: the run did not say where it stopped (logs/{log}_sigterm.txt)")
    command += ["--resume", "auto"]
    ended_by(signal.SIGKILL, -signal.SIGKILL, room, command, f"{log}_sigkill", broken, 2 * last // 3)
    killed = newest(broken)
    room.run(f"{log}_rest", command)
    return (
        f"saved by SIGTERM at iteration {stopped}; by SIGKILL thrown back to {killed}; after {last} iterations "
        f"{same(whole, broken)} to those of a run without a break; loss {losses(whole)[0]:.2f} to "
        f"{losses(whole)[-1]:.2f}"
    )


def deterministic_twice(networks: Sequence[str], flags: Sequence[str], room: Room) -> str:
    """Each network trained twice with `--deterministic`; all that is saved is equal bit for bit.

    Raises:
        Failed: It is not.
    """
    told = ""
    iterations = 6 if room.machine.small else 20
    for network in networks:
        folders = [room.folder / "runs" / f"deterministic_{network}_{number}" for number in (1, 2)]
        for folder in folders:
            more = ["--deterministic", "--iters", iterations, *flags]
            room.run(folder.name, arguments(room, network, folder, *more))
        try:
            told = same(*folders)
        except Failed as reason:
            raise Failed(f"{network}: {reason}") from None
    return f"{', '.join(networks)} ({' '.join(flags) or 'fp32'}), {iterations} iterations twice: each {told}"


def ended_by(
    number: int, expect: int, room: Room, command: Sequence[str], log: str, folder: Path, iteration: int
) -> None:
    """Start a run and send it a signal once it has done that many iterations.

    Raises:
        Failed: It ends by another status than the expected one.
    """
    with room.started(log, command) as process:
        room.wait_until(process, log, lambda: iterations_done(folder) >= iteration)
        process.send_signal(number)
        status = room.wait(process, log)
    if status != expect:
        raise Failed(f"{signal.Signals(number).name}: exit status {status}, expected {expect} (logs/{log}.txt)")


def same(one: Path, other: Path) -> str:
    """That the newest checkpoints of two runs hold the same.

    Raises:
        Failed: Weights or the optimizer's arrays differ; tells how many and by how much.
    """
    import numpy as np

    from paddleseg_ext.checkpoint.save import load_checkpoint

    name = f"iter_{newest(one)}"
    a, b = load_checkpoint(one / name), load_checkpoint(other / name)
    total, differing, most = 0, 0, 0.0
    for ours, theirs in ((a.weights, b.weights), (a.arrays, b.arrays)):
        if ours.keys() != theirs.keys():
            raise Failed(f"{name} of {one.name} and {other.name} hold other names")
        for key, value in ours.items():
            total += 1
            if not np.array_equal(value, theirs[key]):
                differing += 1
                gap = np.abs(value.astype("float64") - theirs[key].astype("float64")).max()
                most = max(most, float(gap / max(np.abs(value).max(), 1e-30)))
    if differing:
        raise Failed(
            f"{name} of {one.name} and {other.name}: {differing} of {total} arrays differ, by {most:.1e} of the largest"
        )
    return f"all {total} arrays equal bit for bit"


def newest(folder: Path) -> int:
    """Iteration of a run's newest checkpoint.

    Raises:
        Failed: There is none.
    """
    found = [int(path.name[5:]) for path in folder.glob("iter_*") if path.name[5:].isdigit()]
    if not found:
        raise Failed(f"{folder.name}: no checkpoint was left")
    return max(found)


def records(folder: Path) -> list[dict]:
    """Whole lines of ``metrics.jsonl``; none where there is no such file yet."""
    path = folder / "metrics.jsonl"
    text = path.read_text("utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def iterations_done(folder: Path) -> int:
    """The last iteration that a run has logged."""
    return max((int(record["iter"]) for record in records(folder)), default=0)


def losses(folder: Path) -> list[float]:
    """Of each iteration that was logged."""
    return [record["loss"] for record in records(folder) if "loss" in record]


def _refused(room: Room, command: Sequence[str], log: str) -> None:
    """A CPU refuses mixed precision with a sentence.

    Raises:
        Failed: It does not.
        Skipped: It does.
    """
    text = room.run(log, command, expect=2)
    if "needs a GPU" not in text:
        raise Failed(f"the refusal on a CPU does not say why (logs/{log}.txt)")
    raise Skipped("needs a GPU's half precision; walked: refused on the CPU with status 2 and a sentence")
