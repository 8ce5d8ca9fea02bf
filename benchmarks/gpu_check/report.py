"""The report and the table of all steps."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_check.findings import FINDINGS
from benchmarks.gpu_check.room import Room
from benchmarks.gpu_check.steps import FAIL, PASS, SKIP, Outcome

KEYS = ("step", "result", "seconds", "figures", "reason")


def write_report(room: Room, outcomes: Sequence[Outcome], command: str) -> Path:
    """Write ``report.md`` into the room's folder and ``gpu_check.csv`` into that of its tables; return the former."""
    rows = [
        (one.step.name, one.result, f"{one.seconds:.0f}", one.figures, " ".join(one.reason.split())) for one in outcomes
    ]
    room.results.mkdir(parents=True, exist_ok=True)
    with open(room.results / "gpu_check.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(KEYS)
        writer.writerows(rows)
    machine = room.machine
    lines = ["# GPU check", "", verdict(outcomes), ""]
    if machine.small:
        lines += ["This was the walk on a CPU in small: it shows that the check works, and nothing about a GPU.", ""]
    lines += [f"- command: `{command}`", f"- date: {datetime.date.today().isoformat()}", f"- device: {machine.name}"]
    lines += [f"- {key}: {value}" for key, value in machine.versions.items()]
    lines += ["", *table(KEYS, rows), ""]
    lines += ["A benchmark passes when it has measured what computes the same; its figures tell which side is faster."]
    results = {one.step.name: one.result for one in outcomes}
    shown = [
        (
            finding.text,
            ", ".join(f"{name}: {results.get(name, 'not begun')}" for name in finding.steps) or "none needed",
            ", ".join(f"`{test}`" for test in finding.tests),
        )
        for finding in FINDINGS
    ]
    lines += ["", "## What would go wrong", "", *table(("what", "steps that show it", "tests without a GPU"), shown)]
    tables = sorted(path.name for path in room.results.iterdir())
    lines += ["", "## Files", ""]
    lines += [f"- `results/{machine.results}/`, to be copied into `benchmarks/results/`: {', '.join(tables)}"]
    lines += ["- `logs/`: each command with all that it wrote", ""]
    path = room.folder / "report.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def verdict(outcomes: Sequence[Outcome]) -> str:
    """How many steps passed, failed and were skipped, in one line."""
    count = {result: sum(one.result == result for one in outcomes) for result in (PASS, FAIL, SKIP)}
    failed = [one.step.name for one in outcomes if one.result == FAIL]
    told = f" ({', '.join(failed)})" if failed else ""
    return f"{count[PASS]} passed, {count[FAIL]} failed{told}, {count[SKIP]} skipped"


def table(keys: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    cells = [keys, ["---"] * len(keys), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]
