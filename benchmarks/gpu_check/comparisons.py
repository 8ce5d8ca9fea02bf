"""The command `benchmark` beside PaddleSeg; its tables are what the check leaves for ``benchmarks/results``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from statistics import geometric_mean

from benchmarks.gpu_check.room import Failed, Room, Skipped

HEADS = ("DeepLabV3PlusHead", "PSPHead", "DMHead", "EncHead", "CCHead", "FastFCNHead")
# Of a crop of 1024×512: the stride-8 map, two images
MEASURED = {
    "heads": ["--maps", "64x128", "--batch_size", "2", "--rounds", "20"],
    "model": ["--sizes", "512x1024", "--batch_size", "2", "--rounds", "10"],
    "eval": ["--images", "4", "--repeats", "3"],
}
SMALL = {
    "heads": ["--names", "PSPHead", "--maps", "8x16", "--rounds", "3"],
    "model": ["--names", "PSPHead", "--sizes", "64x64", "--rounds", "3"],
    "eval": "--size 64 128 --crop_size 64 64 --stride 32 32 --images 1 --repeats 3".split(),
}


def benchmark(subject: str, mixed: bool, room: Room) -> str:
    """Measure; where a network keeps the table from being written, the others are measured one by one.

    Args:
        subject: Of the command.
        mixed: In mixed precision, PaddleSeg's side with the lists that its own training uses.
        room: Where.

    Raises:
        Failed: A measurement fails.
        Skipped: Mixed precision, on a CPU.
    """
    name = f"{subject}_amp" if mixed else subject
    if room.machine.small and mixed:
        _refused(room, subject)
    given = [subject, *(SMALL if room.machine.small else MEASURED)[subject], *(["--amp"] if mixed else [])]
    try:
        _measure(room, name, given)
    except Failed as reason:
        if subject == "eval" or room.machine.small:
            raise
        kept = [head for head in HEADS if _measured(room, f"{name}_{head}", [*given, "--names", head])]
        raise Failed(f"{reason}; measured alone: {', '.join(kept) or 'none'}") from None
    return summary(room, name)


def experiments(room: Room) -> str:
    """Measure channels last in the backbone and, on a GPU, Paddle's search for kernels, each beside what is usual."""
    formats = ["--data_format", "NCHW", "NHWC"]
    if room.machine.small:
        _measure(room, "experiments", ["model", *SMALL["model"], *formats])
        return summary(room, "experiments")
    given = ["model", "--names", "PSPHead", *MEASURED["model"], *formats, "--amp"]
    _measure(room, "experiments", given)
    _measure(room, "experiments_autotune", [*given, "--autotune"])
    return f"{summary(room, 'experiments')}; with --autotune: {summary(room, 'experiments_autotune')}"


def summary(room: Room, name: str) -> str:
    """Figures of a table: the geometric mean of the networks' factors in each mode, and the smallest."""
    with open(room.results / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if "mode" not in rows[0]:
        cases = [(row["what"].partition(",")[0], row["what"].rpartition(": ")[2], row["ratio"]) for row in rows]
        return "; ".join(f"{what} ({of}) {ratio}" for what, of, ratio in cases)
    rows = [row for row in rows if row["ours_ms"]]  # without those of means
    told = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        factors = {row["case"]: float(row["speedup"]) for row in rows if row["mode"] == mode}
        least = min(factors, key=factors.__getitem__)
        told.append(f"{mode} {geometric_mean(factors.values()):.2f}×, least {factors[least]:.2f}× ({least})")
    return f"speed beside PaddleSeg's: {'; '.join(told)}"


def _measure(room: Room, name: str, given: Sequence[str]) -> None:
    room.run(f"benchmark_{name}", room.tool("benchmark", *given, "--output", room.results, "--name", name))


def _measured(room: Room, name: str, given: Sequence[str]) -> bool:
    try:
        _measure(room, name, given)
    except Failed:
        return False
    return True


def _refused(room: Room, subject: str) -> None:
    """A CPU refuses to measure mixed precision with a sentence.

    Raises:
        Failed: It does not.
        Skipped: It does.
    """
    log = f"benchmark_{subject}_amp"
    text = room.run(log, room.tool("benchmark", subject, *SMALL[subject], "--amp"), expect=2)
    if "mixed precision is measured on a GPU" not in text:
        raise Failed(f"the refusal on a CPU does not say why (logs/{log}.txt)")
    raise Skipped("needs a GPU; walked: refused on the CPU with status 2 and a sentence")
