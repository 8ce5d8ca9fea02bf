"""Two processes under Paddle's launcher: on two GPUs, or on a CPU joined by gloo."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from benchmarks.gpu_check.room import Failed, Room, Skipped
from benchmarks.gpu_check.training import arguments, iterations_done, losses, newest

FROZEN = "backbone.bb_1*"  # with layers that learn before and behind them
LAST = 20  # iteration


def launched(room: Room, log: str, command: list[str]) -> tuple[list[str], Mapping[str, str]]:
    """The launcher's arguments of Python for a command, and the environment.

    Raises:
        Skipped: There is one GPU only.
    """
    where, environment = ["--devices", "0,1"], {}
    if room.machine.small:
        where, environment = ["--nproc_per_node", "2"], {"PADDLE_DISTRI_BACKEND": "gloo"}
    elif room.machine.gpus < 2:
        raise Skipped(f"needs two GPUs; here is {room.machine.gpus}")
    folder = room.folder / "logs" / log
    return ["-m", "paddle.distributed.launch", *where, "--log_dir", str(folder), *command], environment


def frozen(room: Room) -> str:
    """SyncBatchNorm with frozen layers between learning ones: trains, and what is frozen stays.

    Raises:
        Failed: A frozen value has changed, a learning one has not, or the run fails.
        Skipped: On a CPU, whose processes do not synchronize BatchNorm, or with one GPU.
    """
    log, folder = "pair_frozen", room.folder / "runs" / "pair_frozen"
    last = 4 if room.machine.small else LAST
    command = arguments(room, "pspnet", folder, "--iters", last, "--freeze", FROZEN, "--save_interval", last // 2)
    whole, environment = launched(room, log, command)
    room.run(log, whole, **environment)
    told = _changed(folder, last // 2, last)
    if room.machine.small:
        raise Skipped(f"SyncBatchNorm needs two GPUs; walked with two gloo processes and BatchNorm: {told}")
    return f"{told}; loss {losses(folder)[0]:.2f} to {losses(folder)[-1]:.2f}"


def told_to_end(room: Room) -> str:
    """SIGTERM to the launcher: process 0 saves, the launcher ends with the signal's number, and the run resumes.

    Raises:
        Failed: It does otherwise.
        Skipped: With one GPU.
    """
    log, folder = "pair_sigterm", room.folder / "runs" / "pair_sigterm"
    command = arguments(room, "pspnet", folder, "--iters", 100_000, "--save_interval", 100_000)
    whole, environment = launched(room, log, command)
    with room.started(log, whole, environment) as process:
        room.wait_until(process, log, lambda: iterations_done(folder) >= 3)
        process.send_signal(signal.SIGTERM)
        status = room.wait(process, log)
    iteration = newest(folder)
    if status != signal.SIGTERM:
        raise Failed(f"the launcher ended with status {status}, expected {int(signal.SIGTERM)} (logs/{log}.txt)")
    again = arguments(room, "pspnet", folder, "--iters", iteration + 2, "--resume", "auto", "--resume_anyway")
    whole, environment = launched(room, f"{log}_resumed", again)
    room.run(f"{log}_resumed", whole, **environment)
    if newest(folder) != iteration + 2:
        raise Failed(f"resumed at {iteration} it left no checkpoint {iteration + 2} (logs/{log}_resumed.txt)")
    which = "two gloo processes" if room.machine.small else "two GPUs"
    return f"{which}: saved at iteration {iteration}, launcher's status {status}, resumed to {iteration + 2}"


def numbered_device(room: Room) -> str:
    """`--device gpu:0` would put both processes on one card: refused with a sentence.

    Raises:
        Failed: It is not.
        Skipped: There are not two GPUs.
    """
    if room.machine.small:
        raise Skipped("needs two GPUs: without one, gpu:0 is refused for want of it")
    log = "pair_device"
    command = arguments(room, "pspnet", room.folder / "runs" / log, "--iters", 1, "--device", "gpu:0")
    whole, environment = launched(room, log, command)
    room.run(log, whole, expect=None, **environment)
    said = [path.read_text("utf-8", errors="replace") for path in (room.folder / "logs" / log).glob("workerlog.*")]
    if not any("would compute on that one" in text for text in said):
        raise Failed(f"it was not refused with the sentence on one device (logs/{log}/)")
    return "refused with a sentence"


def _changed(folder: Path, before: int, after: int) -> str:
    """That between two checkpoints what is frozen has stayed and the rest has not.

    Raises:
        Failed: Otherwise.
    """
    from fnmatch import fnmatchcase

    import numpy as np

    from paddleseg_ext.checkpoint.save import load_checkpoint

    a, b = (load_checkpoint(folder / f"iter_{iteration}").weights for iteration in (before, after))
    changed = {name for name in a if not np.array_equal(a[name], b[name])}
    should_stay = {name for name in a if fnmatchcase(name, FROZEN)}
    if not should_stay or changed & should_stay:
        raise Failed(f"{len(changed & should_stay)} of {len(should_stay)} frozen arrays changed")
    if not all(np.isfinite(b[name]).all() for name in b):
        raise Failed("a weight is not finite")
    idle = set(a) - should_stay - changed
    if idle:
        raise Failed(f"{len(idle)} arrays that learn did not change, {sorted(idle)[0]} for one")
    return f"{len(should_stay)} frozen arrays stayed, {len(changed)} others learned"
