"""What there is: packages, card, driver. As a program it prints one line of JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from benchmarks.gpu_check.room import Failed, Machine, Room, last_words
from benchmarks.gpu_check.training import config

MARK = "MACHINE "
NO_DEVICE = 2  # exit status


class NoDevice(Exception):
    """What the check was to run on is not there; the message says what to do."""


def look(room: Room) -> None:
    """Fill the room's machine.

    Raises:
        NoDevice: There is no such device.
        Failed: Paddle does not start, or does not compute.
    """
    with room.started("environment", ["-m", "benchmarks.gpu_check.environment", room.machine.device]) as process:
        status = room.wait(process, "environment")
    text = room.log("environment").read_text("utf-8", errors="replace")
    if status:
        raise (NoDevice if status == NO_DEVICE else Failed)(last_words(text))
    lines = [line for line in text.splitlines() if line.startswith(MARK)]
    room.machine = Machine(**json.loads(lines[-1][len(MARK) :]))


def step(room: Room) -> str:
    """The command `check` on the data of the demo: environment, configuration, and on a GPU a step of training."""
    with open(room.log("nvidia_smi"), "w", encoding="utf-8") as file:
        if shutil.which("nvidia-smi"):
            subprocess.run(["nvidia-smi"], stdout=file, stderr=subprocess.STDOUT, timeout=30, check=False)
    small = ["--no_step"] if room.machine.small else []
    found = room.folder / "check.json"
    room.run("check", room.tool("check", "--config", config(room, "pspnet"), "--json", found, *small))
    versions = room.machine.versions
    return ", ".join([room.machine.name, *(f"{key} {versions[key]}" for key in ("paddle", "paddleseg", "python"))])


def main(device: str) -> int:
    """Print the machine, or a sentence, with 2 if there is no such device and 1 if it does not compute."""
    import paddle

    from benchmarks.tables import default_folder, environment_info
    from paddleseg_ext.errors import UserError
    from paddleseg_ext.inspection.environment import inspect_environment
    from paddleseg_ext.inspection.findings import ERROR
    from paddleseg_ext.runtime.device import set_device

    try:
        set_device(device)
    except UserError as error:
        print(f"error: {str(error).replace('`device`', '--device')}")
        return NO_DEVICE
    wrong = [finding.text for finding in inspect_environment() if finding.level == ERROR]
    if wrong:
        print("error:", "; ".join(wrong))
        return 1
    versions = {key: value for key, value in environment_info().items() if key not in ("command", "date", "device")}
    machine = Machine(device, environment_info()["device"], results=default_folder().name, versions=versions)
    if device == "gpu":
        machine.gpus = paddle.device.cuda.device_count()
        machine.bfloat16 = bool(paddle.amp.is_bfloat16_supported())
        versions["cuda"] = paddle.version.cuda()
        memory = paddle.device.cuda.get_device_properties().total_memory
        versions["cards"] = f"{machine.gpus}, of {memory / 2**30:.0f} GiB, {driver()}"
    print(MARK + json.dumps(vars(machine)))
    return 0


def driver() -> str:
    """Of NVIDIA, as its tool says."""
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "driver unknown"
    return f"driver {done.stdout.split()[0]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
