"""The tests that are marked as needing a GPU."""

from __future__ import annotations

import re

from benchmarks.clone import ROOT
from benchmarks.gpu_check.room import Failed, Room, Skipped

MARKER = "pytest.mark.gpu"


def marked_tests(room: Room) -> str:
    """Run them; only files that have some are collected.

    Raises:
        Failed: One fails, or none runs.
        Skipped: On a CPU.
    """
    files = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if MARKER in path.read_text("utf-8"))
    text = room.run("tests", ["-m", "pytest", "-m", "gpu", "-q", *(str(path.relative_to(ROOT)) for path in files)])
    last = next(line for line in reversed(text.splitlines()) if line.strip())
    count = {word: int(number) for number, word in re.findall(r"(\d+) (passed|skipped)", last)}
    if room.machine.small:
        raise Skipped(f"needs a GPU; walked: {count.get('skipped', 0)} tests in {len(files)} files are collected")
    if not count.get("passed"):
        raise Failed(f"none of them ran: {last.strip()} (logs/tests.txt)")
    return f"{count['passed']} tests in {len(files)} files passed, {count.get('skipped', 0)} do not fit the card"
